//! What whoever deploys a version should know of it, by its manifest.

use serde::{Deserialize, Serialize};

use super::{Content, Manifest, Region, RegionKind, volumes::VolumeName};
use crate::disk::filesystem::FileSystem;

/// Something that a version does not show until it is deployed. [`crate::text::warning`] says it in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    #[serde(rename = "warning")]
    pub what: Opaque,
    pub partition: u32,
    /// The logical volume of LVM in the partition that it is about; `None` is all of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeName>,
}

/// What is carried byte by byte and is not what it was, once it is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opaque {
    /// Every computer that the version is deployed to has the same key, and free space is carried too.
    Luks,
    /// The same; and a key that is sealed to the TPM of one computer opens nothing on another.
    BitLocker,
    /// One member of a Linux RAID is not the array.
    RaidMember,
}

impl Opaque {
    fn of(found: FileSystem) -> Option<Self> {
        match found {
            FileSystem::Luks => Some(Self::Luks),
            FileSystem::BitLocker => Some(Self::BitLocker),
            FileSystem::LinuxRaid => Some(Self::RaidMember),
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

impl Manifest {
    /// What is to be known of this version, in the order of the places on the disk.
    pub fn warnings(&self) -> Vec<Warning> {
        self.regions.iter().flat_map(Region::warnings).collect()
    }
}

impl Region {
    fn warnings(&self) -> Vec<Warning> {
        let RegionKind::Partition(partition) = self.kind else { return Vec::new() };
        let warning = |volume, found| Some(Warning { what: Opaque::of(found)?, partition, volume });
        match &self.content {
            Content::Raw { found } => found.and_then(|found| warning(None, found)).into_iter().collect(),
            Content::Mapped { .. } => Vec::new(),
            Content::MappedGroup { opaque, .. } => opaque
                .iter()
                .filter_map(|inside| warning(Some(inside.volume.clone()), inside.found))
                .collect(),
        }
    }
}
