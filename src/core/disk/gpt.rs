//! GUID partition tables: read from either of their two copies, and fitted to a disk of another size.
//!
//! ```text
//! LBA 0      protective MBR                      last − n   entries, second copy
//! LBA 1      header                              last       header, second copy
//! LBA 2…     entries (usually 128 × 128 bytes)
//! ```
//!
//! Why this is not left to a library: `docs/adr/0006-gpt-tables-are-read-and-written-by-our-own-code.md`.

pub mod header;

use std::io;

use header::{Fault, Header};

use super::{
    ReadAt, mbr,
    table::{Partition, PartitionTable, Scheme, TableWrite, TableWrites},
};
use crate::units::{Lba, SectorSize};

/// The sector of the first header.
const PRIMARY: Lba = Lba(1);

/// A table that was read from a disk, and what is wrong with the copy that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedGpt {
    pub table: PartitionTable,
    pub primary: Result<(), Fault>,
    pub backup: Result<(), Fault>,
    /// Where the backup header stands, or should.
    pub backup_lba: Lba,
}

/// Why no table could be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    #[error("the disk has {0} sectors, too few for a GUID partition table")]
    DiskTooSmall(u64),
    #[error("both copies of the partition table are damaged; the first: {primary}; the second: {backup}")]
    BothDamaged { primary: Fault, backup: Fault },
    #[error("partition {number} ends before it starts")]
    BadPartition { number: u32 },
}

/// Reads the table from its first copy or, where that is damaged, from its second.
pub fn parse(disk: &dyn ReadAt, sector: SectorSize) -> Result<ParsedGpt, GptError> {
    let sectors = disk.length_bytes() / sector.bytes();
    if sectors < 3 {
        return Err(GptError::DiskTooSmall(sectors));
    }
    let last = Lba(sectors - 1);
    let primary = read_copy(disk, sector, PRIMARY);
    // The first header names the place of the second, which is not the end of the disk where an image was
    // copied to a larger one. Without a sound first header only the end can be tried.
    let backup_lba = match &primary {
        Ok((header, _)) => header.alternate_lba(),
        Err(_) => read_header(disk, sector, PRIMARY).map_or(last, |header| header.alternate_lba()),
    };
    let backup = read_copy(disk, sector, backup_lba);
    let (header, entries) = match (&primary, &backup) {
        (Ok(copy), _) | (Err(_), Ok(copy)) => copy,
        (Err(primary), Err(backup)) => {
            return Err(GptError::BothDamaged { primary: primary.clone(), backup: backup.clone() });
        }
    };
    let partitions = header::partitions(entries, header.entry_bytes(), sector)
        .map_err(|number| GptError::BadPartition { number })?;
    let scheme = Scheme::Gpt {
        disk_guid: header.disk_guid(),
        entry_count: header.entry_count(),
        entry_bytes: header.entry_bytes(),
    };
    Ok(ParsedGpt {
        table: PartitionTable { scheme, partitions },
        primary: primary.map(drop),
        backup: backup.map(drop),
        backup_lba,
    })
}

/// Whether a header's signature and checksum stand in sector 1.
pub(super) fn has_primary_header(disk: &dyn ReadAt, sector: SectorSize) -> bool {
    read_header(disk, sector, PRIMARY).is_ok()
}

fn read_copy(disk: &dyn ReadAt, sector: SectorSize, lba: Lba) -> Result<(Header, Vec<u8>), Fault> {
    let header = read_header(disk, sector, lba)?;
    let outside = Fault::EntriesOutside { lba: header.entries_lba().0 };
    let start = header.entries_lba().offset_bytes(sector).ok_or(outside)?;
    // At most 1 MiB: `Header::parse` has seen to it.
    let mut entries = vec![0; header.entries_bytes() as usize];
    disk.read_exact_at(&mut entries, start).map_err(|error| unreadable(&error))?;
    header.check_entries(&entries)?;
    Ok((header, entries))
}

fn read_header(disk: &dyn ReadAt, sector: SectorSize, lba: Lba) -> Result<Header, Fault> {
    let start = lba.offset_bytes(sector).ok_or(Fault::EntriesOutside { lba: lba.0 })?;
    let mut bytes = vec![0; sector.bytes() as usize];
    disk.read_exact_at(&mut bytes, start).map_err(|error| unreadable(&error))?;
    Header::parse(&bytes, lba)
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::Unreadable(error.to_string())
}

