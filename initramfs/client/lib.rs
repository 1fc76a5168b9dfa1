//! The client: the program that runs as PID 1 on a computer that booted from the network.
//!
//! Reading order: [`boot`] makes a bare kernel usable, [`network`] gets an address, [`inventory`] looks at the
//! machine, [`conversation`] talks with the server until there is nothing left to do, [`console`] shows all that.
//! The client decides nothing: the server sends a plan, the client checks it and obeys.

pub mod boot;
pub mod console;
pub mod network;
