//! The surface for programs: the client in the initramfs, the command line, the pages' live values, and whatever else
//! speaks HTTP.
//!
//! [`router`] tells which path leads where; [`extract`] lets nobody past who has not proved who they are; [`error`]
//! is how it says no. Each noun has its file.

pub mod about;
pub mod carry;
pub mod client;
pub mod computers;
pub mod dhcp;
pub mod error;
pub mod events;
pub mod extract;
pub mod login;
pub mod masters;
pub mod notices;
pub mod router;
pub mod sessions;
pub mod store;
