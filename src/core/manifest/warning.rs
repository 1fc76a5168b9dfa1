//! What whoever deploys a version should know of it, by its manifest.

use serde::{Deserialize, Serialize};

use super::{Content, Manifest, Region, RegionKind};
use crate::disk::filesystem::FileSystem;

/// Something that a version does not show until it is deployed. [`crate::text::warning`] says it in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// Every computer that the version is deployed to has the same key, and free space is carried too.
    Luks { partition: u32 },
    /// The same; and a key that is sealed to the TPM of one computer opens nothing on another.
    BitLocker { partition: u32 },
    /// One member of a Linux RAID is not the array.
    RaidMember { partition: u32 },
}

impl Manifest {
    /// What is to be known of this version, in the order of the places on the disk.
    pub fn warnings(&self) -> Vec<Warning> {
        self.regions.iter().filter_map(Region::warning).collect()
    }
}

impl Region {
    fn warning(&self) -> Option<Warning> {
        let (RegionKind::Partition(partition), Content::Raw { found: Some(found) }) =
            (self.kind, &self.content)
        else {
            return None;
        };
        match found {
            FileSystem::Luks => Some(Warning::Luks { partition }),
            FileSystem::BitLocker => Some(Warning::BitLocker { partition }),
            FileSystem::LinuxRaid => Some(Warning::RaidMember { partition }),
            // Carried byte by byte, it is what it was.
            FileSystem::Ntfs
            | FileSystem::Ext
            | FileSystem::Fat12
            | FileSystem::Fat16
            | FileSystem::Fat32
            | FileSystem::ExFat
            | FileSystem::Xfs
            | FileSystem::Btrfs
            | FileSystem::F2fs
            | FileSystem::Swap
            | FileSystem::Lvm => None,
        }
    }
}
