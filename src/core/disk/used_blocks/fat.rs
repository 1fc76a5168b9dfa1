//! FAT12, FAT16 and FAT32: the file allocation table is the account of used clusters.
//!
//! ```text
//! reserved sectors (boot sector; FAT32: FSInfo, backup boot sector) · FATs · root directory (FAT12/16) · clusters
//! ```
//!
//! Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03.
//!
//! The dirty bits in FAT[1] do not refuse a volume. Firmware and boot loaders write to EFI system partitions and
//! leave them set on most machines, they say nothing of what is lost, and since every copy of the FAT is
//! carried, a repair after the deploy finds what a repair before the capture would have found.

use super::{UsedBlocksError, UsedMap, extents::Gathered};
use crate::disk::{
    ReadAt,
    fields::{u8_at, u16_at, u32_at},
    filesystem::FileSystem,
};

/// Bytes of FAT that are read at once: a multiple of three sectors of any size, so that no 12-bit entry is cut.
const READ_BYTES: usize = 768 << 10;
/// The first cluster; entries 0 and 1 of the table hold other things.
const FIRST_CLUSTER: u64 = 2;
/// Below so many clusters a volume is FAT12, below the other FAT16.
const FAT12_CLUSTERS_MAX: u64 = 4085;
const FAT16_CLUSTERS_MAX: u64 = 65_525;
/// A FAT32 entry has 28 bits: more clusters than this cannot be named.
const FAT32_CLUSTERS_MAX: u64 = 0x0FFF_FFF5;
const DIRECTORY_ENTRY_BYTES: u64 = 32;

/// How wide the entries of a FAT are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatKind {
    Fat12,
    Fat16,
    Fat32,
}

impl FatKind {
    pub fn filesystem(self) -> FileSystem {
        match self {
            Self::Fat12 => FileSystem::Fat12,
            Self::Fat16 => FileSystem::Fat16,
            Self::Fat32 => FileSystem::Fat32,
        }
    }

    fn entry_bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }
}

/// The BIOS parameter block of a FAT volume whose numbers agree with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootSector {
    kind: FatKind,
    sector_bytes: u64,
    cluster_bytes: u64,
    reserved_bytes: u64,
    fat_bytes: u64,
    fat_count: u64,
    /// The one copy that is kept up to date where mirroring is off (FAT32).
    active_fat: Option<u64>,
    root_bytes: u64,
    total_bytes: u64,
    clusters: u64,
}

/// What in a boot sector no FAT volume has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no boot sector of a FAT volume: {0}")]
pub struct NotFat(&'static str);

impl BootSector {
    /// Reads the first sector of a volume.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotFat> {
        let check = |holds: bool, what| if holds { Ok(()) } else { Err(NotFat(what)) };
        check(bytes.len() >= 512, "it is too short")?;
        check(matches!(bytes[0], 0xEB | 0xE9), "it starts with no jump")?;
        let sector_bytes = u64::from(u16_at(bytes, 11));
        check(sector_bytes.is_power_of_two() && (512..=4096).contains(&sector_bytes), "bytes per sector")?;
        let sectors_per_cluster = u64::from(u8_at(bytes, 13));
        check(sectors_per_cluster.is_power_of_two(), "sectors per cluster")?;
        let reserved = u64::from(u16_at(bytes, 14));
        check(reserved > 0, "no reserved sectors")?;
        let fat_count = u64::from(u8_at(bytes, 16));
        check((1..=4).contains(&fat_count), "number of FATs")?;
        check(matches!(u8_at(bytes, 21), 0xF0 | 0xF8..), "media byte")?;

        let small_fat = u64::from(u16_at(bytes, 22));
        let fat_sectors = if small_fat == 0 { u64::from(u32_at(bytes, 36)) } else { small_fat };
        check(fat_sectors > 0, "no sectors in a FAT")?;
        let small_total = u64::from(u16_at(bytes, 19));
        let total = if small_total == 0 { u64::from(u32_at(bytes, 32)) } else { small_total };
        let root_bytes = u64::from(u16_at(bytes, 17)) * DIRECTORY_ENTRY_BYTES;
        let root_sectors = root_bytes.div_ceil(sector_bytes);
        let before = reserved + fat_count * fat_sectors + root_sectors;
        check(before < total, "it has no room for clusters")?;

        let counted = (total - before) / sectors_per_cluster;
        let kind = kind(small_fat, counted);
        let flags = u16_at(bytes, 40);
        let active = (kind == FatKind::Fat32 && flags & 0x80 != 0).then_some(u64::from(flags & 0xF));
        check(active.is_none_or(|active| active < fat_count), "number of the active FAT")?;
        let fat_bytes = fat_sectors * sector_bytes;
        // A FAT that ends early ends the volume: no cluster beyond it can be given out (Linux does the same).
        let entries = fat_bytes * 8 / kind.entry_bits();
        Ok(Self {
            kind,
            sector_bytes,
            cluster_bytes: sectors_per_cluster * sector_bytes,
            reserved_bytes: reserved * sector_bytes,
            fat_bytes,
            fat_count,
            active_fat: active,
            root_bytes: root_sectors * sector_bytes,
            total_bytes: total * sector_bytes,
            clusters: counted.min(entries.saturating_sub(FIRST_CLUSTER)).min(FAT32_CLUSTERS_MAX),
        })
    }

    pub fn kind(&self) -> FatKind {
        self.kind
    }

    fn clusters_start_bytes(&self) -> u64 {
        self.reserved_bytes + self.fat_count * self.fat_bytes + self.root_bytes
    }

    /// The copies of the FAT that say what is in use: all of them while they are mirrored, since where they differ
    /// nobody knows which one is right.
    fn copies(&self) -> std::ops::Range<u64> {
        self.active_fat.map_or(0..self.fat_count, |active| active..active + 1)
    }
}

