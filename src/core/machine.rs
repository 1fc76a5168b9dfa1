//! What a booted computer says of itself, and what of it can tell one computer from another.

pub mod disk_facts;
mod placeholder;
pub mod printable;

use serde::{Deserialize, Serialize};

use self::disk_facts::DiskFacts;
use crate::{disk::filesystem::FileSystem, ids::MacAddr, units::Extent};

/// Everything that the client found out about the machine it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    pub identity: Identity,
    pub firmware: FirmwareMode,
    pub secure_boot: SecureBoot,
    pub processor: Processor,
    pub memory_bytes: u64,
    pub disks: Vec<DiskReport>,
    pub nics: Vec<NicReport>,
}

/// What the SMBIOS tables say of the machine, as they say it: cleaning is [`Identity::facts`]'s work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// System UUID as the kernel prints it.
    pub system_uuid: Option<String>,
    pub system_serial: Option<String>,
    pub board_serial: Option<String>,
    pub chassis_serial: Option<String>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
}

/// How the machine's firmware started us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareMode {
    Bios,
    Uefi,
}

/// Whether the firmware checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecureBoot {
    On,
    Off,
    /// BIOS machines, and firmware that does not say.
    Absent,
}

/// The processor, as the kernel names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    pub model: String,
    /// Logical processors.
    pub threads: u32,
}

/// One disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReport {
    #[serde(flatten)]
    pub facts: DiskFacts,
    pub partitions: Vec<PartitionReport>,
}

impl AsRef<DiskFacts> for DiskReport {
    fn as_ref(&self) -> &DiskFacts {
        &self.facts
    }
}

/// One partition seen on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionReport {
    pub number: u32,
    pub place: Extent,
    pub name: String,
    pub filesystem: Option<FileSystem>,
}

/// One network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicReport {
    pub kernel_name: String,
    pub mac: MacAddr,
    pub driver: Option<String>,
    /// Megabits per second, where there is a link and it says.
    pub speed_mbps: Option<u32>,
    /// Whether it is an adapter or a dock, which somebody may carry to the next machine.
    pub usb: bool,
    /// Whether this card reached the server.
    pub booted: bool,
}

/// The facts that point to one computer and no other. Placeholders are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityFacts {
    pub system_uuid: Option<String>,
    pub system_serial: Option<String>,
    pub board_serial: Option<String>,
    pub chassis_serial: Option<String>,
}

impl Identity {
    /// Lower-cases, trims, and drops what a manufacturer left unfilled.
    pub fn facts(&self) -> IdentityFacts {
        let clean = |value: &Option<String>| value.as_deref().and_then(distinguishing);
        IdentityFacts {
            system_uuid: clean(&self.system_uuid),
            system_serial: clean(&self.system_serial),
            board_serial: clean(&self.board_serial),
            chassis_serial: clean(&self.chassis_serial),
        }
    }
}

/// The value in canonical spelling, or `None` where it says nothing about which machine this is.
fn distinguishing(value: &str) -> Option<String> {
    let value = value.trim().to_lowercase();
    (!placeholder::is_placeholder(&value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{Identity, distinguishing};

    #[test]
    fn placeholders_count_for_nothing() {
        for junk in ["  ", "To be filled by O.E.M.", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", " None "] {
            assert_eq!(distinguishing(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn real_numbers_are_kept_in_one_spelling() {
        assert_eq!(distinguishing(" PF3ABC12 "), Some("pf3abc12".into()));
        assert_eq!(
            distinguishing("4C4C4544-0044-3510-8052-B4C04F564432"),
            Some("4c4c4544-0044-3510-8052-b4c04f564432".into())
        );
        // A short serial that counts up is a placeholder only from four digits on.
        assert_eq!(distinguishing("12"), Some("12".into()));
        let identity = Identity {
            system_serial: Some("S1X".into()),
            board_serial: Some("0000".into()),
            ..Identity::default()
        };
        assert_eq!(identity.facts().system_serial.as_deref(), Some("s1x"));
        assert_eq!(identity.facts().board_serial, None);
    }
}
