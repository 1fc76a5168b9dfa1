//! TFTP: placeholder.
