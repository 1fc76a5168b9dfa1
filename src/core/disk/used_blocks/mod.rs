//! used blocks
