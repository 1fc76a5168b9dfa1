//! DHCP on real (virtual) wires: beside the servers that are in use, with real clients, under attack.

#![expect(clippy::unwrap_used, reason = "what does not work in a test is its failure")]

#[path = "dhcp/beside.rs"]
mod beside;
#[path = "dhcp/client.rs"]
mod client;
#[path = "dhcp/full.rs"]
mod full;
#[path = "dhcp/hostile.rs"]
mod hostile;
#[path = "dhcp/load.rs"]
mod load;
#[path = "dhcp/loader.rs"]
mod loader;
#[path = "dhcp/matrix.rs"]
mod matrix;
#[path = "dhcp/net.rs"]
mod net;
#[path = "dhcp/rom.rs"]
mod rom;
#[path = "dhcp/snippets.rs"]
mod snippets;
