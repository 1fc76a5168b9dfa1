//! Packets of other people's protocols that both the server and the client read and write.

pub mod arp;
pub mod dhcp_options;
