//! Whether the log ends in the record that unmounting writes ("Journaling Log").
//!
//! The log is a ring of 512-byte blocks. Each begins with the number of the round (cycle) in which it was written, a
//! record's first block with a magic number before it:
//!
//! ```text
//! round 7 · 7 · 7 · 7 | 6 · 6 · 6     the newest record ends at the bar, the head
//! round 1 · 1 | 0 · 0 · 0 · 0 · 0     zeros: never written
//! ```
//!
//! A mounted, a frozen and a crashed file system have another record there, since only unmounting writes this one; and
//! blocks around the head may be from other rounds, because records are written several at a time.

use std::io;

use crate::{
    disk::{
        ReadAt,
        fields::{be_u32_at, be_u64_at, u8_at},
    },
    units::Extent,
};

const BLOCK_BYTES: u64 = 512;
const RECORD_MAGIC: u32 = 0xFEED_BABE;
/// As much of the log as can be under way at once, in blocks: eight records of 256 KiB.
const UNDER_WAY_BLOCKS: u64 = 8 * (256 << 10) / BLOCK_BYTES;
/// `h_version`: records may have further header blocks, one for each of these bytes of the buffer (`h_size`).
const VERSION_2: u32 = 2;
const BYTES_PER_HEADER: u32 = 32 << 10;
/// `oh_flags` of an operation: the file system was unmounted.
const OPERATION_UNMOUNT: u8 = 0x20;
/// Most that is read at once.
const READ_BYTES: u64 = 1 << 20;

/// Whether nothing waits in the log at `place`.
pub(super) fn is_clean(volume: &dyn ReadAt, place: Extent) -> io::Result<bool> {
    let log = Log { volume, start_bytes: place.start_bytes, blocks: place.length_bytes / BLOCK_BYTES };
    let (first, last) = (log.round(0)?, log.round(log.blocks - 1)?);
    if first == 0 {
        return log.is_zero();
    }
    let head = if first == last {
        log.blocks
    } else if last == first - 1 {
        log.end_of_round(first)?
    } else {
        return Ok(false);
    };
    let recent = log.before(head, last)?;
    // The blocks of the round before stand first.
    let older = (recent.len() as u64 / BLOCK_BYTES).saturating_sub(head);
    let blocks = || recent.chunks_exact(BLOCK_BYTES as usize);
    let in_order = (0..).zip(blocks()).all(|(index, block)| {
        let expected = if index < older { first - 1 } else { first };
        round(block) == expected
    });
    let Some(index) = blocks().rposition(|block| be_u32_at(block, 0) == RECORD_MAGIC) else {
        return Ok(false);
    };
    let distance = recent.len() as u64 / BLOCK_BYTES - index as u64;
    let at = if distance <= head { head - distance } else { log.blocks + head - distance };
    Ok(in_order && is_unmount_record(&recent[index * BLOCK_BYTES as usize..], at))
}

/// Whether `record`, which begins at block `at` of the log and must end where the bytes end, says that the file system
/// was unmounted.
fn is_unmount_record(record: &[u8], at: u64) -> bool {
    let size = be_u32_at(record, 320);
    let has_more_headers = be_u32_at(record, 8) & VERSION_2 != 0 && size > BYTES_PER_HEADER;
    let headers = if has_more_headers { u64::from(size.div_ceil(BYTES_PER_HEADER)) } else { 1 };
    let blocks = headers + u64::from(be_u32_at(record, 12)).div_ceil(BLOCK_BYTES);
    let sequence = u64::from(be_u32_at(record, 4)) << 32 | at;
    let operations = be_u32_at(record, 40);
    let flags = u8_at(record, (headers * BLOCK_BYTES) as usize + 9);
    blocks * BLOCK_BYTES == record.len() as u64
        && be_u64_at(record, 16) == sequence
        && operations == 1
        && flags & OPERATION_UNMOUNT != 0
}

/// The round in which a block was written.
fn round(block: &[u8]) -> u32 {
    match be_u32_at(block, 0) {
        RECORD_MAGIC => be_u32_at(block, 4),
        round => round,
    }
}

struct Log<'a> {
    volume: &'a dyn ReadAt,
    start_bytes: u64,
    blocks: u64,
}

impl Log<'_> {
    fn read(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (count * BLOCK_BYTES) as usize];
        self.volume.read_exact_at(&mut bytes, self.start_bytes + first * BLOCK_BYTES)?;
        Ok(bytes)
    }

    fn round(&self, block: u64) -> io::Result<u32> {
        Ok(round(&self.read(block, 1)?))
    }

    /// The first block that was not written in `newest`, the round of block 0; the last block was not.
    fn end_of_round(&self, newest: u32) -> io::Result<u64> {
        let (mut inside, mut beyond) = (0, self.blocks - 1);
        while beyond - inside > 1 {
            let middle = inside.midpoint(beyond);
            if self.round(middle)? == newest {
                inside = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(beyond)
    }

    /// The blocks that may have been under way when the one before `head` was written, oldest first: from the end of
    /// the log too, if that was ever written.
    fn before(&self, head: u64, last_round: u32) -> io::Result<Vec<u8>> {
        let wanted = UNDER_WAY_BLOCKS.min(self.blocks);
        if head >= wanted {
            return self.read(head - wanted, wanted);
        }
        let missing = if last_round == 0 { 0 } else { wanted - head };
        let mut bytes = self.read(self.blocks - missing, missing)?;
        bytes.extend(self.read(0, head)?);
        Ok(bytes)
    }

    /// A log without any record is that of a file system that was just made or repaired.
    fn is_zero(&self) -> io::Result<bool> {
        let step = READ_BYTES / BLOCK_BYTES;
        for first in (0..self.blocks).step_by(step as usize) {
            let bytes = self.read(first, step.min(self.blocks - first))?;
            if bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
