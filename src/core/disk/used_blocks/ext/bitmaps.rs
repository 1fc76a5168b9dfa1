//! Reading descriptors and bitmaps in large pieces.

use super::{group::Group, superblock::Superblock};
use crate::disk::{ReadAt, used_blocks::UsedBlocksError};

/// Most that is read at once. `flex_bg` puts the bitmaps of 16 groups side by side, and mkfs can be told more.
const READ_BYTES: u64 = 1 << 20;

/// Reads the descriptors of all groups.
pub(super) fn read_groups(
    volume: &dyn ReadAt,
    superblock: &Superblock,
) -> Result<Vec<Group>, UsedBlocksError> {
    let mut groups = Vec::new();
    let blocks_max = READ_BYTES / superblock.block_bytes;
    let mut index = 0;
    while index < superblock.descriptor_blocks() {
        let start = superblock.descriptor_block(index);
        let count = neighbours(start, blocks_max, |next| {
            let index = index + next;
            (index < superblock.descriptor_blocks()).then(|| superblock.descriptor_block(index))
        });
        let offset = start * superblock.block_bytes;
        let mut bytes = vec![0; (count * superblock.block_bytes) as usize];
        volume.read_exact_at(&mut bytes, offset)?;
        let left = superblock.groups - groups.len() as u64;
        let descriptors = bytes.chunks_exact(superblock.descriptor_bytes as usize).take(left as usize);
        for (place, descriptor) in (offset..).step_by(superblock.descriptor_bytes as usize).zip(descriptors) {
            groups.push(Group::parse(descriptor, groups.len() as u64, place, superblock)?);
        }
        index += count;
    }
    Ok(groups)
}

/// The block bitmaps, asked for in the order of the groups.
pub(super) struct Bitmaps<'a> {
    volume: &'a dyn ReadAt,
    superblock: &'a Superblock,
    groups: &'a [Group],
    /// The bitmaps of consecutive groups from `first` on.
    bytes: Vec<u8>,
    first: usize,
}

impl<'a> Bitmaps<'a> {
    pub(super) fn new(volume: &'a dyn ReadAt, superblock: &'a Superblock, groups: &'a [Group]) -> Self {
        Self { volume, superblock, groups, bytes: Vec::new(), first: 0 }
    }

    /// The bitmap of a group, one block long.
    pub(super) fn read(&mut self, group: usize) -> Result<&[u8], UsedBlocksError> {
        let block_bytes = self.superblock.block_bytes as usize;
        let held = self.first..self.first + self.bytes.len() / block_bytes;
        if !held.contains(&group) {
            let start = self.groups[group].block_bitmap;
            let blocks_max = READ_BYTES / self.superblock.block_bytes;
            let count = neighbours(start, blocks_max, |next| {
                self.groups.get(group + next as usize).map(|group| group.block_bitmap)
            });
            self.bytes.resize(count as usize * block_bytes, 0);
            self.volume.read_exact_at(&mut self.bytes, start * self.superblock.block_bytes)?;
            self.first = group;
        }
        let at = (group - self.first) * block_bytes;
        Ok(&self.bytes[at..at + block_bytes])
    }
}

/// How many blocks from `start` on follow each other, by `place(1)`, `place(2)`…, at most `max`.
fn neighbours(start: u64, max: u64, place: impl Fn(u64) -> Option<u64>) -> u64 {
    (1..max.max(1)).find(|&next| place(next) != Some(start + next)).unwrap_or(max.max(1))
}
