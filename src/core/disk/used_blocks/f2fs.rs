//! F2FS: the segment information table (SIT) has a bitmap of valid blocks for each segment.
//!
//! ```text
//! two superblocks · two checkpoint packs · SIT · NAT · summaries · main area, in segments of 2 MiB
//! ```
//!
//! Source: Linux, `include/linux/f2fs_fs.h` and `Documentation/filesystems/f2fs.rst`; Lee et al., "F2FS: A New File System
//! for Flash Storage" (FAST 2015).
//!
//! Everything before the main area is carried. Each block of the SIT exists twice, and the newest checkpoint says which
//! one counts; changes that did not go there yet stand in a journal inside the checkpoint pack.

mod checkpoint;
mod superblock;

use checkpoint::Checkpoint;
use superblock::Superblock;

use super::{UsedBlocksError, UsedMap, extents::Gathered};
use crate::disk::{ReadAt, fields::u16_at};

/// The only block size that this program, and Linux on a PC, knows.
const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = BLOCK as u64;
const BLOCKS_PER_SEGMENT: u64 = 512;
/// An entry of the SIT: 10 bits of count and 6 of type, a bitmap, a time.
const ENTRY_BYTES: usize = 74;
const ENTRIES_PER_BLOCK: u64 = (BLOCK / ENTRY_BYTES) as u64;
const COUNT_MASK: u16 = (1 << 10) - 1;
const BITMAP_BYTES: usize = (BLOCKS_PER_SEGMENT / 8) as usize;

/// What is valid in a segment.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Least bit first, unlike on the disk.
    bitmap: [u8; BITMAP_BYTES],
}

impl Segment {
    /// Reads an entry that stands at `offset` of the volume.
    fn parse(entry: &[u8], offset: u64) -> Result<Self, UsedBlocksError> {
        let mut bitmap = [0; BITMAP_BYTES];
        let bits = entry.get(2..2 + BITMAP_BYTES).unwrap_or_default();
        bitmap.iter_mut().zip(bits).for_each(|(bits, byte)| *bits = byte.reverse_bits());
        let counted: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
        let count = u16_at(entry, 0) & COUNT_MASK;
        if u32::from(count) != counted {
            let what = "the number of valid blocks of a segment";
            return Err(damaged(offset, counted.into(), count.into(), what));
        }
        Ok(Self { bitmap })
    }
}

/// Maps an F2FS volume. One that was not unmounted is refused: what was synced since the last checkpoint waits in
/// chains of nodes in the main area, which no bitmap knows.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let superblock = Superblock::read(volume)?;
    let checkpoint = Checkpoint::read(volume, &superblock)?;
    let mut gathered = Gathered::new(volume.length_bytes());
    gathered.add(0, superblock.main * BLOCK_BYTES);
    let mut block = [0; BLOCK];
    for index in 0..superblock.main_segments.div_ceil(ENTRIES_PER_BLOCK) {
        let copy = if checkpoint.is_second_copy(index) { superblock.sit_blocks } else { 0 };
        let place = (superblock.sit + copy + index) * BLOCK_BYTES;
        volume.read_exact_at(&mut block, place)?;
        let first = index * ENTRIES_PER_BLOCK;
        let segments = first..superblock.main_segments.min(first + ENTRIES_PER_BLOCK);
        for (number, entry) in segments.zip(block.chunks_exact(ENTRY_BYTES)) {
            let segment = match checkpoint.journalled(number) {
                Some(segment) => segment,
                None => Segment::parse(entry, place + (number - first) * ENTRY_BYTES as u64)?,
            };
            let start = (superblock.main + number * BLOCKS_PER_SEGMENT) * BLOCK_BYTES;
            gathered.add_bits(&segment.bitmap, start, BLOCK_BYTES, BLOCKS_PER_SEGMENT);
        }
    }
    Ok(UsedMap { end_bytes: superblock.blocks * BLOCK_BYTES, ..gathered.finish(BLOCK as u32) })
}

fn damaged(offset: u64, expected: u64, actual: u64, what: &'static str) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset, expected, actual, what }
}
