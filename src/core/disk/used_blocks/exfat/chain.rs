//! The clusters of a file, as the FAT chains them.

use super::{
    boot::{Boot, FIRST_CLUSTER},
    damaged,
};
use crate::disk::{
    ReadAt,
    fields::u32_at,
    used_blocks::{UsedBlocksError, extents::fill_bits},
};

/// The entry of a file's last cluster (4.1.3).
const END: u32 = 0xFFFF_FFFF;

/// Clusters that follow each other on the volume as in the file.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// How many clusters of the file stand before it.
    before: u64,
    first: u64,
    clusters: u64,
}

/// The start of a file.
#[derive(Debug)]
pub(super) struct Chain(Vec<Run>);

impl Chain {
    /// Follows the active FAT from `first` over at most `clusters_max` clusters, which also ends a chain that
    /// bites its tail.
    pub(super) fn follow(
        volume: &dyn ReadAt,
        boot: &Boot,
        first: u64,
        clusters_max: u64,
    ) -> Result<Self, UsedBlocksError> {
        let clusters_max = clusters_max.min(boot.clusters);
        let mut runs: Vec<Run> = Vec::new();
        let mut fat =
            Fat { volume, start: boot.fat_at, sector: vec![0; boot.sector_bytes as usize], at: None };
        let (mut cluster, mut offset) = (first, boot.fat_at);
        for before in 0..clusters_max {
            if !boot.has(cluster) {
                let last = boot.clusters + FIRST_CLUSTER - 1;
                return Err(damaged(offset, last, cluster, "a cluster's number in a chain of the FAT"));
            }
            match runs.last_mut() {
                Some(run) if run.first + run.clusters == cluster => run.clusters += 1,
                _ => runs.push(Run { before, first: cluster, clusters: 1 }),
            }
            offset = boot.fat_at + cluster * 4;
            match fat.entry(cluster)? {
                END => break,
                next => cluster = next.into(),
            }
        }
        Ok(Self(runs))
    }

    pub(super) fn clusters(&self) -> u64 {
        self.0.last().map_or(0, |run| run.before + run.clusters)
    }

    /// Fills `buffer` from the file's byte `start`; it must end with the file's clusters or before.
    pub(super) fn read(
        &self,
        volume: &dyn ReadAt,
        boot: &Boot,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<(), UsedBlocksError> {
        let mut done = 0;
        while done < buffer.len() {
            let (place, left) = self.find(boot, start + done as u64);
            let length = left.min((buffer.len() - done) as u64) as usize;
            if length == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            volume.read_exact_at(&mut buffer[done..done + length], place)?;
            done += length;
        }
        Ok(())
    }

    /// Where on the volume a byte of the file lies.
    pub(super) fn place(&self, boot: &Boot, at: u64) -> u64 {
        self.find(boot, at).0
    }

    /// Sets the bits of the file's clusters in a part of a bitmap whose first bit stands for `first_cluster`.
    pub(super) fn mark(&self, bitmap: &mut [u8], first_cluster: u64) {
        for run in &self.0 {
            fill_bits(bitmap, first_cluster, &(run.first..run.first + run.clusters), true);
        }
    }

    /// Where a byte of the file lies, and how many bytes follow it there; none behind the end of the file.
    fn find(&self, boot: &Boot, at: u64) -> (u64, u64) {
        let index = self.0.partition_point(|run| run.before * boot.cluster_bytes <= at);
        let Some(run) = index.checked_sub(1).and_then(|index| self.0.get(index)) else { return (0, 0) };
        let inside = at - run.before * boot.cluster_bytes;
        (boot.place(run.first) + inside, (run.clusters * boot.cluster_bytes).saturating_sub(inside))
    }
}

/// The active FAT, of which one sector is held: chains mostly go on nearby.
struct Fat<'a> {
    volume: &'a dyn ReadAt,
    start: u64,
    sector: Vec<u8>,
    at: Option<u64>,
}

impl Fat<'_> {
    fn entry(&mut self, cluster: u64) -> Result<u32, UsedBlocksError> {
        let sector_bytes = self.sector.len() as u64;
        let (at, inside) = (cluster * 4 / sector_bytes, cluster * 4 % sector_bytes);
        if self.at != Some(at) {
            self.at = None;
            self.volume.read_exact_at(&mut self.sector, self.start + at * sector_bytes)?;
            self.at = Some(at);
        }
        Ok(u32_at(&self.sector, inside as usize))
    }
}
