//! Imaging: masters, their chunks, and the sessions that capture and deploy them.

pub mod session;
pub mod store;
