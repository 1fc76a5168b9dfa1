//! Imaging: masters, their chunks, and the sessions that capture and deploy them.

pub mod copy;
pub mod keys;
pub mod library;
pub mod local;
pub mod master;
pub mod multicast;
pub mod provenance;
pub mod publish;
pub mod remove;
pub mod session;
pub mod store;
pub mod take_in;
pub mod upkeep;
