//! Which bytes of a file system are in use, read from its own account of free space: no mount, no writes.
//!
//! [`map`] answers for the file systems it knows. A map covers at least what is in use: boot sectors and backups
//! that stand outside the account are added, and where two sources disagree the larger one counts. What lies behind the
//! end of a file system is nobody's account, and counts as in use: something may be kept there (DRBD's own data, the
//! hashes of dm-verity).

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
    /// How much of the volume is the file system's, by its own word.
    end_bytes: u64,
}

impl UsedMap {
    /// Adds what lies between the end of the file system and that of its volume.
    fn with_rest(mut self, volume_bytes: u64) -> Self {
        let start_bytes = self.end_bytes.min(volume_bytes);
        let Some(rest) = Extent::between(start_bytes, volume_bytes).filter(|rest| rest.length_bytes > 0)
        else {
            return self;
        };
        let known = self.extents.partition_point(|extent| extent.start_bytes < start_bytes);
        let inside = self.extents.drain(known..).map(|extent| extent.length_bytes).sum::<u64>();
        match self.extents.last_mut() {
            Some(last) if last.end_bytes() >= start_bytes => {
                let twice = inside + (last.end_bytes() - start_bytes);
                last.length_bytes = volume_bytes - last.start_bytes;
                self.used_bytes = self.used_bytes.saturating_sub(twice) + rest.length_bytes;
            }
            _ => {
                self.extents.push(rest);
                self.used_bytes = self.used_bytes.saturating_sub(inside) + rest.length_bytes;
            }
        }
        self.end_bytes = volume_bytes;
        self
    }
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

/// Maps what is in use on `volume`, which holds `filesystem`, and what lies behind that. A physical volume of LVM is taken for the only one of its
/// disk; [`lvm::map`] knows of others.
pub fn map(filesystem: FileSystem, volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let map = match filesystem {
        FileSystem::Btrfs => btrfs::map(volume),
        FileSystem::ExFat => exfat::map(volume),
        FileSystem::Ext => ext::map(volume),
        FileSystem::Fat12 | FileSystem::Fat16 | FileSystem::Fat32 => fat::map(volume),
        FileSystem::F2fs => f2fs::map(volume),
        FileSystem::Ntfs => ntfs::map(volume),
        FileSystem::Lvm => {
            let own = lvm::PhysicalVolume::read(volume)?;
            lvm::map(volume, &own, std::slice::from_ref(&own)).map(|mapped| mapped.used)
        }
        FileSystem::Swap => swap::map(volume),
        FileSystem::Xfs => xfs::map(volume),
        FileSystem::LinuxRaid | FileSystem::Luks | FileSystem::BitLocker => {
            Err(UsedBlocksError::Unsupported { what: format!("{filesystem:?} is not read yet") })
        }
    };
    map.map(|map| map.with_rest(volume.length_bytes()))
}

#[cfg(test)]
mod tests {
    use super::UsedMap;
    use crate::units::Extent;

    #[test]
    fn what_lies_behind_the_file_system_is_in_use_and_counted_once() {
        let extent =
            |start_bytes: u64, end_bytes: u64| Extent::between(start_bytes, end_bytes).expect("in order");
        let check = |end_bytes, extents: &[(u64, u64)], expected: &[(u64, u64)]| {
            let of = |list: &[(u64, u64)]| -> Vec<Extent> {
                list.iter().map(|&(from, to)| extent(from, to)).collect()
            };
            let bytes = |list: &[Extent]| list.iter().map(|extent| extent.length_bytes).sum::<u64>();
            let extents = of(extents);
            let used_bytes = bytes(&extents);
            let map =
                UsedMap { block_bytes: 1, used_bytes, extents, zeroed: vec![], end_bytes }.with_rest(100);
            assert_eq!(map.extents, of(expected));
            assert_eq!(map.used_bytes, bytes(&map.extents));
            assert_eq!(map.clone().with_rest(100), map);
        };
        check(100, &[(0, 10)], &[(0, 10)]);
        check(120, &[(0, 10)], &[(0, 10)]);
        check(90, &[], &[(90, 100)]);
        check(90, &[(0, 10), (80, 89)], &[(0, 10), (80, 89), (90, 100)]);
        check(90, &[(0, 10), (80, 90)], &[(0, 10), (80, 100)]);
        // A copy that stands behind the end, such as the last sector of an NTFS partition.
        check(90, &[(0, 10), (85, 91), (99, 100)], &[(0, 10), (85, 100)]);
        check(90, &[(0, 10), (90, 91), (99, 100)], &[(0, 10), (90, 100)]);
    }
}
