//! Which bytes of a file system are in use, read from its own account of free space: no mount, no writes.
//!
//! [`map`] answers for the file systems it knows. A map covers at least what is in use: boot sectors and backups
//! that stand outside the account are added, and where two sources disagree the larger one counts.

pub mod btrfs;
pub mod exfat;
pub mod ext;
pub mod extents;
pub mod f2fs;
pub mod fat;
pub mod lvm;
pub mod ntfs;
pub mod swap;
pub mod xfs;

use std::io;

use super::{ReadAt, filesystem::FileSystem};
use crate::{failure::UncleanReason, units::Extent};

/// The bytes of a volume that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMap {
    /// The file system's block or cluster, in which it accounts for space.
    pub block_bytes: u32,
    /// Bytes in use, without those that come back as zeros.
    pub used_bytes: u64,
    /// Sorted, disjoint, merged, inside the volume and counted from its start. They cover at least the bytes in
    /// use, and more only where a map of [`extents::EXTENTS_MAX`] pieces would not be enough.
    pub extents: Vec<Extent>,
    /// Bytes in use whose content is of no worth, and which hold zeros in a copy. Sorted, disjoint, merged, inside
    /// the volume, and apart from `extents`: what a map that grew too long covers of them is carried.
    pub zeroed: Vec<Extent>,
}

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum UsedBlocksError {
    /// The volume can still be captured raw.
    #[error("no map of used blocks: {what}")]
    Unsupported { what: String },
    /// The volume's content on disk is not whole.
    #[error("the file system is not clean: {reason:?}")]
    Unclean { reason: UncleanReason },
    /// Part of the file system is on another device, without which it must not be carried.
    #[error("the journal of the file system is on another device")]
    ExternalJournal,
    /// Files of the file system are on another device, without which it must not be carried.
    #[error("part of the file system's files is on another device")]
    FilesElsewhere,
    /// The rest of the file system is on other devices, and what is here is nothing without it.
    #[error("the file system spans several devices")]
    SeveralDevices,
    /// Parts of a volume group of LVM are on other disks; without a name where its description is there too.
    #[error("the volume group {} is not on this disk as a whole", group.as_deref().unwrap_or("of the physical volume"))]
    GroupElsewhere { group: Option<String> },
    /// A logical volume of LVM, named `group/volume`, cannot be carried.
    #[error("in the volume {volume}")]
    InVolume {
        volume: String,
        filesystem: FileSystem,
        #[source]
        error: Box<Self>,
    },
    /// The file system contradicts itself.
    #[error("{what} at byte {offset}: expected {expected}, found {actual}")]
    Damaged { offset: u64, expected: u64, actual: u64, what: &'static str },
    #[error("reading the file system")]
    Io(#[from] io::Error),
}

/// Maps what is in use on `volume`, which holds `filesystem`. A physical volume of LVM is taken for the only one of its
/// disk; [`lvm::map`] knows of others.
pub fn map(filesystem: FileSystem, volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    match filesystem {
        FileSystem::Btrfs => btrfs::map(volume),
        FileSystem::ExFat => exfat::map(volume),
        FileSystem::Ext => ext::map(volume),
        FileSystem::Fat12 | FileSystem::Fat16 | FileSystem::Fat32 => fat::map(volume),
        FileSystem::F2fs => f2fs::map(volume),
        FileSystem::Ntfs => ntfs::map(volume),
        FileSystem::Lvm => {
            let own = lvm::PhysicalVolume::read(volume)?;
            lvm::map(volume, &own, std::slice::from_ref(&own))
        }
        FileSystem::Swap => swap::map(volume),
        FileSystem::Xfs => xfs::map(volume),
        FileSystem::LinuxRaid | FileSystem::Luks | FileSystem::BitLocker => {
            Err(UsedBlocksError::Unsupported { what: format!("{filesystem:?} is not read yet") })
        }
    }
}
