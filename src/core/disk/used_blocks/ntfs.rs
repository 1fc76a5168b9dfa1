//! NTFS: the file `$Bitmap` has one bit per cluster.
//!
//! Outside that account stands the backup boot sector, in the last sector of the partition: Windows' repair
//! needs it, and some tools lose it.
//!
//! Sources: Linux-NTFS project, "NTFS Documentation"; ntfs-3g 2022.10.3 for what Windows means by its flags. Why the
//! `ntfs` crate is not used: `docs/adr/0007-ntfs-is-read-by-our-own-code.md`.

mod directory;
mod page_files;
mod record;
mod rest;
mod runs;
mod volume;

use std::ops::Range;

use volume::Volume;

use super::{
    UsedBlocksError, UsedMap,
    extents::{Gathered, fill_bits},
};
use crate::{disk::ReadAt, units::Extent};

/// Most of the bitmap that is read at once: 32 GiB worth of ordinary clusters.
const READ_BYTES: u64 = 1 << 20;

/// File record numbers that are the same on every volume.
mod file {
    pub(super) const LOG_FILE: u64 = 2;
    pub(super) const VOLUME: u64 = 3;
    pub(super) const ROOT: u64 = 5;
    pub(super) const BITMAP: u64 = 6;
}

/// Maps an NTFS volume. It must be at rest: Windows neither sleeps in it nor left it dirty.
pub fn map(source: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let volume = Volume::open(source)?;
    let found = directory::find_in_root(&volume, &page_files::NAMES)?;
    rest::check(&volume, &found)?;

    let bitmap = volume.value(&volume.record(file::BITMAP)?, record::DATA, "")?;
    let needed = volume.clusters.div_ceil(8);
    if bitmap.initialized_bytes() < needed {
        let actual = bitmap.initialized_bytes();
        return Err(volume.damaged(file::BITMAP, needed, actual, "the length of $Bitmap"));
    }
    let zeroed = page_files::clusters(&volume, &bitmap, &found)?;
    let mut gathered = Gathered::new(source.length_bytes());
    // The boot sector is in use whatever the bitmap says.
    gathered.add(0, volume.sector_bytes);
    let mut done = 0;
    let mut piece = Vec::new();
    while done < needed {
        piece.resize((needed - done).min(READ_BYTES) as usize, 0);
        bitmap.read(&volume, done, &mut piece)?;
        let first = done * 8;
        zeroed.iter().for_each(|clusters| fill_bits(&mut piece, first, clusters, false));
        let start = first * volume.cluster_bytes;
        gathered.add_bits(&piece, start, volume.cluster_bytes, volume.clusters - first);
        done += piece.len() as u64;
    }
    // The sectors behind the last whole cluster, the backup boot sector among them, and the last sector of the
    // partition, where Windows looks for it should the file system have been shrunk.
    let clusters_end = volume.clusters * volume.cluster_bytes;
    gathered.add(clusters_end, volume.bytes - clusters_end + volume.sector_bytes);
    gathered.add(source.length_bytes().saturating_sub(volume.sector_bytes), volume.sector_bytes);
    let bytes_of = |clusters: &Range<u64>| {
        Extent::between(clusters.start * volume.cluster_bytes, clusters.end * volume.cluster_bytes)
    };
    let zeroed = zeroed.iter().filter_map(bytes_of).collect();
    // At most 2 MiB.
    let map = gathered.finish(volume.cluster_bytes as u32);
    Ok(UsedMap { zeroed, end_bytes: volume.bytes + volume.sector_bytes, ..map })
}
