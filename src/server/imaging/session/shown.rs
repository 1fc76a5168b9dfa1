//! What a person saw before they confirmed, as a short text that travels with the confirmation.

use mimeo_core::{machine::PartitionReport, messages::DiskPin};
use serde::{Deserialize, Serialize};

use super::plan::ErasePreview;

/// Fingerprint of the disks that a plan names and of the partitions on them. Whoever confirms sends it back; if it
/// is another by then, they have not seen what would be erased. No secret, and no proof of who sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    pub fn of(disks: &[ErasePreview]) -> Self {
        // The kernel's name for a disk changes from boot to boot and says nothing about it.
        let facts: Vec<(&DiskPin, &[PartitionReport])> =
            disks.iter().map(|disk| (&disk.pin, &disk.partitions[..])).collect();
        let facts = serde_json::to_vec(&facts).expect("texts and numbers are JSON");
        Self(blake3::hash(&facts).to_hex().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::{machine::PartitionReport, messages::DiskPin, units::Extent, units::SectorSize};

    use super::Shown;
    use crate::imaging::session::plan::ErasePreview;

    fn disk(serial: &str, partitions: &[&str]) -> ErasePreview {
        let partition = |(name, number): (&&str, u32)| PartitionReport {
            number,
            place: Extent { start_bytes: 1 << 20, length_bytes: 1 << 30 },
            name: (*name).into(),
            filesystem: None,
        };
        ErasePreview {
            pin: DiskPin {
                model: None,
                serial: Some(serial.into()),
                wwn: None,
                size_bytes: 1 << 40,
                logical_sector: SectorSize::B512,
            },
            kernel_name: "sda".into(),
            partitions: partitions.iter().zip(1..).map(partition).collect(),
        }
    }

    #[test]
    fn another_disk_another_partition_or_one_disk_more_is_another_sight_and_a_renamed_disk_is_not() {
        let seen = Shown::of(&[disk("A", &["Windows"])]);
        for other in [
            vec![],
            vec![disk("B", &["Windows"])],
            vec![disk("A", &[])],
            vec![disk("A", &["Debian"])],
            vec![disk("A", &["Windows"]), disk("B", &[])],
        ] {
            assert_ne!(Shown::of(&other), seen, "{other:?}");
        }
        let renamed = ErasePreview { kernel_name: "sdb".into(), ..disk("A", &["Windows"]) };
        assert_eq!(Shown::of(&[renamed]), seen);
    }
}
