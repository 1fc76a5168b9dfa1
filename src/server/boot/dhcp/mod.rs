//! DHCP: placeholder.
