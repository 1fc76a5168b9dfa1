//! The superblock: where the areas of the volume are.

use super::{BLOCK_BYTES, BLOCKS_PER_SEGMENT, ENTRIES_PER_BLOCK, damaged};
use crate::disk::{
    ReadAt,
    checksum::crc32_from,
    fields::{has, u8_at, u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

pub(super) const MAGIC: u32 = 0xF2F5_2010;
/// Where the superblock stands in each of the first two blocks, and how long it is.
const AT: u64 = 1024;
const BYTES: usize = 3072;
/// Its checksum stands in its last four bytes, if this feature says that it has one.
const FEATURE_CHECKSUM: u32 = 0x0800;
/// Zones that are written from start to end: part of the volume's state is in the disk.
const FEATURE_ZONED: u32 = 0x0002;
/// Path of the first of the volume's devices, if it has several.
const DEVICES_AT: usize = 2201;

/// A volume whose superblock's numbers agree with each other; places and lengths count blocks.
pub(super) struct Superblock {
    /// Of the whole volume.
    pub(super) blocks: u64,
    pub(super) checkpoints: u64,
    pub(super) sit: u64,
    /// Blocks of one copy of the segment information table.
    pub(super) sit_blocks: u64,
    pub(super) main: u64,
    pub(super) main_segments: u64,
    /// Blocks behind the first of a checkpoint pack that hold bitmaps for which that has no room.
    pub(super) payload: u64,
}

impl Superblock {
    /// Reads the first superblock, or the second where the first is damaged, like Linux.
    pub(super) fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        match Self::read_at(volume, AT) {
            Err(UsedBlocksError::Damaged { .. }) => Self::read_at(volume, BLOCK_BYTES + AT),
            result => result,
        }
    }

    fn read_at(volume: &dyn ReadAt, offset: u64) -> Result<Self, UsedBlocksError> {
        let mut bytes = [0; BYTES];
        volume.read_exact_at(&mut bytes, offset)?;
        let check = |at: usize, expected: u64, actual: u64, what| {
            if expected == actual { Ok(()) } else { Err(damaged(offset + at as u64, expected, actual, what)) }
        };
        let field = |at: usize| u64::from(u32_at(&bytes, at));
        if !has(&bytes, 0, &MAGIC.to_le_bytes()) {
            return Err(damaged(offset, MAGIC.into(), field(0), "the magic number of a superblock"));
        }
        let features = u32_at(&bytes, 2180);
        if features & FEATURE_CHECKSUM != 0 {
            let (at, sum) = (BYTES - 4, crc32_from(MAGIC, &[&bytes[..BYTES - 4]]));
            check(at, sum.into(), field(at), "the checksum of a superblock")?;
        }
        if features & FEATURE_ZONED != 0 || u8_at(&bytes, DEVICES_AT) != 0 || field(16) != 12 {
            let what = "an F2FS on zones, on several devices or of unusual blocks".into();
            return Err(UsedBlocksError::Unsupported { what });
        }
        check(20, 9, field(20), "the power of two of the blocks per segment")?;

        // Each area begins where the one before it ends: checkpoints, SIT, NAT, summaries, main area.
        let mut next = field(72);
        for (start_at, segments_at) in [(76, 52), (80, 56), (84, 60), (88, 64), (92, 68)] {
            check(start_at, next, field(start_at), "the start of an area")?;
            next = field(start_at) + field(segments_at) * BLOCKS_PER_SEGMENT;
        }
        let (blocks, room) = (u64_at(&bytes, 36), volume.length_bytes() / BLOCK_BYTES);
        if next > blocks.min(room) || blocks > room {
            return Err(damaged(offset + 36, room, next.max(blocks), "the length of the volume"));
        }
        let (main_segments, sit_blocks) = (field(68), field(56) / 2 * BLOCKS_PER_SEGMENT);
        if main_segments == 0 || main_segments > sit_blocks * ENTRIES_PER_BLOCK || field(52) < 2 {
            let most = sit_blocks * ENTRIES_PER_BLOCK;
            return Err(damaged(offset + 68, most, main_segments, "the number of segments"));
        }
        let (checkpoints, sit, main, payload) = (field(76), field(80), field(92), field(1664));
        Ok(Self { blocks, checkpoints, sit, sit_blocks, main, main_segments, payload })
    }
}
