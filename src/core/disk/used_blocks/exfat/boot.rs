//! The boot region: where the parts of the volume are, and whether it was closed properly.

use super::damaged;
use crate::{
    disk::{
        ReadAt,
        fields::{has, u8_at, u16_at, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    failure::UncleanReason,
};

/// The first cluster; entries 0 and 1 of the FAT hold other things.
pub(super) const FIRST_CLUSTER: u64 = 2;
/// Most clusters (3.1.9).
const CLUSTERS_MAX: u64 = (1 << 32) - 11;
/// Sectors of the boot region that its checksum, which fills the next, covers (3.4).
const CHECKED_SECTORS: usize = 11;
/// Sectors of the boot region and of its backup (2).
const BOOT_SECTORS: u64 = 24;
/// The largest cluster, as a power of two: 32 MiB (3.1.15).
const CLUSTER_SHIFT_MAX: u8 = 25;
/// Bytes that a running system changes, and the checksum therefore leaves out: flags, and percent in use.
const UNCHECKED: [usize; 3] = [106, 107, 112];
/// Flags of the volume (3.1.13). The media failure flag says that the disk once gave an error; should it give one
/// again, reading says so.
const FLAG_ACTIVE_FAT: u16 = 1;
const FLAG_DIRTY: u16 = 2;

/// A volume whose boot sector's numbers agree with each other and with the partition.
pub(super) struct Boot {
    /// Of the whole volume.
    pub(super) bytes: u64,
    pub(super) sector_bytes: u64,
    pub(super) cluster_bytes: u64,
    pub(super) clusters: u64,
    /// Where the active FAT starts.
    pub(super) fat_at: u64,
    /// One, or two under TexFAT.
    pub(super) fats: u64,
    pub(super) active_fat: u64,
    /// Where the first cluster starts.
    pub(super) heap_bytes: u64,
    pub(super) root_cluster: u64,
}

impl Boot {
    /// Reads the main boot region. If only its backup is sound, the volume has to be repaired first: no driver
    /// mounts it.
    pub(super) fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let mut sector = [0; 512];
        volume.read_exact_at(&mut sector, 0)?;
        if !has(&sector, 3, b"EXFAT   ") || !has(&sector, 510, &[0x55, 0xAA]) {
            return Err(UsedBlocksError::Unsupported { what: "this is no exFAT boot sector".into() });
        }
        if u8_at(&sector, 105) != 1 {
            let what = format!("exFAT of version {} is not known", u8_at(&sector, 105));
            return Err(UsedBlocksError::Unsupported { what });
        }
        let sector_shift = u8_at(&sector, 108);
        if !(9..=12).contains(&sector_shift) {
            return Err(damaged(108, 9, sector_shift.into(), "the power of two of the bytes per sector"));
        }
        check_sum(volume, 1 << sector_shift)?;
        if u16_at(&sector, 106) & FLAG_DIRTY != 0 {
            return Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty });
        }
        Self::parse(&sector, sector_shift, volume.length_bytes())
    }

    fn parse(sector: &[u8], sector_shift: u8, partition_bytes: u64) -> Result<Self, UsedBlocksError> {
        let check = |holds: bool, offset, expected, actual, what| {
            if holds { Ok(()) } else { Err(damaged(offset, expected, actual, what)) }
        };
        let sector_bytes = 1 << sector_shift;
        let cluster_shift = u8_at(sector, 109);
        let shift_max = CLUSTER_SHIFT_MAX - sector_shift;
        let what = "the power of two of the sectors per cluster";
        check(cluster_shift <= shift_max, 109, shift_max.into(), cluster_shift.into(), what)?;
        let cluster_bytes = sector_bytes << cluster_shift;
        let bytes = u64_at(sector, 72).saturating_mul(sector_bytes);
        check(bytes <= partition_bytes, 72, partition_bytes, bytes, "the length of the volume")?;

        let (fat_sectors, fats) = (u64::from(u32_at(sector, 84)), u64::from(u8_at(sector, 110)));
        check((1..=2).contains(&fats), 110, 1, fats, "the number of FATs")?;
        let active_fat = u64::from(u16_at(sector, 106) & FLAG_ACTIVE_FAT);
        check(active_fat < fats, 106, fats - 1, active_fat, "the number of the active FAT")?;
        let fat_start = u64::from(u32_at(sector, 80));
        check(fat_start >= BOOT_SECTORS, 80, BOOT_SECTORS, fat_start, "the first sector of the FAT")?;
        let (heap, heap_min) = (u64::from(u32_at(sector, 88)), fat_start + fats * fat_sectors);
        check(heap >= heap_min, 88, heap_min, heap, "the first sector of the clusters")?;

        let clusters = u64::from(u32_at(sector, 92));
        let (heap_bytes, fat_bytes) = (heap * sector_bytes, fat_sectors * sector_bytes);
        let room = bytes.saturating_sub(heap_bytes) / cluster_bytes;
        let clusters_max = room.min(fat_bytes / 4 - FIRST_CLUSTER.min(fat_bytes / 4)).min(CLUSTERS_MAX);
        let is_sane = (1..=clusters_max).contains(&clusters);
        check(is_sane, 92, clusters_max, clusters, "the number of clusters")?;
        let root_cluster = u64::from(u32_at(sector, 96));
        let root_max = clusters + FIRST_CLUSTER - 1;
        let is_sane = (FIRST_CLUSTER..=root_max).contains(&root_cluster);
        check(is_sane, 96, root_max, root_cluster, "the first cluster of the root directory")?;
        let fat_at = fat_start * sector_bytes + active_fat * fat_bytes;
        Ok(Self {
            bytes,
            sector_bytes,
            cluster_bytes,
            clusters,
            fat_at,
            fats,
            active_fat,
            heap_bytes,
            root_cluster,
        })
    }

    /// Where a cluster starts.
    pub(super) fn place(&self, cluster: u64) -> u64 {
        self.heap_bytes + (cluster - FIRST_CLUSTER) * self.cluster_bytes
    }

    pub(super) fn has(&self, cluster: u64) -> bool {
        (FIRST_CLUSTER..self.clusters + FIRST_CLUSTER).contains(&cluster)
    }
}

/// Checks the main boot region against the sector of checksums at its end (3.4).
fn check_sum(volume: &dyn ReadAt, sector_bytes: usize) -> Result<(), UsedBlocksError> {
    let mut region = vec![0; (CHECKED_SECTORS + 1) * sector_bytes];
    volume.read_exact_at(&mut region, 0)?;
    let (checked, sums) = region.split_at(CHECKED_SECTORS * sector_bytes);
    let kept = checked.iter().enumerate().filter(|(at, _)| !UNCHECKED.contains(at));
    let sum = kept.fold(0_u32, |sum, (_, &byte)| sum.rotate_right(1).wrapping_add(byte.into()));
    for (index, found) in sums.chunks_exact(4).enumerate() {
        if found != sum.to_le_bytes() {
            let offset = (checked.len() + 4 * index) as u64;
            let actual = u32_at(found, 0).into();
            return Err(damaged(offset, sum.into(), actual, "the checksum of the boot region"));
        }
    }
    Ok(())
}
