//! A version, or one partition of it, as a run of bytes from the first to the last.
//!
//! The whole disk comes out as a restore to a disk of the captured size would leave one that held zeros: the
//! partition table with its second copy stands where it belongs, and what is not in use is zero. Nothing is written
//! here: a [`ImageSink`] takes the bytes in their order, so that a pipe can be one.

pub mod qcow2;
pub mod sink;

use std::collections::HashMap;

use mimeo_core::{
    chunk::ChunkId,
    disk::table::TableWrite,
    failure::FailureCause,
    manifest::{Manifest, ManifestRoot, RegionKind},
    messages::Phase,
    units::Extent,
};

use self::sink::ImageSink;
use crate::{
    Ending,
    board::Board,
    boot_table::{BootTable, inside, overlap, wrong_length},
    deploy::open_manifest,
    fetch::fetch,
    halt::Halt,
    link::{Link, Patience, SessionServer},
    pipeline::{self, Width},
    slots::batches,
};

/// How long a stretch of zeros is handed over at once: a stop is to be heeded in between.
const ZEROS_BYTES: u64 = 1 << 30;

/// What is to be read out.
#[derive(Debug, Clone, Copy)]
pub struct ImageOrder {
    pub manifest_root: ManifestRoot,
    pub manifest_key: [u8; 32],
    pub part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Disk,
    /// By its number in the table.
    Partition(u32),
}

/// Reads a version out into `sink`. Every chunk is proved by its hash on the way; the first that is not what its name
/// says ends it. What the sink has taken by then is a beginning.
pub fn export(
    order: &ImageOrder,
    server: &dyn SessionServer,
    board: &Board,
    patience: Patience,
    sink: &mut dyn ImageSink,
) -> Ending {
    let link = Link { server, board, patience };
    crate::ending(run(order, &link, sink), board)
}

fn run(order: &ImageOrder, link: &Link<'_>, sink: &mut dyn ImageSink) -> Result<(), Halt> {
    link.board.begin(Phase::Prepare, 0);
    let manifest = open_manifest(order.manifest_root, &order.manifest_key, link)?;
    let image = Image::prepare(&manifest, order.part, link)?;
    let length_bytes = image.place.length_bytes;
    let mut output = Output { link, place: image.place, at: image.place.start_bytes, sink };
    output.sink.begin(length_bytes, &image.content()).map_err(|error| output.failed(&error))?;

    let total_bytes = image.chunks().map(|(place, _)| place.length_bytes).sum();
    link.board.begin(Phase::Write, total_bytes);
    let jobs = batches(image.chunks(), manifest.chunk_size)
        .map(|batch| if link.board.is_stopped() { Err(Halt::Stopped) } else { Ok(batch) });
    pipeline::run(
        Width::of_this_computer(),
        jobs,
        |batch: Vec<(Extent, ChunkId)>| {
            let mut ids: Vec<ChunkId> = batch.iter().map(|&(_, id)| id).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok((fetch(link, &ids)?, batch))
        },
        |(plain, batch)| image.put_batch(&plain, &batch, &mut output),
    )?;
    image.put_gap(image.place.end_bytes(), &mut output)?;
    link.board.begin(Phase::Finish, 0);
    output.sink.finish().map_err(|error| output.failed(&error).into())
}

/// A part of a master's disk, and what of it comes from the partition table instead of from chunks.
struct Image<'a> {
    manifest: &'a Manifest,
    /// Where on the disk it lies.
    place: Extent,
    /// In the order in which they are written to a disk: a later one covers an earlier one.
    table: Vec<TableWrite>,
}

impl<'a> Image<'a> {
    fn prepare(manifest: &'a Manifest, part: Part, link: &Link<'_>) -> Result<Self, Halt> {
        let disk_bytes = manifest.disk.size_bytes;
        match part {
            Part::Disk => {
                let table = BootTable::prepare(manifest, link, disk_bytes)?.into_writes();
                Ok(Self { manifest, place: Extent { start_bytes: 0, length_bytes: disk_bytes }, table })
            }
            Part::Partition(number) => {
                let wanted = RegionKind::Partition(number);
                let region = manifest.regions.iter().find(|region| region.kind == wanted);
                let none =
                    || FailureCause::ManifestRefused { detail: format!("it has no partition {number}") };
                Ok(Self { manifest, place: region.ok_or_else(none)?.place, table: Vec::new() })
            }
        }
    }

