//! One master to many computers at once: what the sender and its receivers must agree on.
//!
//! The sender cuts what somebody still needs into **blocks**, a block into **symbols**, one symbol into each packet. A
//! receiver that has as many different symbols of a block as the block has source symbols has the block, whichever they
//! are: what is sent again is new parity, and one packet mends another loss at each receiver.
//!
//! Reading order: [`block`] are the words; [`table`] says which chunks a block holds; [`coding`] makes its symbols and
//! [`assembly`] makes the block of them again; [`packet`] is what a symbol travels in, [`cipher`] how that is encrypted,
//! [`sealing`] and [`opening`] the two ends of it, and [`window`] what a receiver knows from the packets' numbers.
//! Beside the packets, [`control`] is what a receiver and the sender say to each other, [`report`] how a receiver says what
//! it lacks.

pub mod assembly;
pub mod block;
pub mod cipher;
pub mod coding;
pub mod control;
pub mod opening;
pub mod packet;
pub mod report;
pub mod sealing;
pub mod table;
pub mod window;
