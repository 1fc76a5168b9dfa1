//! The client: the program that runs on a computer that booted from the network.
//!
//! Reading order: [`boot`] makes a bare kernel usable, [`network`] gets an address, [`inventory`] looks at the
//! machine, [`conversation`] talks with the [`server`] until there is nothing left to do. What there is to do, the
//! imaging engine (`mimeo_engine`) does, on the disk that the server named and over [`transfer`]; [`console`] shows
//! all that.
//! The client decides nothing: the server sends a plan, the client checks it and obeys.

pub mod boot;
pub mod console;
pub mod conversation;
pub mod inventory;
pub mod multicast;
pub mod network;
pub mod server;
pub mod transfer;
