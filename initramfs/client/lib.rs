//! The client: the program that a computer runs while it is captured or deployed.

pub mod disk;
pub mod imaging;
pub mod server;
pub mod transfer;
