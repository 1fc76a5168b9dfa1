//! The table of a channel: which chunks' records each block holds.
//!
//! A block is whole records ([`crate::messages::records`]), one behind the other, as they rest in a pack and travel to one
//! computer: what reads those reads a block. They come in the order of the disk, and a block takes the next one while it stays
//! within [`BlockShape::FILL_BYTES`]. A record that is longer than this is a block alone. Where a block begins and ends thus
//! follows from the lengths of the records, and the table only says those: it cannot contradict itself.
//!
//! ```text
//! offset  bytes  for each chunk
//!      0  32     chunk id
//!     32  1      codec
//!     33  3      length of the plain bytes, little endian
//!     36  3      length of the frame, little endian
//! ```
//!
//! The table is itself the channel's first blocks, cut every [`BlockShape::FILL_BYTES`]. How long it is and what it hashes to,
//! a receiver learns over its own connection ([`TableHead`]).

use std::{
    collections::HashSet,
    ops::{Range, RangeInclusive},
};

use serde::{Deserialize, Serialize};

use super::block::{BlockNumber, BlockShape};
use crate::{
    chunk::{ChunkId, Codec},
    manifest,
    messages::records::{self, HEADER_BYTES, RecordError, RecordHeader},
};

/// Length of what the table says of one chunk.
pub const ENTRY_BYTES: usize = 39;
/// Most chunks of a channel: as many as the largest manifest names.
pub const CHUNKS_MOST: usize = manifest::BYTES_MAX / 32;

/// What a receiver must know of the table before it can receive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, [u8; 32])", into = "(u32, [u8; 32])")]
pub struct TableHead {
    bytes: u32,
    root: [u8; 32],
}

impl TableHead {
    /// The head of a table of which these are all bytes.
    pub fn of(table: &[u8]) -> Result<Self, TableError> {
        let bytes = u32::try_from(table.len()).unwrap_or(u32::MAX);
        Self::try_from((bytes, *blake3::hash(table).as_bytes()))
    }

    /// Length of the whole table.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// How many of the channel's first blocks hold the table.
    pub fn blocks(&self) -> u32 {
        self.bytes.div_ceil(BlockShape::FILL_BYTES)
    }

    /// Which part of the table a block holds; `None` for blocks behind the table.
    pub fn part(&self, block: BlockNumber) -> Option<Range<usize>> {
        let start = block.0.checked_mul(BlockShape::FILL_BYTES).filter(|&start| start < self.bytes)?;
        let end = start + BlockShape::FILL_BYTES.min(self.bytes - start);
        Some(start as usize..end as usize)
    }

    /// The shape of a block that holds a part of the table.
    pub fn shape(&self, block: BlockNumber) -> Option<BlockShape> {
        BlockShape::new(self.part(block)?.len() as u32).ok()
    }
}

impl TryFrom<(u32, [u8; 32])> for TableHead {
    type Error = TableError;

    fn try_from((bytes, root): (u32, [u8; 32])) -> Result<Self, TableError> {
        let length = bytes as usize;
        if length == 0 || !length.is_multiple_of(ENTRY_BYTES) || length / ENTRY_BYTES > CHUNKS_MOST {
            return Err(TableError::BadLength { bytes });
        }
        Ok(Self { bytes, root })
    }
}

impl From<TableHead> for (u32, [u8; 32]) {
    fn from(head: TableHead) -> Self {
        (head.bytes, head.root)
    }
}

/// A channel's table. No chunk stands in it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    head: TableHead,
    /// In the order in which they are sent.
    records: Vec<RecordHeader>,
    /// Behind the last record of each block.
    ends: Vec<u32>,
}

impl Table {
    /// Lays out a channel. The records come in the order of their first place on the disk; those of chunks that were
    /// named before are left out.
    pub fn build(records: impl IntoIterator<Item = RecordHeader>) -> Result<Self, TableError> {
        let mut named = HashSet::new();
        let records: Vec<_> = records.into_iter().filter(|record| named.insert(record.id)).collect();
        if records.len() > CHUNKS_MOST {
            return Err(TableError::TooManyChunks { chunks: records.len() });
        }
        for record in &records {
            // Held to the limits of records, like those of a table that is read.
            RecordHeader::parse(&record.emit())?;
        }
        let head = TableHead::of(&emit(&records))?;
        Ok(Self { head, ends: block_ends(&records), records })
    }

    /// Reads and checks what [`Table::encode`] wrote, whose head came over the receiver's own connection. Takes no more memory
    /// than a little over the table's own length.
    pub fn parse(head: TableHead, bytes: &[u8]) -> Result<Self, TableError> {
        if bytes.len() != head.bytes() || blake3::hash(bytes) != head.root {
            return Err(TableError::OtherTable { expected: head.bytes, actual: bytes.len() });
        }
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        let records: Vec<_> = entries.iter().map(parse_entry).collect::<Result<_, _>>()?;
        check_named_once(&records)?;
        Ok(Self { head, ends: block_ends(&records), records })
    }

    /// The bytes that the first blocks hold.
    pub fn encode(&self) -> Vec<u8> {
        emit(&self.records)
    }

