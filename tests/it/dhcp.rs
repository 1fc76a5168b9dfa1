//! Placeholder: dhcp.
