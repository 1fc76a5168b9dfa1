//! The account of space: the extent tree has every used extent, and each block group says how much of it is used.

use super::{Damage, chunks::Chunks, superblock::Superblock, tree::Item};
use crate::{
    disk::{
        fields::u64_at,
        used_blocks::{UsedBlocksError, extents::Gathered},
    },
    units::Extent,
};

/// Kinds of items. A metadata item says the level in place of the length, which is that of a node.
const EXTENT_ITEM: u8 = 168;
const METADATA_ITEM: u8 = 169;
pub(super) const BLOCK_GROUP_ITEM: u8 = 192;

/// Adds up used extents, item by item in the order of their logical addresses.
pub(super) struct Account<'a> {
    superblock: &'a Superblock,
    chunks: &'a Chunks,
    groups: Vec<Group>,
    gathered: Gathered,
    /// Where the last extent ended.
    end: u64,
}

/// The block group of a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    found_bytes: u64,
    claimed_bytes: Option<u64>,
}

impl<'a> Account<'a> {
    pub(super) fn new(superblock: &'a Superblock, chunks: &'a Chunks) -> Self {
        let groups = vec![Group::default(); chunks.as_slice().len()];
        Self { superblock, chunks, groups, gathered: Gathered::new(u64::MAX), end: 0 }
    }

    /// Takes an item of the extent tree or of the block group tree.
    pub(super) fn take(&mut self, item: Item<'_>) -> Result<(), UsedBlocksError> {
        match item.key.kind {
            EXTENT_ITEM => self.take_extent(item, item.key.offset),
            METADATA_ITEM => self.take_extent(item, self.superblock.node_bytes),
            BLOCK_GROUP_ITEM => self.take_group(item),
            // References to extents, shared with more owners than an item has room for.
            _ => Ok(()),
        }
    }

    fn take_extent(&mut self, item: Item<'_>, length: u64) -> Result<(), UsedBlocksError> {
        let start = item.key.object;
        let damaged = |what, expected, actual| Damage { what, expected, actual }.at(item.leaf);
        let aligned = |number: u64| number.is_multiple_of(self.superblock.sector_bytes);
        if length == 0 || !aligned(length) || !aligned(start) {
            return Err(damaged("the length of an extent", self.superblock.sector_bytes, length));
        }
        if start < self.end {
            return Err(damaged("extents that do not overlap", self.end, start));
        }
        let number =
            self.chunks.find(start, length).ok_or_else(|| damaged("a chunk for an extent", start, length))?;
        self.groups[number].found_bytes += length;
        self.end = start + length;
        self.gathered.add(start, length);
        Ok(())
    }

    fn take_group(&mut self, item: Item<'_>) -> Result<(), UsedBlocksError> {
        let (start, length) = (item.key.object, item.key.offset);
        let same = |number: &usize| {
            let chunk = self.chunks.as_slice()[*number];
            (chunk.logical, chunk.length) == (start, length)
        };
        let number = self.chunks.find(start, length).filter(same).ok_or_else(|| {
            Damage { what: "a chunk for a block group", expected: start, actual: length }.at(item.leaf)
        })?;
        self.groups[number].claimed_bytes = Some(u64_at(item.value, 0));
        Ok(())
    }

    /// The used extents in logical space, and how many bytes of the device they take, once every group adds up.
    pub(super) fn finish(self) -> Result<(Vec<Extent>, u64), UsedBlocksError> {
        let mut used_bytes = 0;
        for (group, chunk) in self.groups.iter().zip(self.chunks.as_slice()) {
            if group.claimed_bytes != Some(group.found_bytes) {
                let (expected, actual) = (group.claimed_bytes.unwrap_or(u64::MAX), group.found_bytes);
                return Err(Damage { what: "the used bytes of a block group", expected, actual }
                    .at(chunk.copies().next().unwrap_or_default()));
            }
            used_bytes += group.found_bytes * chunk.copies().count() as u64;
        }
        Ok((self.gathered.finish(1).extents, used_bytes))
    }
}
