//! The B+trees of free extents of an allocation group ("AG Free Space B+trees").
//!
//! ```text
//! header   magic · level · records · left · right   and in version 5: place · LSN · UUID · group · checksum
//! leaf     first block · blocks, again and again
//! node     a key like a record for as many children as fit, behind them the children's blocks
//! ```
//!
//! A walk ends whatever the blocks hold: each step down must lower the level by one, each leaf must bring a record
//! beyond the last one, so that no block is of use twice. It holds one block per level.

use std::ops::Range;

use super::{
    group::Group,
    superblock::{Superblock, check_checksum},
};
use crate::disk::{
    ReadAt,
    fields::{be_u16_at, be_u32_at, be_u64_at},
    used_blocks::UsedBlocksError,
};

/// "ABTB", "ABTC" in version 4; "AB3B", "AB3C" in version 5.
const MAGICS: [[u32; 2]; 2] = [[0x4142_5442, 0x4142_5443], [0x4142_3342, 0x4142_3343]];
/// Lengths of the header in version 4 and 5.
const HEADER_BYTES: [usize; 2] = [16, 56];
const UUID_AT: usize = 32;
const CHECKSUM_AT: usize = 52;
const RECORD_BYTES: usize = 8;
const POINTER_BYTES: usize = 4;
/// What a block's own place is counted in.
const PLACE_UNIT: u64 = 512;

/// Which of the two trees, by the order of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Place,
    /// By length, then by place.
    Length,
}

/// What a walk saw, whatever its order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) records: u64,
    pub(super) blocks: u64,
    pub(super) longest: u64,
    /// Equal for equal sets of records, and hardly ever for others.
    pub(super) fingerprint: u64,
}

impl Sum {
    fn add(&mut self, free: &Range<u64>) {
        let length = free.end - free.start;
        self.records += 1;
        self.blocks += length;
        self.longest = self.longest.max(length);
        self.fingerprint = self.fingerprint.wrapping_add(mixed(free.start << 32 | length));
    }
}

/// Spreads a number over 64 bits, one to one (the finaliser of SplitMix64), so that sums of different records differ.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

/// Calls `found` for each free extent of `group`, in blocks of the group, in the order of the tree.
pub(super) fn walk(
    volume: &dyn ReadAt,
    superblock: &Superblock,
    group: &Group,
    order: Order,
    mut found: impl FnMut(Range<u64>) -> Result<(), UsedBlocksError>,
) -> Result<Sum, UsedBlocksError> {
    let reader = Reader { volume, superblock, group, order };
    let root = group.root(order);
    let (mut sum, mut last) = (Sum::default(), None);
    let mut path = vec![reader.read(root.block, root.levels - 1, true)?];
    while let Some(block) = path.last_mut() {
        if block.level == 0 {
            for free in block.records() {
                reader.check_record(block, &free, last.as_ref())?;
                sum.add(&free);
                found(free.clone())?;
                last = Some(free);
            }
            path.pop();
        } else if let Some(child) = block.next_child() {
            let level = block.level - 1;
            path.push(reader.read(child, level, false)?);
        } else {
            path.pop();
        }
    }
    Ok(sum)
}

struct Reader<'a> {
    volume: &'a dyn ReadAt,
    superblock: &'a Superblock,
    group: &'a Group,
    order: Order,
}

/// A checked block of a tree.
struct Block {
    bytes: Vec<u8>,
    /// Where it stands in the volume.
    offset: u64,
    header_bytes: usize,
    level: u32,
    records: usize,
    /// Children already handed out.
    done: usize,
}

impl Block {
    fn records(&self) -> impl Iterator<Item = Range<u64>> {
        let records = self.bytes[self.header_bytes..].chunks_exact(RECORD_BYTES).take(self.records);
        records.map(|record| {
            let start = u64::from(be_u32_at(record, 0));
            start..start + u64::from(be_u32_at(record, 4))
        })
    }

    fn next_child(&mut self) -> Option<u64> {
        let keys_bytes = self.room(RECORD_BYTES + POINTER_BYTES) * RECORD_BYTES;
        let at = self.header_bytes + keys_bytes + self.done * POINTER_BYTES;
        self.done += 1;
        (self.done <= self.records).then(|| be_u32_at(&self.bytes, at).into())
    }

    /// How many entries of this size fit.
    fn room(&self, entry_bytes: usize) -> usize {
        (self.bytes.len() - self.header_bytes) / entry_bytes
    }
}

impl Reader<'_> {
    /// Reads block `number` of the group, which must be of this level. Only a root may be empty.
    fn read(&self, number: u64, level: u32, is_root: bool) -> Result<Block, UsedBlocksError> {
        if number >= self.group.blocks {
            return Err(self.group.damaged("a block of a tree of free space", self.group.blocks, number));
        }
        let start = self.superblock.group_start(self.group.number);
        let offset = (start + number) * self.superblock.block_bytes;
        let mut bytes = vec![0; self.superblock.block_bytes as usize];
        self.volume.read_exact_at(&mut bytes, offset)?;
        let version = usize::from(self.superblock.uuid.is_some());
        let block = Block {
            offset,
            header_bytes: HEADER_BYTES[version],
            level: be_u16_at(&bytes, 4).into(),
            records: be_u16_at(&bytes, 6).into(),
            done: 0,
            bytes,
        };
        let magic = MAGICS[version][self.order as usize];
        check("the magic number of a tree block", &block, magic.into(), be_u32_at(&block.bytes, 0).into())?;
        check("the level of a tree block", &block, level.into(), block.level.into())?;
        let room = block.room(if level == 0 { RECORD_BYTES } else { RECORD_BYTES + POINTER_BYTES });
        let may_be_empty = is_root && level == 0;
        if block.records > room || (block.records == 0 && !may_be_empty) {
            return Err(damaged("the records of a tree block", &block, room as u64, block.records as u64));
        }
        if let Some(uuid) = self.superblock.uuid {
            check_checksum("the checksum of a tree block", &block.bytes, CHECKSUM_AT, offset)?;
            let place = be_u64_at(&block.bytes, 16);
            check("the place of a tree block", &block, offset / PLACE_UNIT, place)?;
            check(
                "the group of a tree block",
                &block,
                self.group.number,
                be_u32_at(&block.bytes, 48).into(),
            )?;
            for half in [0, 8] {
                let (expected, actual) = (be_u64_at(&uuid, half), be_u64_at(&block.bytes, UUID_AT + half));
                check("the file system of a tree block", &block, expected, actual)?;
            }
        }
        Ok(block)
    }

    fn check_record(
        &self,
        block: &Block,
        free: &Range<u64>,
        last: Option<&Range<u64>>,
    ) -> Result<(), UsedBlocksError> {
        if free.is_empty() || free.end > self.group.blocks {
            return Err(damaged("the end of a free extent", block, self.group.blocks, free.end));
        }
        let Some(last) = last else { return Ok(()) };
        let in_order = match self.order {
            Order::Place => free.start >= last.end,
            Order::Length => {
                let key = |free: &Range<u64>| (free.end - free.start, free.start);
                key(free) > key(last)
            }
        };
        if in_order { Ok(()) } else { Err(damaged("the order of free extents", block, last.end, free.start)) }
    }
}

fn check(what: &'static str, block: &Block, expected: u64, actual: u64) -> Result<(), UsedBlocksError> {
    if expected == actual { Ok(()) } else { Err(damaged(what, block, expected, actual)) }
}

fn damaged(what: &'static str, block: &Block, expected: u64, actual: u64) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset: block.offset, expected, actual, what }
}
