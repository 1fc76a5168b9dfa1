//! Sizes and places on a disk. Byte quantities are `u64` with `bytes` in their name; sectors have types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// The size of a sector: a power of two from 512 to 4096 bytes. 512n and 512e disks have logical sectors of
/// 512 bytes, 4Kn disks of 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SectorSize(u32);

impl SectorSize {
    pub const B512: Self = Self(512);
    pub const B4096: Self = Self(4096);

    pub fn new(bytes: u32) -> Result<Self, BadSectorSize> {
        if bytes.is_power_of_two() && (512..=4096).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(BadSectorSize(bytes))
        }
    }

    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<u32> for SectorSize {
    type Error = BadSectorSize;

    fn try_from(bytes: u32) -> Result<Self, BadSectorSize> {
        Self::new(bytes)
    }
}

impl From<SectorSize> for u32 {
    fn from(size: SectorSize) -> u32 {
        size.0
    }
}

impl fmt::Display for SectorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sector size that no disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a sector size that is a power of two from 512 to 4096 bytes, found {0}")]
pub struct BadSectorSize(pub u32);

/// The number of a logical sector, counted from the start of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lba(pub u64);

impl Lba {
    /// Where the sector starts, in bytes; `None` beyond 2^64.
    pub fn offset_bytes(self, sector: SectorSize) -> Option<u64> {
        self.0.checked_mul(sector.bytes())
    }
}

/// A run of bytes: on a disk, or inside a partition where the context says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extent {
    pub start_bytes: u64,
    pub length_bytes: u64,
}

impl Extent {
    /// An extent from its two ends; `None` where the end lies before the start.
    pub fn between(start_bytes: u64, end_bytes: u64) -> Option<Self> {
        Some(Self { start_bytes, length_bytes: end_bytes.checked_sub(start_bytes)? })
    }

    /// The first byte after the extent, at most `u64::MAX`.
    pub fn end_bytes(self) -> u64 {
        self.start_bytes.saturating_add(self.length_bytes)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.length_bytes, self.start_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, SectorSize};

    #[test]
    fn sector_sizes_are_powers_of_two_that_disks_have() {
        assert_eq!(SectorSize::new(512), Ok(SectorSize::B512));
        assert_eq!(SectorSize::new(4096), Ok(SectorSize::B4096));
        for bad in [0, 1, 256, 513, 8192, u32::MAX] {
            assert!(SectorSize::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extents_never_end_before_they_start() {
        assert_eq!(Extent::between(8, 4), None);
        assert_eq!(Extent::between(4, 8).map(Extent::end_bytes), Some(8));
        assert_eq!(Extent { start_bytes: u64::MAX, length_bytes: 1 }.end_bytes(), u64::MAX);
    }
}
