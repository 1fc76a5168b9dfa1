//! The descriptor of one block group.

use super::superblock::{Checksums, Superblock};
use crate::disk::{
    checksum::{crc16, crc32c},
    fields::{u16_at, u32_at},
    used_blocks::UsedBlocksError,
};

/// `bg_flags`: the block bitmap on disk was never written.
const BLOCK_UNINIT: u16 = 0x2;
/// Where the descriptor's own checksum stands.
const CHECKSUM_AT: usize = 0x1E;
/// From this size on a descriptor has upper halves of its numbers.
const WIDE_BYTES: u64 = 64;

/// What a descriptor says of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    /// Free bits of the block bitmap.
    pub(super) free: u64,
    pub(super) bitmap_checksum: u32,
    /// Whether the bitmap on disk counts. Where it does not, only the file system's own structures are in use.
    pub(super) has_bitmap: bool,
}

impl Group {
    /// Reads the descriptor of group `number`, which stands at `offset` of the volume.
    pub(super) fn parse(
        bytes: &[u8],
        number: u64,
        offset: u64,
        superblock: &Superblock,
    ) -> Result<Self, UsedBlocksError> {
        check_checksum(bytes, number, offset, superblock)?;
        let wide = superblock.descriptor_bytes >= WIDE_BYTES;
        let high32 = |at| if wide { u64::from(u32_at(bytes, at)) << 32 } else { 0 };
        let high16 = |at| if wide { u32::from(u16_at(bytes, at)) << 16 } else { 0 };
        let group = Self {
            block_bitmap: high32(0x20) | u64::from(u32_at(bytes, 0x00)),
            inode_bitmap: high32(0x24) | u64::from(u32_at(bytes, 0x04)),
            inode_table: high32(0x28) | u64::from(u32_at(bytes, 0x08)),
            free: u64::from(high16(0x2C) | u32::from(u16_at(bytes, 0x0C))),
            bitmap_checksum: high16(0x38) | u32::from(u16_at(bytes, 0x18)),
            has_bitmap: superblock.checksums == Checksums::None || u16_at(bytes, 0x12) & BLOCK_UNINIT == 0,
        };
        let places = [
            ("the place of a block bitmap", group.block_bitmap, 1),
            ("the place of an inode bitmap", group.inode_bitmap, 1),
            ("the place of an inode table", group.inode_table, superblock.inode_table_blocks),
        ];
        for (what, block, count) in places {
            let end = block.checked_add(count);
            if block < superblock.first_data_block.max(1) || end.is_none_or(|end| end > superblock.blocks) {
                return Err(UsedBlocksError::Damaged {
                    offset,
                    expected: superblock.blocks,
                    actual: block,
                    what,
                });
            }
        }
        Ok(group)
    }

    /// Checks the bitmap against its checksum, where there is one.
    pub(super) fn check_bitmap(&self, bitmap: &[u8], superblock: &Superblock) -> Result<(), UsedBlocksError> {
        let Checksums::All { seed } = superblock.checksums else { return Ok(()) };
        let covered = bitmap.get(..(superblock.bits_per_group / 8) as usize).unwrap_or(bitmap);
        let mask = if superblock.descriptor_bytes >= WIDE_BYTES { u32::MAX } else { 0xFFFF };
        let expected = crc32c(seed, &[covered]) & mask;
        if expected == self.bitmap_checksum {
            return Ok(());
        }
        Err(UsedBlocksError::Damaged {
            offset: self.block_bitmap * superblock.block_bytes,
            expected: expected.into(),
            actual: self.bitmap_checksum.into(),
            what: "the checksum of a block bitmap",
        })
    }

    /// Checks that the descriptor counts as many free blocks or clusters as the bitmap, or the structures alone
    /// where there is none, leave free. File systems without checksums have no other means to show a wrong bitmap.
    pub(super) fn check_free(
        &self,
        number: u64,
        actual: u64,
        superblock: &Superblock,
    ) -> Result<(), UsedBlocksError> {
        if self.free == actual {
            return Ok(());
        }
        let offset = superblock.group_start(number) * superblock.block_bytes;
        let what = "the free blocks of the group";
        Err(UsedBlocksError::Damaged { offset, expected: self.free, actual, what })
    }
}

fn check_checksum(
    bytes: &[u8],
    number: u64,
    offset: u64,
    superblock: &Superblock,
) -> Result<(), UsedBlocksError> {
    // Group numbers have 32 bits, and at most GROUPS_MAX are read.
    let number = (number as u32).to_le_bytes();
    let (before, after) = (&bytes[..CHECKSUM_AT], &bytes[CHECKSUM_AT + 2..]);
    let expected = match superblock.checksums {
        Checksums::None => return Ok(()),
        // The rest is covered only where descriptors are wide.
        Checksums::Descriptors => crc16(&[&superblock.uuid, &number, before, after]),
        Checksums::All { seed } => crc32c(seed, &[&number, before, &[0; 2], after]) as u16,
    };
    let actual = u16_at(bytes, CHECKSUM_AT);
    if expected == actual {
        return Ok(());
    }
    let what = "the checksum of a group descriptor";
    Err(UsedBlocksError::Damaged { offset, expected: expected.into(), actual: actual.into(), what })
}
