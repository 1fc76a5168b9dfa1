//! The surface for programs.

pub mod client;