/// Why a table does not fit a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    #[error("expected at least {expected} bytes of boot area, found {actual}")]
    HeadTooShort { expected: u64, actual: u64 },
    #[error("the disk has {actual} bytes; the partitions and their table need {needed}")]
    DiskTooSmall { needed: u64, actual: u64 },
    #[error("{count} entries of {bytes} bytes are no partition table")]
    EntryShape { count: u32, bytes: u32 },
    #[error("the entries would reach into partition {number}")]
    NoRoomForEntries { number: u32 },
}

/// Works out what must be written so that a disk of `disk_bytes` gets `table`, whose boot area `head` (from the
/// first byte of the disk) was captured.
///
/// Names, attributes, GUIDs, the order of the entries, their count and size, boot code and every byte that is
/// not understood come from `head` bit for bit. Only what depends on the size of the disk is worked out anew:
/// place of the second copy, last usable sector, size of the protective entry, checksums. Where the first copy
/// in `head` was damaged, it is rebuilt from `table`.
///
/// The order makes a power cut harmless: the second copy, the first entries, the first header, and sector 0, without
/// which no firmware looks at the rest, last. A master boot record is sector 0 alone: it does not name the disk's
/// size, and its extended boot records lie in gaps, which are carried as they are.
pub fn fit_to_disk(
    head: &[u8],
    table: &PartitionTable,
    sector: SectorSize,
    disk_bytes: u64,
) -> Result<TableWrites, FitError> {
    let sector_zero = head_sectors(head, 0, sector.bytes())?;
    let Scheme::Gpt { disk_guid, entry_count, entry_bytes } = table.scheme else {
        let needed = content_end(table).max(sector.bytes());
        if disk_bytes < needed {
            return Err(FitError::DiskTooSmall { needed, actual: disk_bytes });
        }
        let groups = match table.scheme {
            Scheme::Whole => volume_writes(head, sector_zero),
            _ => master_record_writes(head, sector_zero, sector),
        };
        return Ok(TableWrites { groups });
    };
    let (header, entries) = match sound_primary(head, sector) {
        Some(copy) => copy,
        None => rebuild(table, disk_guid, entry_count, entry_bytes, sector)?,
    };
    let last = last_sector(table, header.entries_bytes(), sector, disk_bytes)?;
    let entries_sectors = header.entries_bytes().div_ceil(sector.bytes());
    let backup_entries = Lba(last.0 - entries_sectors);

    let mut primary = header;
    // A disk of the same size keeps its own last usable sector: some programs leave more room than they must.
    let keeps_end = primary.alternate_lba() == last && primary.last_usable() < backup_entries;
    if !keeps_end {
        primary.set_last_usable(Lba(backup_entries.0 - 1));
    }
    let primary_entries = primary.entries_lba();
    primary.set_places(PRIMARY, last, primary_entries);
    let mut backup = primary.clone();
    backup.set_places(last, PRIMARY, backup_entries);

    let write = |lba: Lba, mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(sector.bytes() as usize), 0);
        TableWrite { offset_bytes: lba.0 * sector.bytes(), bytes }
    };
    let protective = protective_record(sector_zero, last);
    Ok(TableWrites {
        groups: vec![
            vec![write(backup_entries, entries.clone()), write(last, backup.emit(&entries))],
            vec![write(primary_entries, entries.clone())],
            vec![write(PRIMARY, primary.emit(&entries))],
            vec![write(Lba(0), protective)],
        ],
    })
}

/// Sector 0, and before it a header of a void GUID partition table in sector 1: firmware that does not ask for the
/// protective record would follow it as long as sector 0 is not there.
fn master_record_writes(head: &[u8], sector_zero: &[u8], sector: SectorSize) -> Vec<Vec<TableWrite>> {
    let length = sector.bytes();
    let old_header = head_sectors(head, length, length).ok().filter(|_| has_primary_header(&head, sector));
    let writes = [(length, old_header), (0, Some(sector_zero))];
    let write = |(offset_bytes, bytes): (u64, Option<&[u8]>)| {
        Some(vec![TableWrite { offset_bytes, bytes: bytes?.to_vec() }])
    };
    writes.into_iter().filter_map(write).collect()
}

/// By what stands here every file system is known that can be told at all ([`super::filesystem`]); the superblock
/// furthest from the start is Btrfs', at 64 KiB.
const VOLUME_HEAD_BYTES: usize = 128 << 10;

/// Where the start of a volume is cut for its last writes. ext has its superblock from 1 KiB to 2 KiB and F2FS its second
/// one at 5 KiB: what they describe, as far as it stands here at all, is durable before.
const VOLUME_CUTS: [usize; 2] = [8 << 10, 2 << 10];

