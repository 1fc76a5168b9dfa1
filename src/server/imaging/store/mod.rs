//! The chunk store: placeholder.