/// Microsoft decides by the number of clusters alone. A volume whose 16-bit FAT length is zero is FAT32 even with
/// fewer clusters: `mkfs.fat -F 32` makes such EFI system partitions, and Linux and EDK2 read them so.
fn kind(small_fat: u64, clusters: u64) -> FatKind {
    match clusters {
        _ if small_fat == 0 => FatKind::Fat32,
        0..FAT12_CLUSTERS_MAX => FatKind::Fat12,
        FAT12_CLUSTERS_MAX..FAT16_CLUSTERS_MAX => FatKind::Fat16,
        _ => FatKind::Fat32,
    }
}

/// Maps a FAT volume: everything before the clusters, the clusters that any copy of the FAT gives to a file, and
/// the few sectors behind the last whole cluster.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let mut sector = [0; 512];
    volume.read_exact_at(&mut sector, 0)?;
    let boot = BootSector::parse(&sector)
        .map_err(|error| UsedBlocksError::Unsupported { what: error.to_string() })?;
    let volume_bytes = volume.length_bytes();
    if boot.total_bytes > volume_bytes {
        let what = "the FAT volume ends behind its partition";
        return Err(UsedBlocksError::Damaged {
            offset: 19,
            expected: volume_bytes,
            actual: boot.total_bytes,
            what,
        });
    }
    let mut gathered = Gathered::new(volume_bytes);
    let clusters_start = boot.clusters_start_bytes();
    gathered.add(0, clusters_start);
    read_clusters(volume, &boot, &mut gathered)?;
    let clusters_end = clusters_start + boot.clusters * boot.cluster_bytes;
    if boot.total_bytes - clusters_end < boot.cluster_bytes {
        gathered.add(clusters_end, boot.total_bytes - clusters_end);
    }
    // At most 255 sectors of 4 KiB.
    Ok(UsedMap { end_bytes: boot.total_bytes, ..gathered.finish(boot.cluster_bytes as u32) })
}

fn read_clusters(
    volume: &dyn ReadAt,
    boot: &BootSector,
    gathered: &mut Gathered,
) -> Result<(), UsedBlocksError> {
    let start = boot.clusters_start_bytes();
    let table_bytes = ((boot.clusters + FIRST_CLUSTER) * boot.kind.entry_bits()).div_ceil(8);
    let mut pieces = vec![Vec::new(); (boot.copies().end - boot.copies().start) as usize];
    let mut done = 0;
    let mut cluster = 0;
    while done < table_bytes {
        let length = (table_bytes - done).min(READ_BYTES as u64);
        for (copy, piece) in boot.copies().zip(&mut pieces) {
            piece.resize(length as usize, 0);
            volume.read_exact_at(piece, boot.reserved_bytes + copy * boot.fat_bytes + done)?;
        }
        done += length;
        let next = if done == table_bytes {
            boot.clusters + FIRST_CLUSTER
        } else {
            cluster + length * 8 / boot.kind.entry_bits()
        };
        for number in cluster.max(FIRST_CLUSTER)..next {
            let index = (number - cluster) as usize;
            if pieces.iter().any(|piece| is_used(boot.kind, piece, index)) {
                gathered.add(start + (number - FIRST_CLUSTER) * boot.cluster_bytes, boot.cluster_bytes);
            }
        }
        cluster = next;
    }
    Ok(())
}

/// Whether the entry gives the cluster to a file. A bad cluster belongs to nobody, and to read it would fail.
fn is_used(kind: FatKind, fat: &[u8], index: usize) -> bool {
    let (entry, bad) = match kind {
        FatKind::Fat12 => {
            let pair = u16_at_end(fat, index * 3 / 2);
            (u32::from(if index.is_multiple_of(2) { pair & 0xFFF } else { pair >> 4 }), 0xFF7)
        }
        FatKind::Fat16 => (u32::from(u16_at(fat, index * 2)), 0xFFF7),
        FatKind::Fat32 => (u32_at(fat, index * 4) & 0x0FFF_FFFF, 0x0FFF_FFF7),
    };
    entry != 0 && entry != bad
}

/// The last entry of a FAT12 may be in the last byte and a half.
fn u16_at_end(bytes: &[u8], at: usize) -> u16 {
    u16::from(u8_at(bytes, at)) | u16::from(u8_at(bytes, at + 1)) << 8
}
