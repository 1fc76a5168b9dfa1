//! Imaging: masters, their chunks, and the sessions that capture and deploy them.

<<<<<<< HEAD
pub mod session;
=======
pub mod keys;
pub mod master;
pub mod publish;
>>>>>>> store
pub mod store;
