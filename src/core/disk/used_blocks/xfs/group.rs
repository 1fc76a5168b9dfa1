//! The free space header of an allocation group, in the group's second sector ("AG Free Space Block").

use super::{
    superblock::{Superblock, check_checksum},
    tree::Order,
};
use crate::disk::{
    ReadAt,
    fields::{be_u32_at, be_u64_at},
    used_blocks::UsedBlocksError,
};

const MAGIC: u32 = 0x5841_4746;
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = 216;
const UUID_AT: usize = 64;
/// Most levels of any tree; those of free space need fewer even with blocks of 512 bytes.
const LEVELS_MAX: u32 = 9;

/// What a header says of its group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) number: u64,
    pub(super) blocks: u64,
    /// Blocks in the trees of free space.
    pub(super) free: u64,
    pub(super) longest: u64,
    /// Free blocks as the superblock counts them: also those of the free list, and of the trees beyond their roots.
    pub(super) free_for_files: u64,
    /// Where the header stands.
    offset: u64,
    by_place: Root,
    by_length: Root,
    /// Roots of the trees of reverse mappings and of shared extents, 0 where there is none.
    others: [u64; 2],
}

/// Where a tree begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) block: u64,
    /// Levels of the tree, at least 1.
    pub(super) levels: u32,
}

impl Group {
    /// Reads the header of group `number`.
    pub(super) fn read(
        volume: &dyn ReadAt,
        superblock: &Superblock,
        number: u64,
    ) -> Result<Self, UsedBlocksError> {
        let offset = superblock.group_start(number) * superblock.block_bytes + superblock.sector_bytes;
        let mut bytes = vec![0; superblock.sector_bytes as usize];
        volume.read_exact_at(&mut bytes, offset)?;
        let field = |at| u64::from(be_u32_at(&bytes, at));
        let root =
            |index: usize| Root { block: field(16 + 4 * index), levels: be_u32_at(&bytes, 28 + 4 * index) };
        let group = Self {
            number,
            blocks: superblock.blocks_of_group(number),
            free: field(52),
            longest: field(56),
            free_for_files: field(52) + field(48) + field(60),
            offset,
            by_place: root(0),
            by_length: root(1),
            others: if superblock.uuid.is_some() { [field(24), field(88)] } else { [0; 2] },
        };
        group.check(&bytes, superblock)?;
        Ok(group)
    }

    pub(super) fn root(&self, order: Order) -> Root {
        match order {
            Order::Place => self.by_place,
            Order::Length => self.by_length,
        }
    }

    /// The blocks in which trees are known to begin.
    pub(super) fn roots(&self) -> impl Iterator<Item = u64> {
        let free_space = [self.by_place.block, self.by_length.block];
        free_space.into_iter().chain(self.others.into_iter().filter(|&root| root != 0))
    }

    pub(super) fn damaged(&self, what: &'static str, expected: u64, actual: u64) -> UsedBlocksError {
        UsedBlocksError::Damaged { offset: self.offset, expected, actual, what }
    }

    fn check(&self, bytes: &[u8], superblock: &Superblock) -> Result<(), UsedBlocksError> {
        let pairs = [
            ("the magic number of an allocation group", 0, MAGIC.into()),
            ("the version of an allocation group", 4, VERSION.into()),
            ("the number of an allocation group", 8, self.number),
            ("the blocks of an allocation group", 12, self.blocks),
        ];
        for (what, at, expected) in pairs {
            let actual = u64::from(be_u32_at(bytes, at));
            if actual != expected {
                return Err(self.damaged(what, expected, actual));
            }
        }
        if let Some(uuid) = superblock.uuid {
            check_checksum("the checksum of an allocation group", bytes, CHECKSUM_AT, self.offset)?;
            for half in [0, 8] {
                let (expected, actual) = (be_u64_at(&uuid, half), be_u64_at(bytes, UUID_AT + half));
                if actual != expected {
                    return Err(self.damaged("the file system of an allocation group", expected, actual));
                }
            }
        }
        for root in [self.by_place, self.by_length] {
            if root.block < superblock.header_blocks() || root.block >= self.blocks {
                return Err(self.damaged("the root of a tree of free space", self.blocks, root.block));
            }
            if !(1..=LEVELS_MAX).contains(&root.levels) {
                let levels = root.levels.into();
                return Err(self.damaged("the levels of a tree of free space", LEVELS_MAX.into(), levels));
            }
        }
        Ok(())
    }
}
