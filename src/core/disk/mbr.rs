//! Master boot records: four entries in the first sector, and behind an "extended" one a chain of extended boot
//! records with one logical partition each.
//!
//! ```text
//! LBA 0   440 boot code · 4 disk signature · 2 · 4 × 16 entries · 55 AA
//! entry   0 status · 1..4 CHS · 4 type · 5..8 CHS · 8 first LBA (u32) · 12 sectors (u32)
//! EBR     the same form; entry 0 is a logical partition, counted from this EBR; entry 1 the next EBR, counted
//!         from the start of the whole extended partition
//! ```
//!
//! CHS fields are ignored, as every system does since disks outgrew them.

use std::io;

use super::{
    ReadAt,
    fields::{u8_at, u32_at},
    table::{Partition, PartitionKind},
};
use crate::units::{Extent, Lba, SectorSize};

/// Most logical partitions that are followed. Linux gives up after 100, Windows has fewer drive letters: a
/// longer chain is a damaged one.
pub const LOGICAL_MAX: usize = 128;

/// Where the boot code ends and the disk signature stands.
pub(super) const DISK_SIGNATURE_AT: usize = 440;
/// Where the four entries begin.
pub(super) const ENTRIES_AT: usize = 446;
pub(super) const ENTRY_BYTES: usize = 16;
/// The bytes of a boot record, whatever the sector size.
pub(super) const RECORD_BYTES: usize = 512;

/// The type that covers a disk with a GUID partition table.
pub(super) const TYPE_PROTECTIVE: u8 = 0xEE;
/// The type of Windows' dynamic disks, whose real table lies in the last megabyte.
pub(super) const TYPE_DYNAMIC: u8 = 0x42;
/// Extended partitions: CHS, LBA, and Linux' own.
const TYPES_EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];

/// One entry that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// 0 to 3.
    pub(super) index: usize,
    pub(super) status: u8,
    pub(super) kind: u8,
    pub(super) first: u32,
    pub(super) sectors: u32,
}

impl Entry {
    pub(super) fn is_extended(&self) -> bool {
        TYPES_EXTENDED.contains(&self.kind)
    }

    fn place(&self, base: Lba, sector: SectorSize) -> Extent {
        // 2^33 sectors of at most 4 KiB: no overflow.
        Extent {
            start_bytes: (base.0 + u64::from(self.first)) * sector.bytes(),
            length_bytes: u64::from(self.sectors) * sector.bytes(),
        }
    }

    fn partition(&self, number: u32, base: Lba, sector: SectorSize) -> Partition {
        Partition {
            number,
            place: self.place(base, sector),
            kind: PartitionKind::Byte(self.kind),
            guid: [0; 16],
            name: String::new(),
            attributes: u64::from(self.status),
        }
    }
}

/// A boot record that has the signature 55 AA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootRecord {
    pub(super) disk_signature: u32,
    /// The entries that have a type and a length.
    pub(super) entries: Vec<Entry>,
    /// Whether every status byte is 0x00 or 0x80. Where it is not, the sector is the boot sector of a file
    /// system, whose boot code stands where a table would.
    pub(super) plausible: bool,
}

impl BootRecord {
    /// Reads the record at the start of `sector`; `None` without the signature.
    pub(super) fn parse(sector: &[u8]) -> Option<Self> {
        if sector.len() < RECORD_BYTES || sector[RECORD_BYTES - 2..RECORD_BYTES] != [0x55, 0xAA] {
            return None;
        }
        let all = (0..4).map(|index| {
            let at = ENTRIES_AT + index * ENTRY_BYTES;
            Entry {
                index,
                status: u8_at(sector, at),
                kind: u8_at(sector, at + 4),
                first: u32_at(sector, at + 8),
                sectors: u32_at(sector, at + 12),
            }
        });
        let plausible = all.clone().all(|entry| matches!(entry.status, 0x00 | 0x80));
        let entries = all.filter(|entry| entry.kind != 0 && entry.sectors != 0).collect();
        Some(Self { disk_signature: u32_at(sector, DISK_SIGNATURE_AT), entries, plausible })
    }

    pub(super) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == TYPE_PROTECTIVE)
    }
}

/// Why a chain of extended boot records cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("reading the extended boot record at sector {lba}")]
    Io { lba: u64, source: io::Error },
    #[error("expected an extended boot record at sector {lba}, found no signature 55 aa")]
    NotARecord { lba: u64 },
    #[error(
        "the extended boot record at sector {lba} lies outside its extended partition ({first} to {last})"
    )]
    Outside { lba: u64, first: u64, last: u64 },
    #[error("the chain of extended boot records comes back to sector {lba}")]
    Loop { lba: u64 },
    #[error("more than {LOGICAL_MAX} logical partitions")]
    TooLong,
}

/// What a boot record says, its chains included.
pub(super) struct Mbr {
    pub(super) partitions: Vec<Partition>,
    /// The sectors of the extended boot records, in chain order.
    pub(super) chain: Vec<Extent>,
}

/// Lists the partitions of `record`: primary ones by their place in the table, logical ones from number 5 in the
/// order of the chain, as the kernel numbers them.
pub(super) fn partitions(
    disk: &dyn ReadAt,
    sector: SectorSize,
    record: &BootRecord,
) -> Result<Mbr, ChainError> {
    let mut mbr = Mbr { partitions: Vec::new(), chain: Vec::new() };
    for entry in record.entries.iter().filter(|entry| !entry.is_extended()) {
        mbr.partitions.push(entry.partition(entry.index as u32 + 1, Lba(0), sector));
    }
    let mut visited = Vec::new();
    for extended in record.entries.iter().filter(|entry| entry.is_extended()) {
        follow(disk, sector, extended, &mut visited, &mut mbr)?;
    }
    Ok(mbr)
}

fn follow(
    disk: &dyn ReadAt,
    sector: SectorSize,
    extended: &Entry,
    visited: &mut Vec<Lba>,
    mbr: &mut Mbr,
) -> Result<(), ChainError> {
    let first = u64::from(extended.first);
    let last = first + u64::from(extended.sectors) - 1;
    let mut next = Some(Lba(first));
    while let Some(here) = next {
        if here.0 < first || here.0 > last {
            return Err(ChainError::Outside { lba: here.0, first, last });
        }
        if visited.contains(&here) {
            return Err(ChainError::Loop { lba: here.0 });
        }
        if visited.len() == LOGICAL_MAX {
            return Err(ChainError::TooLong);
        }
        visited.push(here);
        let start_bytes = here.0 * sector.bytes();
        let mut bytes = [0; RECORD_BYTES];
        disk.read_exact_at(&mut bytes, start_bytes)
            .map_err(|source| ChainError::Io { lba: here.0, source })?;
        let record = BootRecord::parse(&bytes).ok_or(ChainError::NotARecord { lba: here.0 })?;
        mbr.chain.push(Extent { start_bytes, length_bytes: sector.bytes() });
        for entry in record.entries.iter().filter(|entry| !entry.is_extended()) {
            let number = 5 + mbr.partitions.iter().filter(|partition| partition.number >= 5).count() as u32;
            mbr.partitions.push(entry.partition(number, here, sector));
        }
        let link = record.entries.iter().find(|entry| entry.is_extended());
        next = link.map(|link| Lba(first + u64::from(link.first)));
    }
    Ok(())
}