    pub fn head(&self) -> TableHead {
        self.head
    }

    /// How many blocks the channel has, those of the table included.
    pub fn blocks(&self) -> u32 {
        // A block holds a chunk or more, so there are few enough.
        self.head.blocks() + self.ends.len() as u32
    }

    /// The numbers of the blocks that hold chunks.
    pub fn chunk_blocks(&self) -> RangeInclusive<u32> {
        self.head.blocks()..=self.blocks() - 1
    }

    /// The shape of a block, also of one that holds a part of the table; `None` for numbers that no block has.
    pub fn shape(&self, block: BlockNumber) -> Option<BlockShape> {
        match self.records(block) {
            Some(records) => BlockShape::new(records.iter().map(record_bytes).sum()).ok(),
            None => self.head.shape(block),
        }
    }

    /// The records that a block holds, in their order; `None` for blocks that hold no chunks.
    pub fn records(&self, block: BlockNumber) -> Option<&[RecordHeader]> {
        let index = block.0.checked_sub(self.head.blocks())? as usize;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.records.get(start as usize..end as usize)
    }

    /// All records, in the order in which they are sent.
    pub fn all_records(&self) -> &[RecordHeader] {
        &self.records
    }

    /// Whether these bytes are a block's, as far as its records' headers say. The sender asks, because a pack may have been
    /// compressed again since the table was made, and the receiver, because another receiver may have made a symbol.
    pub fn check(&self, block: BlockNumber, mut bytes: &[u8]) -> Result<(), TableError> {
        let expected = self.records(block).ok_or(TableError::NoChunkBlock { block })?;
        for &record in expected {
            match records::take_first(&mut bytes)? {
                Some((found, _)) if found == record => {}
                _ => return Err(TableError::OtherRecord { block, expected: record.id }),
            }
        }
        if bytes.is_empty() { Ok(()) } else { Err(TableError::Behind { block, left: bytes.len() }) }
    }
}

/// Length of a record, its header included.
fn record_bytes(record: &RecordHeader) -> u32 {
    HEADER_BYTES as u32 + record.frame_bytes
}

/// Where each block ends.
fn block_ends(records: &[RecordHeader]) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut filled = 0;
    for (index, record) in (0..).zip(records) {
        let bytes = record_bytes(record);
        if filled > 0 && filled + bytes > BlockShape::FILL_BYTES {
            ends.push(index);
            filled = 0;
        }
        filled += bytes;
    }
    if filled > 0 {
        ends.push(records.len() as u32);
    }
    ends
}

fn emit(records: &[RecordHeader]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len() * ENTRY_BYTES);
    for record in records {
        bytes.extend_from_slice(&record.id.0);
        bytes.push(record.codec as u8);
        bytes.extend_from_slice(&record.plain_bytes.to_le_bytes()[..3]);
        bytes.extend_from_slice(&record.frame_bytes.to_le_bytes()[..3]);
    }
    bytes
}

fn parse_entry(entry: &[u8; ENTRY_BYTES]) -> Result<RecordHeader, TableError> {
    let [id @ .., codec, p0, p1, p2, f0, f1, f2] = *entry;
    let record = RecordHeader {
        id: ChunkId(id),
        codec: Codec::try_from(codec).map_err(RecordError::from)?,
        plain_bytes: u32::from_le_bytes([p0, p1, p2, 0]),
        frame_bytes: u32::from_le_bytes([f0, f1, f2, 0]),
    };
    Ok(RecordHeader::parse(&record.emit())?)
}

/// Four bytes a chunk of memory, where a set of ids would take as much as the table.
fn check_named_once(records: &[RecordHeader]) -> Result<(), TableError> {
    let mut order: Vec<u32> = (0..records.len() as u32).collect();
    order.sort_unstable_by_key(|&index| records[index as usize].id);
    for pair in order.windows(2) {
        let [first, second] = [pair[0], pair[1]].map(|index| records[index as usize].id);
        if first == second {
            return Err(TableError::NamedTwice { chunk: first });
        }
    }
    Ok(())
}

/// Why bytes are no table, or no block of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("expected a table of 1 to {CHUNKS_MOST} chunks of {ENTRY_BYTES} bytes, found {bytes} bytes")]
    BadLength { bytes: u32 },
    #[error("a channel for {chunks} chunks, the largest has {CHUNKS_MOST}")]
    TooManyChunks { chunks: usize },
    #[error("expected the channel's table of {expected} bytes, found another of {actual}")]
    OtherTable { expected: u32, actual: usize },
    #[error("chunk {chunk} stands in the table twice")]
    NamedTwice { chunk: ChunkId },
    #[error("block {block} holds no chunks")]
    NoChunkBlock { block: BlockNumber },
    #[error("block {block} holds something else than the table says, where chunk {expected} should be")]
    OtherRecord { block: BlockNumber, expected: ChunkId },
    #[error("block {block} has {left} bytes behind its last record")]
    Behind { block: BlockNumber, left: usize },
    #[error(transparent)]
    Record(#[from] RecordError),
}

#[cfg(test)]
mod tests;
