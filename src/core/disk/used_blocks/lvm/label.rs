//! The label of a physical volume: who it is, and where its metadata stands.
//!
//! ```text
//! label     "LABELONE" · own sector · CRC of the rest · offset of the header · "LVM2 001"
//! header    UUID · device bytes · data areas … 0 · metadata areas … 0 · version · flags · boot loader areas … 0
//! ```

use super::{CRC_SEED, damaged};
use crate::{
    disk::{
        ReadAt,
        checksum::crc32_from,
        fields::{array_at, has, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    units::Extent,
};

/// Sectors in which LVM looks for a label, the first ones (`lib/label/label.h`, `LABEL_SCAN_SECTORS`).
const SCANNED: usize = 4;
/// LVM's sectors have 512 bytes on every disk.
pub(super) const SECTOR: usize = 512;
const UUID_BYTES: usize = 32;
/// The header's list of areas begins behind the UUID and the size of the device.
const AREAS_AT: usize = UUID_BYTES + 8;
/// From this version on, the header's first flag says whether a group uses the volume.
const SAYS_IN_USE: u32 = 2;
const IN_USE: u32 = 1;

/// The UUID of a physical volume: 32 letters and digits, which people read with dashes between them.
pub(super) type Uuid = [u8; UUID_BYTES];

/// What the label and the header behind it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) uuid: Uuid,
    /// How long the device was when LVM last looked.
    pub(super) device_bytes: u64,
    /// Where the label's sector is, in bytes.
    pub(super) offset: u64,
    /// The metadata areas, in the order of the list.
    pub(super) metadata: Vec<Extent>,
    /// Room for a boot loader, which no extent of the group covers.
    pub(super) boot: Vec<Extent>,
    /// Whether a group uses the volume; older headers do not say it.
    pub(super) in_use: Option<bool>,
}

impl Label {
    /// Reads the first label whose checksum holds, as LVM does.
    pub(super) fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let none = || UsedBlocksError::Unsupported { what: "there is no label of LVM2".into() };
        let mut head = [0; SCANNED * SECTOR];
        if volume.length_bytes() < head.len() as u64 {
            return Err(none());
        }
        volume.read_exact_at(&mut head, 0)?;
        let mut broken = None;
        for (number, sector) in (0..).zip(head.chunks_exact(SECTOR)) {
            if !has(sector, 0, b"LABELONE") || !has(sector, 24, b"LVM2 001") {
                continue;
            }
            let offset = number * SECTOR as u64;
            let sum = crc32_from(CRC_SEED, &[&sector[20..]]);
            let checks = [
                ("the sector that a label gives as its own", number, u64_at(sector, 8)),
                ("the checksum of the label", sum.into(), u32_at(sector, 16).into()),
            ];
            match checks.into_iter().find(|(_, expected, actual)| expected != actual) {
                None => return Self::parse(sector, offset, volume.length_bytes()),
                Some((what, expected, actual)) => {
                    broken.get_or_insert_with(|| damaged(offset, what, expected, actual));
                }
            }
        }
        Err(broken.unwrap_or_else(none))
    }

    fn parse(sector: &[u8], offset: u64, volume_bytes: u64) -> Result<Self, UsedBlocksError> {
        let start = u32_at(sector, 20) as usize;
        let header = sector.get(start..).filter(|header| start >= 32 && header.len() > AREAS_AT);
        let header = header.ok_or_else(|| damaged(offset, "where the header begins", 32, start as u64))?;
        let mut lists = Lists { header, at: AREAS_AT, offset, volume_bytes };
        // The data area begins where the group's metadata says too, and ends with the volume.
        lists.skip()?;
        let metadata = lists.take("a metadata area")?;
        let (version, flags) = (u32_at(header, lists.at), u32_at(header, lists.at + 4));
        lists.at += 8;
        let boot = if version > 0 { lists.take("a boot loader area")? } else { Vec::new() };
        let in_use = (version >= SAYS_IN_USE).then_some(flags & IN_USE != 0);
        let (uuid, device_bytes) = (array_at(header, 0), u64_at(header, UUID_BYTES));
        Ok(Self { uuid, device_bytes, offset, metadata, boot, in_use })
    }
}

/// The lists of areas in a header, each of which ends with an area at 0.
struct Lists<'a> {
    header: &'a [u8],
    at: usize,
    offset: u64,
    volume_bytes: u64,
}

impl Lists<'_> {
    /// The next area, where there is one in this list: its start and its length, in bytes.
    fn next(&mut self) -> Result<Option<Extent>, UsedBlocksError> {
        if self.at + 16 > self.header.len() {
            let length = self.header.len() as u64;
            return Err(damaged(self.offset, "the end of a list of areas", length, self.at as u64 + 16));
        }
        let start_bytes = u64_at(self.header, self.at);
        let length_bytes = u64_at(self.header, self.at + 8);
        self.at += 16;
        Ok((start_bytes != 0).then_some(Extent { start_bytes, length_bytes }))
    }

    fn skip(&mut self) -> Result<(), UsedBlocksError> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// The areas of a list, which lie inside the volume.
    fn take(&mut self, what: &'static str) -> Result<Vec<Extent>, UsedBlocksError> {
        let mut areas = Vec::new();
        while let Some(area) = self.next()? {
            let end = area.start_bytes.saturating_add(area.length_bytes);
            if end > self.volume_bytes {
                return Err(damaged(self.offset, what, self.volume_bytes, end));
            }
            areas.push(area);
        }
        Ok(areas)
    }
}
