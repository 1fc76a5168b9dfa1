//! DHCP on real (virtual) wires: beside the servers that are in use, with real clients, under attack.

#[path = "dhcp/beside.rs"]
mod beside;
#[path = "dhcp/client.rs"]
mod client;
#[path = "dhcp/full.rs"]
mod full;
#[path = "dhcp/hostile.rs"]
mod hostile;
#[path = "dhcp/net.rs"]
mod net;
#[path = "dhcp/snippets.rs"]
mod snippets;
