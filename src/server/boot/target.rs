//! The one question that network boot asks the rest of the house: what should this machine boot?

use std::net::Ipv4Addr;

use async_trait::async_trait;
use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};

use super::firmware::Architecture;

/// The thing that speaks DHCP, TFTP or HTTP to us right now. Maybe nobody knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub mac: MacAddr,
    /// SMBIOS UUID from option 97 or the boot script's request, in the usual spelling and lower case.
    pub uuid: Option<String>,
    pub architecture: Architecture,
    pub address: Option<Ipv4Addr>,
}

/// What a machine is to boot now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootTarget {
    /// Straight into the client: a session waits for this computer, or policy has new machines registered.
    Client { token: Secret },
    /// The boot menu, whose default is the machine's own disk.
    Menu(Menu),
    /// The machine's own disk, without a word: it failed too often, or policy says so.
    LocalDisk,
}

/// What a boot menu offers, beside what every menu offers (own disk, memory test, reboot, power off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// The computer's name; `None` for a machine that nobody knows yet.
    pub computer_name: Option<String>,
    /// Token for the entry that boots into the client: "register this computer" for an unknown machine,
    /// "start Mimeo" for a known one.
    pub token: Secret,
    /// After this many seconds the machine boots its own disk.
    pub timeout_seconds: u32,
    pub language: Language,
}

/// Which boot loader a machine gets where more than one would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoaderChoice {
    /// iPXE for BIOS, the signed chain of shim and GRUB for UEFI.
    #[default]
    Signed,
    /// iPXE (snponly) for UEFI as well. Secure Boot refuses it.
    Ipxe,
}

/// Whoever knows computers and sessions.
///
/// Boot protocols are stateless: one boot asks several times (GRUB alone looks for its configuration under several
/// names), so answers must not consume anything.
#[async_trait]
pub trait BootSource: Send + Sync {
    async fn boot_target(&self, machine: &Machine) -> BootTarget;

    async fn loader(&self, mac: MacAddr) -> LoaderChoice;
}
