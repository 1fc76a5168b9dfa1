//! XFS, versions 4 and 5: each allocation group has its free extents in two B+trees, by place and by length.
//!
//! In use is whatever the tree by place does not list: superblocks and headers of the groups, the blocks of every
//! tree, the log, and the blocks that the allocator holds in reserve (AGFL), which no tree lists.
//! The tree by length must hold the same extents: without checksums (version 4) nothing else shows that a record
//! of the first one moved.
//!
//! Source: "XFS Algorithms & Data Structures", 3rd edition (xfs-documentation), sections "Allocation Groups",
//! "B+trees" and "Journaling Log". All numbers on disk are big-endian, checksums excepted.

mod group;
mod log;
mod superblock;
mod tree;

use std::ops::Range;

use group::Group;
use superblock::Superblock;
use tree::{Order, Sum};

use super::{UsedBlocksError, UsedMap, extents::Gathered};
use crate::{disk::ReadAt, failure::UncleanReason};

/// Maps an XFS file system. It must be at rest: its log ends in the record that unmounting writes.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let superblock = Superblock::read(volume)?;
    if !log::is_clean(volume, superblock.log)? {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::JournalNotEmpty });
    }
    let mut gathered = Gathered::new(superblock.blocks * superblock.block_bytes);
    let mut free = 0;
    for number in 0..superblock.groups {
        let group = Group::read(volume, &superblock, number)?;
        add_group(volume, &superblock, &group, &mut gathered)?;
        free += group.free_for_files;
    }
    superblock.check_free(free)?;
    // At most 64 KiB.
    Ok(gathered.finish(superblock.block_bytes as u32))
}

/// Marks what is not free in a group, and checks its two trees and its header against each other.
fn add_group(
    volume: &dyn ReadAt,
    superblock: &Superblock,
    group: &Group,
    gathered: &mut Gathered,
) -> Result<(), UsedBlocksError> {
    let fixed = fixed_blocks(superblock, group);
    let mut done = 0;
    let by_place = tree::walk(volume, superblock, group, Order::Place, |free| {
        if fixed.iter().any(|used| used.start < free.end && free.start < used.end) {
            return Err(group.damaged("a free extent over blocks that are in use", done, free.start));
        }
        mark(superblock, group, done..free.start, gathered);
        done = free.end;
        Ok(())
    })?;
    mark(superblock, group, done..group.blocks, gathered);
    let by_length = tree::walk(volume, superblock, group, Order::Length, |_| Ok(()))?;
    check_sums(group, by_place, by_length)
}

fn mark(superblock: &Superblock, group: &Group, used: Range<u64>, gathered: &mut Gathered) {
    let start = superblock.group_start(group.number) + used.start;
    gathered.add(start * superblock.block_bytes, (used.end - used.start) * superblock.block_bytes);
}

/// The blocks of a group that are known to be in use without its trees: the four headers, the roots, the log.
fn fixed_blocks(superblock: &Superblock, group: &Group) -> Vec<Range<u64>> {
    let mut fixed: Vec<Range<u64>> = group.roots().map(|root| root..root + 1).collect();
    fixed.push(0..superblock.header_blocks());
    let start = superblock.group_start(group.number) * superblock.block_bytes;
    let end = start + group.blocks * superblock.block_bytes;
    let log = superblock.log;
    if (start..end).contains(&log.start_bytes) {
        let within = |byte: u64| (byte - start) / superblock.block_bytes;
        fixed.push(within(log.start_bytes)..within(log.end_bytes()));
    }
    fixed
}

fn check_sums(group: &Group, by_place: Sum, by_length: Sum) -> Result<(), UsedBlocksError> {
    let pairs = [
        ("the free blocks of the allocation group", group.free, by_place.blocks),
        ("the longest free extent of the allocation group", group.longest, by_place.longest),
        ("the extents in the second tree of free space", by_place.records, by_length.records),
        ("the fingerprint of the second tree of free space", by_place.fingerprint, by_length.fingerprint),
    ];
    match pairs.into_iter().find(|(_, expected, actual)| expected != actual) {
        Some((what, expected, actual)) => Err(group.damaged(what, expected, actual)),
        None => Ok(()),
    }
}
