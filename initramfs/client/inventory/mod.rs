//! What this machine is: read from the kernel, told to the server as it is, but for characters that steer terminals.

pub mod disks;
pub mod facts;

use std::io;

use mimeo_core::machine::{MachineReport, NicReport};
use mimeo_engine::disk::probe::DiskProbe;

use crate::network::interface::{self, Interface};

/// Looks at the whole machine. `booted` is the card that reaches the server.
pub fn report(probe: &dyn DiskProbe, booted: &Interface) -> io::Result<MachineReport> {
    let report = MachineReport {
        identity: facts::identity(),
        firmware: facts::firmware(),
        secure_boot: facts::secure_boot(),
        processor: facts::processor(),
        memory_bytes: facts::memory_bytes(),
        disks: disks::reports(probe)?,
        nics: interface::wired().iter().map(|interface| nic(interface, booted)).collect(),
    };
    Ok(report.into_printable())
}

fn nic(interface: &Interface, booted: &Interface) -> NicReport {
    NicReport {
        kernel_name: interface.name.clone(),
        mac: interface.mac,
        driver: interface.driver(),
        speed_mbps: interface.speed_mbps(),
        usb: interface.on_usb(),
        booted: interface.mac == booted.mac,
    }
}
