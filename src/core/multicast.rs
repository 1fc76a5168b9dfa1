//! One master to many computers at once: what the sender and its receivers must agree on.
//!
//! The sender cuts what somebody still needs into **blocks**, a block into **symbols**, one symbol into each packet. A
//! receiver that has as many different symbols of a block as the block has source symbols has the block, whichever they
//! are: what is sent again is new parity, and one packet mends another loss at each receiver.
//!
//! Reading order: [`block`] are the words, [`control`] is what a receiver and the sender say to each other, [`report`] how a
//! receiver says what it lacks.

pub mod block;
pub mod control;
pub mod report;
