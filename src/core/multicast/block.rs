//! Blocks and symbols by number.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// How many source symbols a block is cut into: 1 to [`SourceCount::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct SourceCount(u16);

impl SourceCount {
    /// Blocks of 384 KiB in symbols of 1,424 bytes. Coded repair costs 2.5 % at 1 % loss and 30 receivers with blocks of
    /// this size, 4.3 % with blocks of 64 symbols.
    pub const MOST: u16 = 277;

    pub fn new(symbols: u16) -> Result<Self, BadSourceCount> {
        if (1..=Self::MOST).contains(&symbols) { Ok(Self(symbols)) } else { Err(BadSourceCount(symbols)) }
    }

    pub fn get(self) -> u16 {
        self.0
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
