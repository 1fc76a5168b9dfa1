//! exFAT: the allocation bitmap, a file that the root directory names, has one bit per cluster.
//!
//! ```text
//! boot region · its backup · FAT · second FAT (TexFAT only) · cluster heap
//! ```
//!
//! Source: Microsoft, "exFAT file system specification" (2019), whose sections the comments name.
//!
//! Everything before the cluster heap is carried, the gaps that align its parts included. What lies behind the last
//! cluster (2, "excess space") belongs to nobody. A cluster that the FAT calls bad is carried if the bitmap says
//! so: the FAT's entries of contiguous files may hold anything (6.3.4.2), and this mark among them may not cost a
//! file its content.

mod boot;
mod chain;

use boot::{Boot, FIRST_CLUSTER};
use chain::Chain;

use super::{UsedBlocksError, UsedMap, extents::Gathered};
use crate::disk::{
    ReadAt,
    fields::{u8_at, u32_at, u64_at},
};

/// Most of a bitmap that is read at once: a TiB worth of the usual clusters of 128 KiB.
const READ_BYTES: u64 = 1 << 20;
/// The longest directory (7.6), and how much of it is read at once.
const DIRECTORY_BYTES_MAX: u64 = 256 << 20;
const DIRECTORY_READ_BYTES: u64 = 64 << 10;
const ENTRY_BYTES: usize = 32;
/// Types of entries: none follows any more; an allocation bitmap (7.1.1).
const ENTRY_END: u8 = 0x00;
const ENTRY_BITMAP: u8 = 0x81;

/// Maps an exFAT volume. One that was not closed properly is refused.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let boot = Boot::read(volume)?;
    let root_clusters_max = DIRECTORY_BYTES_MAX.div_ceil(boot.cluster_bytes);
    let root = Chain::follow(volume, &boot, boot.root_cluster, root_clusters_max)?;
    let bitmaps = find_bitmaps(volume, &boot, &root)?;

    let mut gathered = Gathered::new(volume.length_bytes());
    gathered.add(0, boot.heap_bytes);
    let needed = boot.clusters.div_ceil(8);
    let (mut merged, mut piece) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < needed {
        let length = (needed - done).min(READ_BYTES);
        merged.clear();
        merged.resize(length as usize, 0);
        piece.resize(length as usize, 0);
        // TexFAT writes into the bitmap that is not active before it makes that the active one: what either gives
        // to a file is carried.
        for bitmap in &bitmaps {
            bitmap.read(volume, &boot, done, &mut piece)?;
            merged.iter_mut().zip(&piece).for_each(|(merged, byte)| *merged |= byte);
        }
        // Without these there is no volume, whatever the bitmap says of them.
        for chain in bitmaps.iter().chain([&root]) {
            chain.mark(&mut merged, FIRST_CLUSTER + done * 8);
        }
        let start = boot.place(FIRST_CLUSTER + done * 8);
        gathered.add_bits(&merged, start, boot.cluster_bytes, boot.clusters - done * 8);
        done += length;
    }
    // At most 32 MiB.
    Ok(UsedMap { end_bytes: boot.bytes, ..gathered.finish(boot.cluster_bytes as u32) })
}

/// The volume's bitmaps: one for each FAT.
fn find_bitmaps(volume: &dyn ReadAt, boot: &Boot, root: &Chain) -> Result<Vec<Chain>, UsedBlocksError> {
    let mut found: [Option<Chain>; 2] = [None, None];
    let mut piece = vec![0; boot.cluster_bytes.min(DIRECTORY_READ_BYTES) as usize];
    for at in (0..root.clusters() * boot.cluster_bytes).step_by(piece.len()) {
        root.read(volume, boot, at, &mut piece)?;
        let end = piece.chunks_exact(ENTRY_BYTES).position(|entry| u8_at(entry, 0) == ENTRY_END);
        for entry in piece.chunks_exact(ENTRY_BYTES).take(end.unwrap_or(usize::MAX)) {
            // 7.1.2: the lowest flag says to which FAT the bitmap belongs.
            let number = u64::from(u8_at(entry, 1) & 1);
            let is_wanted = number < boot.fats && found[number as usize].is_none();
            if u8_at(entry, 0) == ENTRY_BITMAP && is_wanted {
                found[number as usize] = Some(bitmap_of_entry(volume, boot, entry, root.place(boot, at))?);
            }
        }
        if end.is_some() || found.iter().flatten().count() as u64 == boot.fats {
            break;
        }
    }
    if found[boot.active_fat as usize].is_none() {
        let what = "the entry of the allocation bitmap in the root directory";
        return Err(damaged(boot.place(boot.root_cluster), 1, 0, what));
    }
    Ok(found.into_iter().flatten().collect())
}

/// Follows the bitmap of an entry that was read near `offset`, as far as it speaks of clusters.
fn bitmap_of_entry(
    volume: &dyn ReadAt,
    boot: &Boot,
    entry: &[u8],
    offset: u64,
) -> Result<Chain, UsedBlocksError> {
    let (first, bytes) = (u64::from(u32_at(entry, 20)), u64_at(entry, 24));
    let needed = boot.clusters.div_ceil(8);
    if bytes < needed {
        return Err(damaged(offset, needed, bytes, "the length of the allocation bitmap"));
    }
    let clusters = needed.div_ceil(boot.cluster_bytes);
    let chain = Chain::follow(volume, boot, first, clusters)?;
    if chain.clusters() < clusters {
        return Err(damaged(offset, clusters, chain.clusters(), "the clusters of the allocation bitmap"));
    }
    Ok(chain)
}

fn damaged(offset: u64, expected: u64, actual: u64, what: &'static str) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset, expected, actual, what }
}
