//! How a disk is laid out: its partition table, and which bytes outside the partitions must be carried.

use std::io;

use super::{
    ReadAt,
    filesystem::{self, FileSystem},
    gpt::{self, GptError, header::Fault},
    mbr::{self, BootRecord, ChainError},
    table::{Partition, PartitionKind, PartitionTable, Scheme, WHOLE_DISK},
};
use crate::units::{Extent, Lba, MIB, SectorSize};

/// Most of the space before the first partition that is carried. Boot code, tables and GRUB's core fit into the
/// first megabyte; whatever lies further back was left by partitions that are gone.
pub const BOOT_AREA_BYTES_MAX: u64 = 64 * MIB;

/// Longest gap between two partitions that is carried whole. Alignment and hidden sectors are shorter; of a
/// longer one, which is free space, only the extended boot records in it are carried.
pub const GAP_BYTES_MAX: u64 = 64 * MIB;

/// What is carried with an extended boot record in a long gap: the track or megabyte that belongs to it.
const RECORD_AREA_BYTES: u64 = MIB;

/// A disk as its partition table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub table: PartitionTable,
    /// From the first byte of the disk to the first partition, at most [`BOOT_AREA_BYTES_MAX`]; empty where a volume
    /// fills the disk.
    pub boot_area: Extent,
    /// Bytes outside the partitions that are to be carried, between the start of the first partition and the end
    /// of the last one (or of the last extended boot record): in order, disjoint. An extended partition is no
    /// partition here; its boot records are in the gaps.
    pub gaps: Vec<Extent>,
    /// What a technician should know of this disk, though it can be captured.
    pub warnings: Vec<LayoutWarning>,
}

/// Something unusual that does not stand in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutWarning {
    #[error("the first copy of the partition table is damaged and the second was used: {0}")]
    PrimaryDamaged(Fault),
    #[error("the second copy of the partition table is damaged: {0}")]
    BackupDamaged(Fault),
    #[error("the second copy of the partition table stands at sector {lba}, the disk ends at sector {last}")]
    BackupNotAtEnd { lba: u64, last: u64 },
    #[error("the disk has a GUID partition table and a master boot record beside it; the former counts")]
    Hybrid,
    #[error("the GUID partition table has no protective master boot record: firmware may not see it")]
    NoProtectiveRecord,
    #[error("the disk has a master boot record; a GUID partition table left from earlier use is ignored")]
    OldGptIgnored,
    #[error("{bytes} bytes of free space at {start_bytes} are not carried")]
    FreeSpace { start_bytes: u64, bytes: u64 },
}

