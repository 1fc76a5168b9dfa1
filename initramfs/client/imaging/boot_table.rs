//! The partition table of a target: taken away first, put back last.
//!
//! Between the two no firmware and no kernel can find a partition on the disk, so a computer whose power was cut
//! in the middle of a deploy does not start half a system.

use std::collections::HashMap;

use mimeo_core::{
    chunk::ChunkId,
    disk::{ReadAt, gpt, table::TableWrites},
    failure::FailureCause,
    manifest::{ChunkContent, Manifest, RegionKind},
    units::{Extent, MIB},
};

use super::{fetch::fetch, halt::Halt, link::Link};
use crate::disk::{buffer::AlignedBuffer, exclusive::ExclusiveDisk};

/// How much of the master's boot area is looked at for its table: the first megabyte holds it on every disk that a
/// partitioning program of the last fifteen years made; where it does not, the manifest's own account is used.
const HEAD_BYTES: u64 = MIB;

/// What is zeroed at either end of the target: sector 0, a GPT header in sector 1 of 512 or 4096 bytes, its 16 KiB of
/// entries, and the same again at the end.
const WIPED_BYTES: u64 = 64 << 10;

/// The table that the target will get, and the bytes of the master that stand in its places.
pub(crate) struct BootTable {
    writes: TableWrites,
    /// The first bytes of the master's disk.
    head: Vec<u8>,
    /// Which of them are held back until the end: where the new table's first copy goes.
    held: Vec<Extent>,
}

impl BootTable {
    /// Fetches the start of the master and fits its table to the target. Before the first write: a table that does
    /// not fit must not cost the target its old content.
    pub(crate) fn prepare(manifest: &Manifest, link: &Link<'_>, disk_bytes: u64) -> Result<Self, Halt> {
        let head = fetch_head(manifest, link)?;
        let sector = manifest.disk.logical_sector;
        let writes = gpt::fit_to_disk(&head, &manifest.table, sector, disk_bytes)
            .map_err(|error| FailureCause::ManifestRefused { detail: error.to_string() })?;
        let places = writes
            .groups
            .iter()
            .flatten()
            .map(|write| Extent { start_bytes: write.offset_bytes, length_bytes: write.bytes.len() as u64 });
        let held = places.filter(|place| place.end_bytes() <= head.len() as u64).collect();
        Ok(Self { writes, head, held })
    }

    /// Whether any byte at `place` is held back.
    pub(crate) fn touches(&self, place: Extent) -> bool {
        self.held.iter().any(|held| overlap(*held, place).is_some())
    }

    /// Zeroes what is held back of the content of `place`.
    pub(crate) fn withhold(&self, place: Extent, bytes: &mut [u8]) {
        for held in self.held.iter().filter_map(|held| overlap(*held, place)) {
            bytes[inside(held, place.start_bytes)].fill(0);
        }
    }

    /// Puts the master's bytes where they were held back, so that the whole can be compared with its name. False
    /// where the disk does not hold zeros there: the table came too early.
    pub(crate) fn restore(&self, place: Extent, bytes: &mut [u8]) -> bool {
        let mut withheld = true;
        for held in self.held.iter().filter_map(|held| overlap(*held, place)) {
            let bytes = &mut bytes[inside(held, place.start_bytes)];
            withheld &= bytes.iter().all(|&byte| byte == 0);
            bytes.copy_from_slice(&self.head[inside(held, 0)]);
        }
        withheld
    }

    /// Makes the disk one that can boot: every group of the table is durable before the next is begun, and sector 0,
    /// without which nothing looks at the rest, is the last.
    pub(crate) fn write(&self, disk: &mut ExclusiveDisk) -> Result<(), FailureCause> {
        for group in &self.writes.groups {
            for write in group {
                let mut buffer = AlignedBuffer::zeroed(write.bytes.len());
                buffer.copy_from_slice(&write.bytes);
                disk.write_all_at(&buffer, write.offset_bytes)?;
            }
            disk.sync()?;
        }
        self.check_written(disk)?;
        disk.reread_table();
        Ok(())
    }