    /// What comes from chunks, in the order of the disk. A region lies in the image or outside, never across its edge.
    fn chunks(&self) -> impl Iterator<Item = (Extent, ChunkId)> + Send + '_ {
        let place = self.place;
        self.manifest.data_chunks().filter(move |(chunk, _)| overlap(*chunk, place).is_some())
    }

    /// Where something else than zeros may stand, counted from the start of the image: sorted and disjoint.
    fn content(&self) -> Vec<Extent> {
        let mut places: Vec<Extent> = self.chunks().map(|(place, _)| place).collect();
        places.extend(self.table_places());
        let mut content = united(places);
        content.iter_mut().for_each(|extent| extent.start_bytes -= self.place.start_bytes);
        content
    }

    fn table_places(&self) -> Vec<Extent> {
        united(self.table.iter().map(place_of).collect())
    }

    fn put_batch(
        &self,
        plain: &HashMap<ChunkId, Vec<u8>>,
        batch: &[(Extent, ChunkId)],
        output: &mut Output<'_>,
    ) -> Result<(), Halt> {
        for &(place, id) in batch {
            self.put_gap(place.start_bytes, output)?;
            let bytes = plain.get(&id).filter(|bytes| bytes.len() as u64 == place.length_bytes);
            let bytes = bytes.ok_or_else(|| wrong_length(id, place))?;
            if self.table.iter().any(|write| overlap(place_of(write), place).is_some()) {
                let mut bytes = bytes.clone();
                self.lay_table_over(place, &mut bytes);
                output.put(&bytes)?;
            } else {
                output.put(bytes)?;
            }
            output.link.board.update(|progress| progress.done_bytes += place.length_bytes);
        }
        Ok(())
    }

    /// Everything up to `end_bytes` on the disk, of which no chunk has anything.
    fn put_gap(&self, end_bytes: u64, output: &mut Output<'_>) -> Result<(), Halt> {
        let gap = Extent::between(output.at, end_bytes).filter(|gap| gap.length_bytes > 0);
        let Some(gap) = gap else { return Ok(()) };
        for place in self.table_places().into_iter().filter_map(|place| overlap(place, gap)) {
            output.put_zeros(place.start_bytes)?;
            let mut bytes = vec![0; place.length_bytes as usize];
            self.lay_table_over(place, &mut bytes);
            output.put(&bytes)?;
        }
        output.put_zeros(end_bytes)
    }

    /// Replaces what the partition table has its own bytes for.
    fn lay_table_over(&self, place: Extent, bytes: &mut [u8]) {
        for write in &self.table {
            let written = place_of(write);
            if let Some(both) = overlap(written, place) {
                bytes[inside(both, place.start_bytes)]
                    .copy_from_slice(&write.bytes[inside(both, written.start_bytes)]);
            }
        }
    }
}

/// The sink, and how far it is filled.
struct Output<'a> {
    link: &'a Link<'a>,
    /// The image's place on the disk.
    place: Extent,
    /// What was handed over ends here, on the disk.
    at: u64,
    sink: &'a mut dyn ImageSink,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.sink.bytes(bytes).map_err(|error| self.failed(&error))?;
        self.at += bytes.len() as u64;
        self.link.board.update(|progress| progress.written_bytes += bytes.len() as u64);
        Ok(())
    }

    /// Zeros up to a place on the disk.
    fn put_zeros(&mut self, end_bytes: u64) -> Result<(), Halt> {
        while self.at < end_bytes {
            if self.link.board.is_stopped() {
                return Err(Halt::Stopped);
            }
            let length_bytes = (end_bytes - self.at).min(ZEROS_BYTES);
            self.sink.zeros(length_bytes).map_err(|error| self.failed(&error))?;
            self.at += length_bytes;
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> FailureCause {
        let offset_bytes = self.at - self.place.start_bytes;
        FailureCause::WriteFailed { offset_bytes, detail: error.to_string() }
    }
}

fn place_of(write: &TableWrite) -> Extent {
    Extent { start_bytes: write.offset_bytes, length_bytes: write.bytes.len() as u64 }
}

/// The same bytes in the fewest extents, sorted.
fn united(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_unstable_by_key(|extent| extent.start_bytes);
    let mut united: Vec<Extent> = Vec::new();
    for extent in extents {
        match united.last_mut() {
            Some(last) if extent.start_bytes <= last.end_bytes() => {
                last.length_bytes = last.end_bytes().max(extent.end_bytes()) - last.start_bytes;
            }
            _ => united.push(extent),
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use mimeo_core::units::Extent;

    use super::united;

    #[test]
    fn extents_that_touch_become_one() {
        let extents = [(40, 8), (0, 10), (10, 5), (12, 1), (20, 4)];
        let extents = extents.map(|(start_bytes, length_bytes)| Extent { start_bytes, length_bytes });
        let found: Vec<_> =
            united(extents.to_vec()).iter().map(|one| (one.start_bytes, one.length_bytes)).collect();
        assert_eq!(found, [(0, 15), (20, 4), (40, 8)]);
    }
}