/// Why a disk cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("reading the partition table")]
    Io(#[from] io::Error),
    #[error("the disk has neither a partition table nor a file system that is known")]
    NoTable,
    /// Its metadata may stand at its end, where a larger disk would not be looked at for it.
    #[error("the disk as a whole is a member of a Linux RAID: capture what the RAID holds")]
    RaidMember,
    #[error("the partition table names no partition")]
    Empty,
    #[error("the disk is a dynamic disk of Windows, whose volumes are not kept in its partition table")]
    DynamicDisk,
    #[error(transparent)]
    Gpt(#[from] GptError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("partition {number} ({place}) does not lie inside the disk of {disk_bytes} bytes")]
    PartitionOutside { number: u32, place: Extent, disk_bytes: u64 },
    #[error("partitions {first} and {second} overlap")]
    Overlap { first: u32, second: u32 },
}

/// Reads the partition table of `disk`, whose logical sectors have the size `sector`.
pub fn read(disk: &dyn ReadAt, sector: SectorSize) -> Result<Layout, LayoutError> {
    let mut bytes = vec![0; sector.bytes() as usize];
    disk.read_exact_at(&mut bytes, 0)?;
    let record = BootRecord::parse(&bytes);
    match record {
        Some(record) if record.plausible && record.is_protective() => {
            let mut layout = read_gpt(disk, sector)?;
            if record.entries.len() > 1 {
                layout.warnings.push(LayoutWarning::Hybrid);
            }
            Ok(layout)
        }
        Some(record) if record.plausible && !record.entries.is_empty() => read_mbr(disk, sector, &record),
        record => {
            match filesystem::detect(disk)? {
                Some(FileSystem::LinuxRaid) => return Err(LayoutError::RaidMember),
                Some(_) => return Ok(whole_disk(disk)),
                None => {}
            }
            if gpt::has_primary_header(disk, sector) {
                let mut layout = read_gpt(disk, sector)?;
                layout.warnings.push(LayoutWarning::NoProtectiveRecord);
                return Ok(layout);
            }
            let plausible = record.is_some_and(|record| record.plausible);
            Err(if plausible { LayoutError::Empty } else { LayoutError::NoTable })
        }
    }
}

/// A disk that one volume fills.
fn whole_disk(disk: &dyn ReadAt) -> Layout {
    let volume = Partition {
        number: WHOLE_DISK,
        place: Extent { start_bytes: 0, length_bytes: disk.length_bytes() },
        kind: PartitionKind::Byte(0),
        guid: [0; 16],
        name: String::new(),
        attributes: 0,
    };
    Layout {
        table: PartitionTable { scheme: Scheme::Whole, partitions: vec![volume] },
        boot_area: Extent { start_bytes: 0, length_bytes: 0 },
        gaps: Vec::new(),
        warnings: Vec::new(),
    }
}

fn read_gpt(disk: &dyn ReadAt, sector: SectorSize) -> Result<Layout, LayoutError> {
    let parsed = gpt::parse(disk, sector)?;
    let mut warnings = Vec::new();
    if let Err(fault) = parsed.primary {
        warnings.push(LayoutWarning::PrimaryDamaged(fault));
    }
    let last = Lba(disk.length_bytes() / sector.bytes() - 1);
    match parsed.backup {
        Err(fault) => warnings.push(LayoutWarning::BackupDamaged(fault)),
        Ok(()) if parsed.backup_lba != last => {
            warnings.push(LayoutWarning::BackupNotAtEnd { lba: parsed.backup_lba.0, last: last.0 });
        }
        Ok(()) => {}
    }
    arrange(disk, parsed.table, &[], warnings)
}

fn read_mbr(disk: &dyn ReadAt, sector: SectorSize, record: &BootRecord) -> Result<Layout, LayoutError> {
    if record.entries.iter().any(|entry| entry.kind == mbr::TYPE_DYNAMIC) {
        return Err(LayoutError::DynamicDisk);
    }
    let mut warnings = Vec::new();
    if gpt::has_primary_header(disk, sector) {
        warnings.push(LayoutWarning::OldGptIgnored);
    }
    let mbr = mbr::partitions(disk, sector, record)?;
    let scheme = Scheme::Mbr { disk_signature: record.disk_signature };
    arrange(disk, PartitionTable { scheme, partitions: mbr.partitions }, &mbr.chain, warnings)
}

/// Checks that the partitions are where partitions can be, and finds what lies between them. `records` are the
/// sectors of extended boot records.
fn arrange(
    disk: &dyn ReadAt,
    table: PartitionTable,
    records: &[Extent],
    mut warnings: Vec<LayoutWarning>,
) -> Result<Layout, LayoutError> {
    let disk_bytes = disk.length_bytes();
    let mut placed: Vec<(Extent, u32)> =
        table.partitions.iter().map(|partition| (partition.place, partition.number)).collect();
    placed.sort_unstable();
    let outside = placed.iter().find(|(place, _)| place.start_bytes == 0 || place.end_bytes() > disk_bytes);
    if let Some(&(place, number)) = outside {
        return Err(LayoutError::PartitionOutside { number, place, disk_bytes });
    }
    for pair in placed.windows(2) {
        if let [(before, first), (after, second)] = pair
            && before.end_bytes() > after.start_bytes
        {
            return Err(LayoutError::Overlap { first: *first, second: *second });
        }
    }
    let Some(&(first, _)) = placed.first() else { return Err(LayoutError::Empty) };

    let boot_area = Extent { start_bytes: 0, length_bytes: first.start_bytes.min(BOOT_AREA_BYTES_MAX) };
    let records_end = records.iter().map(|record| record.end_bytes().min(disk_bytes)).max().unwrap_or(0);
    let mut gaps = Vec::new();
    let mut end = boot_area.end_bytes();
    for place in
        placed.iter().map(|&(place, _)| place).chain([Extent { start_bytes: records_end, length_bytes: 0 }])
    {
        if let Some(free) = Extent::between(end, place.start_bytes).filter(|free| free.length_bytes > 0) {
            carry_gap(free, records, &mut gaps, &mut warnings);
        }
        end = end.max(place.end_bytes());
    }
    Ok(Layout { table, boot_area, gaps, warnings })
}

/// Adds what is to be carried of the space `free` between partitions.
fn carry_gap(free: Extent, records: &[Extent], gaps: &mut Vec<Extent>, warnings: &mut Vec<LayoutWarning>) {
    if free.length_bytes <= GAP_BYTES_MAX {
        gaps.push(free);
        return;
    }
    let mut inside: Vec<u64> = records.iter().map(|record| record.start_bytes).collect();
    inside.retain(|start| (free.start_bytes..free.end_bytes()).contains(start));
    inside.sort_unstable();
    let mut carried = 0;
    let mut end = free.start_bytes;
    for start in inside {
        let piece = Extent::between(start.max(end), (start + RECORD_AREA_BYTES).min(free.end_bytes()));
        if let Some(piece) = piece.filter(|piece| piece.length_bytes > 0) {
            carried += piece.length_bytes;
            end = piece.end_bytes();
            gaps.push(piece);
        }
    }
    let bytes = free.length_bytes - carried;
    warnings.push(LayoutWarning::FreeSpace { start_bytes: free.start_bytes, bytes });
}
