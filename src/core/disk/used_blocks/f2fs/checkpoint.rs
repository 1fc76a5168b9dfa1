//! The checkpoint: the state of the volume at the last moment at which it was whole.

use std::collections::HashMap;

use super::{
    BLOCK, BLOCK_BYTES, BLOCKS_PER_SEGMENT, ENTRY_BYTES, Segment, damaged,
    superblock::{MAGIC, Superblock},
};
use crate::{
    disk::{
        ReadAt,
        checksum::crc32_from,
        fields::{u8_at, u16_at, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    failure::UncleanReason,
};

/// Flags of a checkpoint.
const UNMOUNTED: u32 = 0x0001;
const COMPACT_SUMMARIES: u32 = 0x0004;
const HAS_ERRORS: u32 = 0x0008;
const NEEDS_CHECK: u32 = 0x0010;
const LARGE_NAT_BITMAP: u32 = 0x0400;
/// `mount -o checkpoint=disable`: the main area went on without the tables. And a shrink that did not come to its end.
const DISABLED: u32 = 0x1000;
const RESIZING: u32 = 0x4000;

/// Where a checkpoint says in which segments and at which of their blocks the three logs for nodes go on.
const NODE_SEGMENTS_AT: usize = 36;
const NODE_BLOCKS_AT: usize = 68;
/// The log for the nodes of files.
const WARM: usize = 1;
/// Where a node has the version of the checkpoint before it.
const NODE_VERSION_AT: u64 = BLOCK_BYTES - 12;
/// Where the bitmaps start in the first block of a pack.
const BITMAPS_AT: usize = 192;
/// A checksum stands at its end, or before the bitmaps, where those are large.
const CHECKSUM_AT: [usize; 2] = [BLOCK - 4, BITMAPS_AT];
/// Files and nodes, each hot, warm or cold, are written to a segment of their own, and the pack has its summary.
const LOGS: u64 = 6;
const COLD_FILES: u64 = 2;
/// Journals: in a summary block behind the entries, in compact summaries the second of two at the start.
const JOURNAL_BYTES: usize = 507;
const JOURNAL_AT: usize = 512 * 7;
/// A count, then the number of a segment and its entry for each: six at most.
const JOURNAL_ENTRY_BYTES: usize = 4 + ENTRY_BYTES;
const JOURNAL_ENTRIES_MAX: usize = (JOURNAL_BYTES - 2) / JOURNAL_ENTRY_BYTES;

/// What the newest whole checkpoint pack says of the segment information table.
pub(super) struct Checkpoint {
    /// For each block of the table, most significant bit first, which of its two copies counts.
    copies: Vec<u8>,
    journal: HashMap<u64, Segment>,
}

/// One of the two packs.
struct Pack {
    start: u64,
    first: [u8; BLOCK],
    version: u64,
    blocks: u64,
}

impl Checkpoint {
    pub(super) fn read(volume: &dyn ReadAt, superblock: &Superblock) -> Result<Self, UsedBlocksError> {
        let starts = [superblock.checkpoints, superblock.checkpoints + BLOCKS_PER_SEGMENT];
        let newest = match starts.map(|start| Pack::read(volume, start)) {
            // The version counts up and around.
            [Ok(one), Ok(other)] if other.version.wrapping_sub(one.version) as i64 > 0 => other,
            [Ok(one), Ok(_)] => one,
            [Ok(only), Err(error)] | [Err(error), Ok(only)] => match error {
                UsedBlocksError::Damaged { .. } => only,
                error => return Err(error),
            },
            [Err(error), Err(_)] => return Err(error),
        };
        let flags = newest.flags();
        if flags & (HAS_ERRORS | NEEDS_CHECK | DISABLED | RESIZING) != 0 {
            return Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty });
        }
        if flags & UNMOUNTED == 0 || newest.is_followed(volume, superblock)? {
            return Err(UsedBlocksError::Unclean { reason: UncleanReason::JournalNotEmpty });
        }
        let copies = newest.copies(volume, superblock)?;
        let journal = newest.journal(volume, superblock)?;
        Ok(Self { copies, journal })
    }

    pub(super) fn is_second_copy(&self, block: u64) -> bool {
        u8_at(&self.copies, (block / 8) as usize) << (block % 8) & 0x80 != 0
    }

    pub(super) fn journalled(&self, segment: u64) -> Option<Segment> {
        self.journal.get(&segment).copied()
    }
}

impl Pack {
    /// Reads the pack at block `start`, whose first and last block must be whole and of one version.
    fn read(volume: &dyn ReadAt, start: u64) -> Result<Self, UsedBlocksError> {
        let first = read_checked(volume, start)?;
        let (version, blocks) = (u64_at(&first, 0), u64::from(u32_at(&first, 136)));
        let offset = start * BLOCK_BYTES;
        if !(2..=BLOCKS_PER_SEGMENT).contains(&blocks) {
            return Err(damaged(offset + 136, BLOCKS_PER_SEGMENT, blocks, "the blocks of a checkpoint pack"));
        }
        let last = u64_at(&read_checked(volume, start + blocks - 1)?, 0);
        if last != version {
            return Err(damaged(offset, last, version, "the version of a checkpoint pack"));
        }
        Ok(Self { start, first, version, blocks })
    }

    fn flags(&self) -> u32 {
        u32_at(&self.first, 132)
    }

