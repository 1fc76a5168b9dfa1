//! Placeholder: disk.