    fn check_written(&self, disk: &ExclusiveDisk) -> Result<(), FailureCause> {
        let reader = disk.reader();
        for write in self.writes.groups.iter().flatten() {
            let offset_bytes = write.offset_bytes;
            let mut buffer = AlignedBuffer::zeroed(write.bytes.len());
            reader
                .read_exact_at(&mut buffer, offset_bytes)
                .map_err(|error| FailureCause::ReadFailed { offset_bytes, detail: error.to_string() })?;
            if *buffer != write.bytes {
                return Err(FailureCause::VerifyMismatch { offset_bytes, chunk: ChunkId::of(&write.bytes) });
            }
        }
        Ok(())
    }
}

/// Takes away whatever partition table the disk has, so that from here on nothing can mistake it for a whole one.
pub(crate) fn destroy(disk: &mut ExclusiveDisk) -> Result<(), FailureCause> {
    let size = disk.size_bytes();
    let wiped = WIPED_BYTES.min(size);
    let zeros = AlignedBuffer::zeroed(wiped as usize);
    // The start first: without it neither firmware nor kernel looks at the end.
    for offset_bytes in [0, size - wiped] {
        disk.write_all_at(&zeros, offset_bytes)?;
        disk.sync()?;
    }
    Ok(())
}

/// The first bytes of the master's disk, at most [`HEAD_BYTES`].
fn fetch_head(manifest: &Manifest, link: &Link<'_>) -> Result<Vec<u8>, Halt> {
    let boot_area = manifest
        .regions
        .first()
        .filter(|region| region.kind == RegionKind::BootArea && region.place.start_bytes == 0);
    let Some(boot_area) = boot_area else {
        let detail = "the manifest has no boot area".to_owned();
        return Err(FailureCause::ManifestRefused { detail }.into());
    };
    let chunks: Vec<_> = boot_area
        .chunks(manifest.chunk_size)
        .take_while(|(place, _)| place.start_bytes < HEAD_BYTES)
        .collect();
    let mut ids: Vec<ChunkId> = chunks.iter().filter_map(|(_, content)| data_id(*content)).collect();
    ids.sort_unstable();
    ids.dedup();
    // A megabyte has at most 16 chunks: one request.
    let plain: HashMap<ChunkId, Vec<u8>> = fetch(link, &ids)?;
    let mut head = vec![];
    for (place, content) in chunks {
        head.resize(place.end_bytes() as usize, 0);
        if let Some(id) = data_id(content) {
            let bytes = plain.get(&id).filter(|bytes| bytes.len() as u64 == place.length_bytes);
            let bytes = bytes.ok_or_else(|| wrong_length(id, place))?;
            head[inside(place, 0)].copy_from_slice(bytes);
        }
    }
    Ok(head)
}

/// A chunk that is genuine and yet not as long as its place: the manifest was made wrongly.
pub(crate) fn wrong_length(chunk: ChunkId, place: Extent) -> FailureCause {
    FailureCause::ManifestRefused {
        detail: format!("chunk {chunk} does not have the length of its place, {place}"),
    }
}

pub(crate) fn data_id(content: ChunkContent) -> Option<ChunkId> {
    match content {
        ChunkContent::Data(id) => Some(id),
        ChunkContent::Zero | ChunkContent::DontCare => None,
    }
}

fn overlap(a: Extent, b: Extent) -> Option<Extent> {
    Extent::between(a.start_bytes.max(b.start_bytes), a.end_bytes().min(b.end_bytes()))
        .filter(|both| both.length_bytes > 0)
}

fn inside(extent: Extent, origin_bytes: u64) -> std::ops::Range<usize> {
    (extent.start_bytes - origin_bytes) as usize..(extent.end_bytes() - origin_bytes) as usize
}
