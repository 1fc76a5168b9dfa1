//! The laboratory: virtual networks and PCs, for the whole-machine tests, the demonstration and the benches.
//!
//! A [`network::Switch`] is an isolated network in namespaces of its own; a [`vm::Machine`] is a PC with real
//! firmware on it. Everything that is made here goes away with its value, and what a killed run left behind goes
//! away when the next one begins ([`network::sweep`]). It takes root, and the programs `ip`, `setpriv` and
//! `qemu-system-x86_64`; what is missing is an error, never a skipped test.

pub mod appliance;
pub mod classroom;
pub mod console;
pub mod content;
pub mod dhcp_load;
pub mod failing_file;
pub mod hardware;
pub mod images;
pub mod main_jobs;
pub mod network;
pub mod process;
pub mod qmp;
mod screen;
pub mod small_disk;
pub mod store_bench;
pub mod vm;

#[cfg(test)]
mod boot_chains;