    /// Whether something was synced since: the next mount after a clean one writes no checkpoint of its own, and may end
    /// before it writes any. Then the log for files' nodes goes on with nodes that bear the checkpoint's version
    /// (Linux, `find_fsync_dnodes`); its upper half may be mixed with the checksum.
    fn is_followed(&self, volume: &dyn ReadAt, superblock: &Superblock) -> Result<bool, UsedBlocksError> {
        let segment = u64::from(u32_at(&self.first, NODE_SEGMENTS_AT + 4 * WARM));
        let block = u64::from(u16_at(&self.first, NODE_BLOCKS_AT + 2 * WARM));
        if segment >= superblock.main_segments || block >= BLOCKS_PER_SEGMENT {
            let (offset, most) = (self.start * BLOCK_BYTES, superblock.main_segments - 1);
            return Err(damaged(offset + NODE_SEGMENTS_AT as u64, most, segment, "the place of a log"));
        }
        let mut version = [0; 8];
        let next = superblock.main + segment * BLOCKS_PER_SEGMENT + block;
        volume.read_exact_at(&mut version, next * BLOCK_BYTES + NODE_VERSION_AT)?;
        Ok(u64::from(u32_at(&version, 0)) == self.version & u64::from(u32::MAX))
    }

    /// The bitmap of copies: behind that of the NAT where that is large, in blocks of its own where the first has no
    /// room for both, otherwise first.
    fn copies(&self, volume: &dyn ReadAt, superblock: &Superblock) -> Result<Vec<u8>, UsedBlocksError> {
        let bytes = u32_at(&self.first, 156) as usize;
        let nat_bytes = u32_at(&self.first, 160) as usize;
        let offset = self.start * BLOCK_BYTES;
        let needed = superblock.sit_blocks / 8;
        if bytes as u64 != needed {
            return Err(damaged(offset + 156, needed, bytes as u64, "the length of a bitmap of the SIT"));
        }
        let is_large = self.flags() & LARGE_NAT_BITMAP != 0;
        if !is_large && superblock.payload > 0 {
            let room = superblock.payload.min(self.blocks) * BLOCK_BYTES;
            if needed > room {
                return Err(damaged(offset, needed, room, "the payload of a checkpoint pack"));
            }
            let mut copies = vec![0; bytes];
            volume.read_exact_at(&mut copies, offset + BLOCK_BYTES)?;
            return Ok(copies);
        }
        let at = if is_large { BITMAPS_AT + 4 + nat_bytes } else { BITMAPS_AT };
        let copies = self.first.get(at..).and_then(|rest| rest.get(..bytes));
        let what = "the end of a bitmap of the SIT";
        copies.map(<[u8]>::to_vec).ok_or_else(|| damaged(offset, BLOCK_BYTES, (at + bytes) as u64, what))
    }

    /// The journal of the SIT, which has its place in the summary of the segment for cold files.
    fn journal(
        &self,
        volume: &dyn ReadAt,
        superblock: &Superblock,
    ) -> Result<HashMap<u64, Segment>, UsedBlocksError> {
        let (block, at) = if self.flags() & COMPACT_SUMMARIES != 0 {
            (u64::from(u32_at(&self.first, 140)), JOURNAL_BYTES)
        } else {
            ((self.blocks + COLD_FILES).saturating_sub(LOGS + 1), JOURNAL_AT)
        };
        if !(1..self.blocks).contains(&block) {
            let place = self.start * BLOCK_BYTES + 140;
            return Err(damaged(place, self.blocks - 1, block, "the place of the summaries"));
        }
        let mut bytes = [0; BLOCK];
        let place = (self.start + block) * BLOCK_BYTES;
        volume.read_exact_at(&mut bytes, place)?;
        let count = usize::from(u16_at(&bytes, at));
        if count > JOURNAL_ENTRIES_MAX {
            let what = "the entries in the journal of the SIT";
            return Err(damaged(place + at as u64, JOURNAL_ENTRIES_MAX as u64, count as u64, what));
        }
        let mut journal = HashMap::new();
        for entry in bytes[at + 2..].chunks_exact(JOURNAL_ENTRY_BYTES).take(count) {
            let number = u64::from(u32_at(entry, 0));
            if number >= superblock.main_segments {
                let what = "the number of a segment in the journal of the SIT";
                return Err(damaged(place, superblock.main_segments - 1, number, what));
            }
            journal.insert(number, Segment::parse(&entry[4..], place)?);
        }
        Ok(journal)
    }
}

/// Reads the first or the last block of a pack, which is a copy of the first.
fn read_checked(volume: &dyn ReadAt, block: u64) -> Result<[u8; BLOCK], UsedBlocksError> {
    let mut bytes = [0; BLOCK];
    volume.read_exact_at(&mut bytes, block * BLOCK_BYTES)?;
    let at = u32_at(&bytes, 164) as usize;
    let offset = block * BLOCK_BYTES + 164;
    if !CHECKSUM_AT.contains(&at) {
        return Err(damaged(
            offset,
            CHECKSUM_AT[0] as u64,
            at as u64,
            "the place of a checkpoint's checksum",
        ));
    }
    let sum = crc32_from(MAGIC, &[&bytes[..at], &bytes[at + 4..]]);
    let found = u32_at(&bytes, at);
    if sum != found {
        return Err(damaged(offset, sum.into(), found.into(), "the checksum of a checkpoint"));
    }
    Ok(bytes)
}
