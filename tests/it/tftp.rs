//! Placeholder: tftp.
