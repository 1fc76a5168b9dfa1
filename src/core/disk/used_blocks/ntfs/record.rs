//! File records, and the attributes in them.

use crate::disk::{
    fields::{has, u8_at, u16_at, u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// Types of attributes.
pub(super) const STANDARD_INFORMATION: u32 = 0x10;
pub(super) const ATTRIBUTE_LIST: u32 = 0x20;
pub(super) const FILE_NAME: u32 = 0x30;
pub(super) const VOLUME_INFORMATION: u32 = 0x70;
pub(super) const DATA: u32 = 0x80;
pub(super) const INDEX_ROOT: u32 = 0x90;
pub(super) const INDEX_ALLOCATION: u32 = 0xA0;
pub(super) const BITMAP: u32 = 0xB0;
const END: u32 = 0xFFFF_FFFF;

/// How often a record's bytes are protected, whatever the sector size.
const FIXUP_STRIDE: usize = 512;
/// The header of a record, and the shortest attribute.
const HEADER_BYTES: usize = 0x30;
const ATTRIBUTE_BYTES_MIN: usize = 0x18;
/// The header of an attribute whose value lies in clusters.
const NON_RESIDENT_BYTES: usize = 0x40;

/// A record of the master file table, its fixups undone.
pub(super) struct Record {
    bytes: Vec<u8>,
    number: u64,
    offset: u64,
}

impl Record {
    /// Checks record `number`, which was read at `offset` of the volume.
    pub(super) fn parse(mut bytes: Vec<u8>, number: u64, offset: u64) -> Result<Self, UsedBlocksError> {
        undo_fixups(&mut bytes, b"FILE", offset)?;
        Ok(Self { bytes, number, offset })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the record belongs to a file.
    pub(super) fn is_in_use(&self) -> bool {
        u16_at(&self.bytes, 0x16) & 1 != 0
    }

    /// Whether the record is the first or only one of a file, which has one name, and whose number was given to
    /// this many files.
    pub(super) fn is_plain_file(&self, sequence: u16) -> bool {
        let flags = u16_at(&self.bytes, 0x16);
        let is_file = flags & 1 != 0 && flags & 2 == 0;
        let (links, base) = (u16_at(&self.bytes, 0x12), u64_at(&self.bytes, 0x20));
        is_file && links == 1 && base == 0 && u16_at(&self.bytes, 0x10) == sequence
    }

    /// The attributes that stand in this record.
    pub(super) fn attributes(&self) -> Result<Vec<Attribute<'_>>, UsedBlocksError> {
        let mut attributes = Vec::new();
        let mut at = usize::from(u16_at(&self.bytes, 0x14));
        let damaged = |at: usize, what| UsedBlocksError::Damaged {
            offset: self.offset + at as u64,
            expected: self.bytes.len() as u64,
            actual: at as u64,
            what,
        };
        if at < HEADER_BYTES {
            return Err(damaged(at, "the place of a file's first attribute"));
        }
        loop {
            let rest = self.bytes.get(at..).ok_or_else(|| damaged(at, "the place of an attribute"))?;
            if rest.len() < 4 || u32_at(rest, 0) == END {
                return Ok(attributes);
            }
            let length = u32_at(rest, 4) as usize;
            let bytes = rest.get(..length).filter(|bytes| bytes.len() >= ATTRIBUTE_BYTES_MIN);
            let bytes = bytes.ok_or_else(|| damaged(at, "the length of an attribute"))?;
            let attribute = Attribute { bytes, offset: self.offset + at as u64 };
            if !attribute.is_resident() && bytes.len() < NON_RESIDENT_BYTES {
                return Err(damaged(at, "the length of an attribute"));
            }
            attributes.push(attribute);
            at += length;
        }
    }
}

/// One attribute of a file, or one part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    bytes: &'a [u8],
    /// Where it stands on the volume.
    pub(super) offset: u64,
}

impl<'a> Attribute<'a> {
    pub(super) fn is(&self, kind: u32, name: &str) -> bool {
        let at = usize::from(u16_at(self.bytes, 0x0A));
        let units = (0..usize::from(u8_at(self.bytes, 9))).map(|unit| u16_at(self.bytes, at + 2 * unit));
        u32_at(self.bytes, 0) == kind && units.eq(name.encode_utf16())
    }

    pub(super) fn is_resident(&self) -> bool {
        u8_at(self.bytes, 8) == 0
    }

    /// Whether its clusters hold its bytes as they are: not compressed, not encrypted.
    pub(super) fn is_plain(&self) -> bool {
        u16_at(self.bytes, 0x0C) & 0x4001 == 0
    }

    /// The value that stands in the record itself.
    pub(super) fn resident_value(&self) -> Option<&'a [u8]> {
        let (length, at) = (u32_at(self.bytes, 0x10) as usize, usize::from(u16_at(self.bytes, 0x14)));
        self.bytes.get(at..)?.get(..length)
    }

    /// The first cluster of the value for which this part speaks.
    pub(super) fn first_vcn(&self) -> u64 {
        if self.is_resident() { 0 } else { u64_at(self.bytes, 0x10) }
    }

    /// The encoded places of the value's clusters.
    pub(super) fn encoded_runs(&self) -> &'a [u8] {
        self.bytes.get(usize::from(u16_at(self.bytes, 0x20))..).unwrap_or_default()
    }

    /// Bytes of a value in clusters, and how many of them were ever written; the others read as zeros.
    pub(super) fn lengths(&self) -> (u64, u64) {
        (u64_at(self.bytes, 0x30), u64_at(self.bytes, 0x38))
    }
}

/// Puts back the last two bytes of each 512, which NTFS replaces by a counter to notice torn writes.
pub(super) fn undo_fixups(bytes: &mut [u8], magic: &[u8; 4], offset: u64) -> Result<(), UsedBlocksError> {
    let damaged = |expected, actual, what| UsedBlocksError::Damaged { offset, expected, actual, what };
    if !has(bytes, 0, magic) {
        let expected = u64::from(u32::from_le_bytes(*magic));
        return Err(damaged(expected, u32_at(bytes, 0).into(), "the magic number of a record"));
    }
    let (array_at, count) = (usize::from(u16_at(bytes, 4)), usize::from(u16_at(bytes, 6)));
    let strides = bytes.len() / FIXUP_STRIDE;
    if count != strides + 1 || array_at + 2 * count > FIXUP_STRIDE.min(bytes.len()) {
        return Err(damaged(strides as u64 + 1, count as u64, "the fixups of a record"));
    }
    let counter = u16_at(bytes, array_at);
    for stride in 0..strides {
        let end = (stride + 1) * FIXUP_STRIDE;
        let actual = u16_at(bytes, end - 2);
        if actual != counter {
            return Err(damaged(counter.into(), actual.into(), "a torn record: its fixup"));
        }
        let original = u16_at(bytes, array_at + 2 * (stride + 1));
        bytes[end - 2..end].copy_from_slice(&original.to_le_bytes());
    }
    Ok(())
}
