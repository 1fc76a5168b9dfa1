//! What two of Mimeo's programs must agree on.
//!
//! The server, the client in the initramfs and, later, the agent all import this crate; it imports none of
//! them. It does no I/O, reads no clock and knows no async runtime: whoever needs bytes from a disk hands in
//! something that implements [`disk::ReadAt`].
//!
//! Reading order: [`ids`] and [`units`] are the words, [`chunk`] and [`manifest`] what a master is made of, [`bad_sectors`] how much of
//! a disk it may lack,
//! [`disk`] how a source disk is understood, [`appliance`] and [`machine`] what an appliance
//! tells its clients and what a booted computer says of itself,
//! [`messages`] the conversation between client and server, [`multicast`] the packets of a channel that many hear,
//! [`failure`] how it may end badly,
//! [`text`] what a person reads of all this, [`causes`] what a log line tells of an error, [`wire`] the packets of
//! other protocols that both ends read.

pub mod appliance;
pub mod bad_sectors;
pub mod causes;
pub mod chunk;
pub mod disk;
pub mod failure;
pub mod ids;
pub mod machine;
pub mod manifest;
pub mod messages;
pub mod multicast;
pub mod text;
pub mod units;
pub mod wire;
