//! A metadata area: a ring in which each description of the group stands behind the one before it.
//!
//! ```text
//! 4       CRC of the rest of this sector
//! 16      magic
//! 4 + 8   version, and where the area itself begins
//! 8       length of the area
//! 24 …    places in the ring: from the area's start, length, CRC, flags. The first counts.
//! ```

use super::{CRC_SEED, damaged, label::SECTOR};
use crate::{
    disk::{
        ReadAt,
        checksum::crc32_from,
        fields::{has, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    units::Extent,
};

const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
const VERSION: u64 = 1;
/// The ring begins behind the area's header.
const RING_AT: u64 = SECTOR as u64;
/// The flag of an area that LVM was told to leave alone, and that says nothing of today.
const IGNORED: u32 = 1;
/// Longest description that is read. A volume takes half a kilobyte, so this is a group of eight thousand.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// What a metadata area says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: it is not in use.
    Nothing,
    /// That no group has this volume.
    NoGroup,
    /// The description of the group, as text, and where it begins.
    Group { text: Vec<u8>, offset: u64 },
}

/// Reads what was last committed to the area at `place`. What was begun and never committed does not count.
pub(super) fn read(volume: &dyn ReadAt, place: Extent) -> Result<Said, UsedBlocksError> {
    let at = place.start_bytes;
    if place.length_bytes <= RING_AT {
        return Err(damaged(at, "the length of a metadata area", RING_AT, place.length_bytes));
    }
    let mut header = [0; SECTOR];
    volume.read_exact_at(&mut header, at)?;
    let sum = crc32_from(CRC_SEED, &[&header[4..]]);
    let checks = [
        ("the checksum of a metadata area", sum.into(), u32_at(&header, 0).into()),
        ("the magic of a metadata area", 1, has(&header, 4, MAGIC).into()),
        ("the version of a metadata area", VERSION, u32_at(&header, 20).into()),
        ("where a metadata area begins", at, u64_at(&header, 24)),
    ];
    if let Some((what, expected, actual)) =
        checks.into_iter().find(|(_, expected, actual)| expected != actual)
    {
        return Err(damaged(at, what, expected, actual));
    }
    let area_bytes = u64_at(&header, 32);
    if area_bytes > place.length_bytes {
        return Err(damaged(at + 32, "the length of a metadata area", place.length_bytes, area_bytes));
    }
    let start = u64_at(&header, 40);
    match (u32_at(&header, 60) & IGNORED, start) {
        (IGNORED, _) => Ok(Said::Nothing),
        (_, 0) => Ok(Said::NoGroup),
        _ => {
            let ring = Ring { volume, at, area_bytes };
            let text = ring.read(start, u64_at(&header, 48), u32_at(&header, 56))?;
            Ok(Said::Group { text, offset: at.saturating_add(start) })
        }
    }
}

struct Ring<'a> {
    volume: &'a dyn ReadAt,
    at: u64,
    area_bytes: u64,
}

impl Ring<'_> {
    /// The text of `length` bytes from `start` on, which goes on at the ring's own start where it meets the end.
    fn read(&self, start: u64, length: u64, checksum: u32) -> Result<Vec<u8>, UsedBlocksError> {
        let Self { volume, at, area_bytes } = *self;
        if start < RING_AT || start >= area_bytes {
            return Err(damaged(at + 40, "where the description begins", RING_AT, start));
        }
        if length == 0 || length > area_bytes - RING_AT {
            return Err(damaged(at + 48, "the length of the description", area_bytes - RING_AT, length));
        }
        if length > TEXT_BYTES_MAX {
            let what =
                format!("the group's description has {length} bytes, at most {TEXT_BYTES_MAX} are read");
            return Err(UsedBlocksError::Unsupported { what });
        }
        // At most 4 MiB.
        let mut text = vec![0; length as usize];
        let (first, wrapped) = text.split_at_mut(length.min(area_bytes - start) as usize);
        volume.read_exact_at(first, at + start)?;
        volume.read_exact_at(wrapped, at + RING_AT)?;
        let sum = crc32_from(CRC_SEED, &[&text]);
        if sum != checksum {
            return Err(damaged(at + start, "the checksum of the description", checksum.into(), sum.into()));
        }
        // As a string of C, it ends with a zero.
        text.truncate(text.iter().position(|&byte| byte == 0).unwrap_or(text.len()));
        Ok(text)
    }
}
