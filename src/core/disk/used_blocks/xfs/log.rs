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

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{BLOCK_BYTES, OPERATION_UNMOUNT, RECORD_MAGIC, is_clean};
    use crate::units::Extent;

    const BLOCK: usize = BLOCK_BYTES as usize;

    /// A log to which records are written one after the other, and further on in the next round.
    struct Ring {
        bytes: Vec<u8>,
        blocks: usize,
        written: usize,
    }

    impl Ring {
        fn new(blocks: usize) -> Self {
            Self { bytes: vec![0; blocks * BLOCK], blocks, written: 0 }
        }

        /// Writes a record of one header and `data` blocks with one operation.
        fn append(&mut self, data: usize, flags: u8) {
            let first = self.written;
            for index in 0..=data {
                let round = ((first + index) / self.blocks + 1) as u32;
                let at = (first + index) % self.blocks;
                let mut block = [0x55; BLOCK];
                block[..4].copy_from_slice(&round.to_be_bytes());
                if index == 0 {
                    block[..4].copy_from_slice(&RECORD_MAGIC.to_be_bytes());
                    block[4..8].copy_from_slice(&round.to_be_bytes());
                    block[8..12].copy_from_slice(&2_u32.to_be_bytes());
                    block[12..16].copy_from_slice(&((data * BLOCK) as u32).to_be_bytes());
                    block[16..20].copy_from_slice(&round.to_be_bytes());
                    block[20..24].copy_from_slice(&(at as u32).to_be_bytes());
                    block[40..44].copy_from_slice(&1_u32.to_be_bytes());
                    block[320..324].copy_from_slice(&(32_u32 << 10).to_be_bytes());
                } else if index == 1 {
                    block[9] = flags;
                }
                self.bytes[at * BLOCK..][..BLOCK].copy_from_slice(&block);
            }
            self.written += data + 1;
        }

        fn is_clean(&self) -> bool {
            let place = Extent { start_bytes: 0, length_bytes: self.bytes.len() as u64 };
            is_clean(&&self.bytes[..], place).expect("memory does not fail")
        }
    }

    #[test]
    fn a_log_of_zeros_is_clean_and_one_that_only_begins_with_zeros_is_not() {
        let mut ring = Ring::new(3000);
        assert!(ring.is_clean());
        ring.bytes[2000 * BLOCK + 100] = 1;
        assert!(!ring.is_clean());
    }

    proptest! {
        #[test]
        fn the_log_is_clean_after_an_unmount_record_and_after_nothing_else(
            blocks in 20_usize..300,
            records in proptest::collection::vec((1_usize..9, proptest::bool::ANY), 1..120),
        ) {
            let mut ring = Ring::new(blocks);
            for (data, unmount) in records {
                ring.append(data, if unmount { OPERATION_UNMOUNT } else { 0 });
                prop_assert_eq!(ring.is_clean(), unmount, "{} written in {} blocks", ring.written, blocks);
            }
        }

        #[test]
        fn a_record_that_came_late_makes_a_log_unclean(
            blocks in 20_usize..300,
            before in proptest::collection::vec(1_usize..9, 1..60),
            lost in 1_usize..9,
        ) {
            let mut ring = Ring::new(blocks);
            for data in before {
                ring.append(data, 0);
            }
            let (start, old) = (ring.written, ring.bytes.clone());
            ring.append(lost, 0);
            ring.append(1, OPERATION_UNMOUNT);
            prop_assert!(ring.is_clean());
            for index in start..=start + lost {
                let at = index % blocks * BLOCK;
                ring.bytes[at..at + BLOCK].copy_from_slice(&old[at..at + BLOCK]);
            }
            prop_assert!(!ring.is_clean());
        }
    }
}
