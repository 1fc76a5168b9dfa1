//! Blocks and symbols by number, and how long they are.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{chunk::ChunkSize, messages::records::HEADER_BYTES};

/// A block's place in the channel's order, which is the order of the disk. Block 0 is the first of those that hold the
/// table of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockNumber(pub u32);

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A symbol's place in its block: below the block's number of source symbols it is a piece of the block itself, from there
/// on it is parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SymbolNumber(pub u16);

impl fmt::Display for SymbolNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Length of a symbol, the payload of one packet. A multiple of 64, the unit in which Reed–Solomon codes run at their
/// speed. With header and tag ([`super::packet::PACKET_BYTES`]) and the headers of UDP and IPv4 it makes 1,474 of the 1,500
/// bytes of an Ethernet frame; IPv6, whose header is 20 longer, has room too. The largest that IPv4 would hold (1,434) saves
/// 0.13 % of the line, computed with the 38 bytes that Ethernet adds to a frame.
pub const SYMBOL_BYTES: usize = 1408;

/// One symbol.
pub type Symbol = [u8; SYMBOL_BYTES];

/// How long a block is, which says how many source symbols it has: all full but the last, which zeros fill up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockShape {
    bytes: u32,
}

impl BlockShape {
    /// Up to here a block is filled with records, which are never cut: 280 symbols, 385 KiB. That is three records of raw
    /// chunks of 128 KiB, or six of 64 KiB. Coded repair costs 2.5 % at 1 % loss and 30 receivers with blocks of 256 symbols,
    /// 4.3 % with blocks of 64.
    pub const FILL_BYTES: u32 = 280 * SYMBOL_BYTES as u32;
    /// The longest block: one record of the largest chunk, which is larger than what others share.
    pub const BYTES_MOST: u32 = HEADER_BYTES as u32 + ChunkSize::LARGEST.bytes_u32();

    pub fn new(bytes: u32) -> Result<Self, BadBlockLength> {
        if (1..=Self::BYTES_MOST).contains(&bytes) { Ok(Self { bytes }) } else { Err(BadBlockLength(bytes)) }
    }

    /// Length of the block itself.
    pub fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// How many source symbols the block has.
    pub fn sources(self) -> SourceCount {
        // The longest block has `SourceCount::MOST`, so this cuts nothing off.
        SourceCount(self.bytes.div_ceil(SYMBOL_BYTES as u32) as u16)
    }

    /// Length of the source symbols together.
    pub fn padded_bytes(self) -> usize {
        usize::from(self.sources().get()) * SYMBOL_BYTES
    }
}

/// A length that no block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a block of 1 to {most} bytes, found {0}", most = BlockShape::BYTES_MOST)]
pub struct BadBlockLength(pub u32);

/// How many source symbols a block is cut into: 1 to [`SourceCount::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct SourceCount(u16);

impl SourceCount {
    /// Those of the longest block. Most blocks have 280 or a few less ([`BlockShape::FILL_BYTES`]).
    pub const MOST: u16 = BlockShape::BYTES_MOST.div_ceil(SYMBOL_BYTES as u32) as u16;

    pub fn new(symbols: u16) -> Result<Self, BadSourceCount> {
        if (1..=Self::MOST).contains(&symbols) { Ok(Self(symbols)) } else { Err(BadSourceCount(symbols)) }
    }

    pub fn get(self) -> u16 {
        self.0
    }

    /// How many different symbols such a block has, parity included. Numbers from here on are foreign.
    pub fn symbols(self) -> u16 {
        self.0 + PARITY_MOST
    }
}

impl TryFrom<u16> for SourceCount {
    type Error = BadSourceCount;

    fn try_from(symbols: u16) -> Result<Self, BadSourceCount> {
        Self::new(symbols)
    }
}

impl From<SourceCount> for u16 {
    fn from(count: SourceCount) -> u16 {
        count.0
    }
}

/// A number of source symbols that no block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a block of 1 to {most} source symbols, found {0}", most = SourceCount::MOST)]
pub struct BadSourceCount(pub u16);

/// How many different parity symbols a block can have. A repair that needs more begins again with the first.
pub const PARITY_MOST: u16 = 128;

#[cfg(test)]
mod tests {
    use super::{BlockShape, PARITY_MOST, SYMBOL_BYTES, SourceCount};
    use crate::{chunk::ChunkSize, messages::records::HEADER_BYTES};

    #[test]
    fn shapes_stay_in_their_range() {
        assert_eq!(SourceCount::MOST, 745);
        for (bytes, sources) in [(1, 1), (1408, 1), (1409, 2), (394_240, 280), (1_048_624, 745)] {
            let shape = BlockShape::new(bytes).unwrap();
            assert_eq!((shape.bytes(), shape.sources().get()), (bytes as usize, sources));
            assert_eq!(shape.sources().symbols(), sources + PARITY_MOST);
            assert!(shape.padded_bytes() - shape.bytes() < SYMBOL_BYTES);
        }
        for bad in [0, 1_048_625, u32::MAX] {
            assert!(BlockShape::new(bad).is_err(), "{bad}");
        }
        assert!(SourceCount::new(0).is_err() && SourceCount::new(746).is_err());
    }

    #[test]
    fn three_raw_chunks_of_the_default_size_fill_a_block() {
        let record = HEADER_BYTES as u64 + ChunkSize::DEFAULT.bytes();
        let fill = u64::from(BlockShape::FILL_BYTES);
        assert!(3 * record <= fill && fill - 3 * record < SYMBOL_BYTES as u64);
    }
}