/// The start of a volume that fills the disk, from behind to sector 0: whatever a file system is known by comes after
/// everything that it describes.
fn volume_writes(head: &[u8], sector_zero: &[u8]) -> Vec<Vec<TableWrite>> {
    let sector = sector_zero.len();
    let mut end = head.len().min(VOLUME_HEAD_BYTES);
    let mut groups = Vec::new();
    for start in VOLUME_CUTS.into_iter().chain([sector, 0]) {
        if start < end && start.is_multiple_of(sector) {
            let bytes = head[start..end].to_vec();
            groups.push(vec![TableWrite { offset_bytes: start as u64, bytes }]);
            end = start;
        }
    }
    groups
}

/// The first header and its entries, where `head` holds both and their checksums are right.
fn sound_primary(head: &[u8], sector: SectorSize) -> Option<(Header, Vec<u8>)> {
    read_copy(&head, sector, PRIMARY).ok()
}

/// A first copy from the parsed table: what attributes, names and GUIDs were read from the second copy.
fn rebuild(
    table: &PartitionTable,
    disk_guid: [u8; 16],
    entry_count: u32,
    entry_bytes: u32,
    sector: SectorSize,
) -> Result<(Header, Vec<u8>), FitError> {
    if !header::is_entry_shape(entry_count, entry_bytes) {
        return Err(FitError::EntryShape { count: entry_count, bytes: entry_bytes });
    }
    let bytes = u64::from(entry_count) * u64::from(entry_bytes);
    let mut entries = vec![0; bytes as usize];
    for partition in &table.partitions {
        header::put_partition(&mut entries, entry_bytes, partition, sector);
    }
    let entries_lba = Lba(PRIMARY.0 + 1);
    let first_usable = Lba(entries_lba.0 + bytes.div_ceil(sector.bytes()));
    let reached = |partition: &&Partition| partition.place.start_bytes < first_usable.0 * sector.bytes();
    if let Some(partition) = table.partitions.iter().find(reached) {
        return Err(FitError::NoRoomForEntries { number: partition.number });
    }
    let mut header = Header::new(sector, disk_guid, entry_count, entry_bytes);
    header.set_places(PRIMARY, Lba(0), entries_lba);
    header.set_first_usable(first_usable);
    Ok((header, entries))
}

fn content_end(table: &PartitionTable) -> u64 {
    table.partitions.iter().map(|partition| partition.place.end_bytes()).max().unwrap_or(0)
}

/// The last sector of the disk, once it is sure that all partitions and the second copy fit before its end.
fn last_sector(
    table: &PartitionTable,
    entries_bytes: u64,
    sector: SectorSize,
    disk_bytes: u64,
) -> Result<Lba, FitError> {
    // A disk with no partition still has sector 0, the header and the entries at its start.
    let start_bytes = entries_bytes.next_multiple_of(sector.bytes()) + 2 * sector.bytes();
    let copy_bytes = entries_bytes.next_multiple_of(sector.bytes()) + sector.bytes();
    let needed = content_end(table).max(start_bytes).saturating_add(copy_bytes);
    let usable = disk_bytes - disk_bytes % sector.bytes();
    if usable < needed {
        return Err(FitError::DiskTooSmall { needed, actual: disk_bytes });
    }
    Ok(Lba(usable / sector.bytes() - 1))
}

/// Sector 0 with the protective entry as long as the disk. A hybrid record stays as it is, and so does the length
/// `ffffffff`, which Windows writes on disks of any size.
fn protective_record(sector_zero: &[u8], last: Lba) -> Vec<u8> {
    let mut bytes = sector_zero.to_vec();
    let Some(record) = mbr::BootRecord::parse(&bytes) else { return bytes };
    if let [entry] = record.entries.as_slice()
        && entry.kind == mbr::TYPE_PROTECTIVE
        && entry.first == 1
        && entry.sectors != u32::MAX
    {
        let sectors = u32::try_from(last.0).unwrap_or(u32::MAX);
        let at = mbr::ENTRIES_AT + entry.index * mbr::ENTRY_BYTES + 12;
        bytes[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
    }
    bytes
}

fn head_sectors(head: &[u8], start: u64, length: u64) -> Result<&[u8], FitError> {
    let missing = FitError::HeadTooShort { expected: start + length, actual: head.len() as u64 };
    head.get(start as usize..(start + length) as usize).ok_or(missing)
}
