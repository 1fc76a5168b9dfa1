//! The partition table of a target: taken away first, put back last.
//!
//! Between the two no firmware and no kernel can find a partition on the disk, so a computer whose power was cut
//! in the middle of a deploy does not start half a system.

use std::collections::HashMap;

use mimeo_core::{
    chunk::ChunkId,
    disk::{
        ReadAt, gpt,
        table::{TableWrite, TableWrites, WHOLE_DISK},
    },
    failure::FailureCause,
    manifest::{Manifest, RegionKind},
    units::{Extent, MIB},
};

use crate::disk::{buffer::AlignedBuffer, exclusive::ExclusiveDisk};
use crate::{fetch::fetch, halt::Halt, link::Link};

/// How much of the master's boot area is looked at for its table: the first megabyte holds it on every disk that a
/// partitioning program of the last fifteen years made; where it does not, the manifest's own account is used.
const HEAD_BYTES: u64 = MIB;

/// What is zeroed at either end of the target: boot code, both copies of a GUID partition table, GRUB's core, and the
/// labels by which a RAID, LVM, ZFS or a file system without partitions is known (ZFS has 512 KiB of them at either
/// end, a dynamic disk of Windows keeps its database in the last megabyte).
const WIPED_BYTES: u64 = MIB;

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

    /// What is to be written, in its order.
    pub(crate) fn into_writes(self) -> Vec<TableWrite> {
        self.writes.groups.into_iter().flatten().collect()
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

    /// Makes the disk one that can boot: every group of the table is durable and read back before the next is begun,
    /// and sector 0, without which nothing looks at the rest, is the last. A disk that does not keep its table
    /// loses what it has of it: half a table is none.
    pub(crate) fn write(&self, disk: &mut ExclusiveDisk) -> Result<(), FailureCause> {
        let written = self.writes.groups.iter().try_for_each(|group| write_group(group, disk));
        if let Err(cause) = written {
            if let Err(error) = destroy(disk) {
                tracing::error!(?error, "the table could neither be written nor taken away");
            }
            return Err(cause);
        }
        disk.reread_table();
        Ok(())
    }
}

fn write_group(group: &[TableWrite], disk: &mut ExclusiveDisk) -> Result<(), FailureCause> {
    for write in group {
        let mut buffer = AlignedBuffer::zeroed(write.bytes.len());
        buffer.copy_from_slice(&write.bytes);
        disk.write_all_at(&buffer, write.offset_bytes)?;
    }
    disk.sync()?;
    let reader = disk.reader();
    for &TableWrite { offset_bytes, ref bytes } in group {
        let mut buffer = AlignedBuffer::zeroed(bytes.len());
        reader
            .read_exact_at(&mut buffer, offset_bytes)
            .map_err(|error| FailureCause::ReadFailed { offset_bytes, detail: error.to_string() })?;
        if *buffer != *bytes {
            return Err(FailureCause::VerifyMismatch { offset_bytes, chunk: ChunkId::of(bytes) });
        }
    }
    Ok(())
}

/// Takes away whatever partition table the disk has, so that from here on nothing can mistake it for a whole one.
///
/// Sector 0 goes first and alone: it is one write that a power cut cannot tear, and without it neither firmware nor
/// kernel looks at the rest. Wiped together with what follows, it might outlive the loader behind it.
pub(crate) fn destroy(disk: &mut ExclusiveDisk) -> Result<(), FailureCause> {
    disk.write_all_at(&AlignedBuffer::zeroed(disk.logical_sector().bytes() as usize), 0)?;
    disk.sync()?;
    for end in ends(disk.size_bytes()) {
        disk.write_all_at(&AlignedBuffer::zeroed(end.length_bytes as usize), end.start_bytes)?;
    }
    disk.sync()
}

/// The two ends of a disk that [`destroy`] zeroes.
pub(crate) fn ends(disk_bytes: u64) -> [Extent; 2] {
    let length_bytes = WIPED_BYTES.min(disk_bytes);
    [0, disk_bytes - length_bytes].map(|start_bytes| Extent { start_bytes, length_bytes })
}

/// The first bytes of the master's disk, at most [`HEAD_BYTES`].
fn fetch_head(manifest: &Manifest, link: &Link<'_>) -> Result<Vec<u8>, Halt> {
    let begins = [RegionKind::BootArea, RegionKind::Partition(WHOLE_DISK)];
    let boot_area = manifest
        .regions
        .first()
        .filter(|region| begins.contains(&region.kind) && region.place.start_bytes == 0);
    let Some(boot_area) = boot_area else {
        let detail = "the manifest has no boot area".to_owned();
        return Err(FailureCause::ManifestRefused { detail }.into());
    };
    let chunks: Vec<_> = boot_area
        .chunks(manifest.chunk_size)
        .take_while(|(place, _)| place.start_bytes < HEAD_BYTES)
        .collect();
    let mut ids: Vec<ChunkId> = chunks.iter().filter_map(|(_, content)| content.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    // A megabyte has at most 16 chunks: one request.
    let plain: HashMap<ChunkId, Vec<u8>> = fetch(link, &ids)?;
    let mut head = vec![];
    for (place, content) in chunks {
        head.resize(place.end_bytes() as usize, 0);
        if let Some(id) = content.id() {
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

pub(crate) fn overlap(a: Extent, b: Extent) -> Option<Extent> {
    Extent::between(a.start_bytes.max(b.start_bytes), a.end_bytes().min(b.end_bytes()))
        .filter(|both| both.length_bytes > 0)
}

pub(crate) fn inside(extent: Extent, origin_bytes: u64) -> std::ops::Range<usize> {
    (extent.start_bytes - origin_bytes) as usize..(extent.end_bytes() - origin_bytes) as usize
}
