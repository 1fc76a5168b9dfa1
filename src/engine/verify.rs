//! The verify phase of a deploy: every chunk is read back from the disk and compared with its name.

use mimeo_core::{chunk::ChunkId, failure::FailureCause, manifest::ChunkContent, units::Extent};

use crate::{
    deploy::{Deploy, carried},
    disk::exclusive::{ExclusiveDisk, SourceDisk},
    halt::Halt,
    pipeline,
    slots::{Slots, batches, spans},
    write::holds,
};

/// Reads everything that was carried, after a sync and so from the disk itself.
pub(crate) fn verify(job: &Deploy<'_>, disk: &ExclusiveDisk) -> Result<(), Halt> {
    let reader = disk.reader();
    let batches = batches(carried(job.manifest), job.manifest.chunk_size);
    let jobs = batches.map(|batch| read_back(job, &reader, batch));
    pipeline::run(
        job.width,
        jobs,
        |batch| compare(job, batch),
        |bytes: u64| {
            job.link.board.update(|progress| progress.done_bytes += bytes);
            Ok(())
        },
    )
}

type Batch<'p> = (Vec<(Extent, ChunkContent)>, Slots<'p>);

fn read_back<'p>(
    job: &'p Deploy<'_>,
    reader: &SourceDisk,
    chunks: Vec<(Extent, ChunkContent)>,
) -> Result<Batch<'p>, Halt> {
    if job.link.board.is_stopped() {
        return Err(Halt::Stopped);
    }
    let chunk_size = job.manifest.chunk_size;
    let mut slots = job.pool.slots();
    let places: Vec<Extent> = chunks.iter().map(|&(place, _)| place).collect();
    for span in spans(&places, chunk_size, |_| true) {
        slots.read(reader, &span, span.place)?;
        job.link.board.update(|progress| progress.read_bytes += span.place.length_bytes);
    }
    Ok((chunks, slots))
}

/// Compares a batch with its names and says how many bytes it has.
fn compare(job: &Deploy<'_>, (chunks, mut slots): Batch<'_>) -> Result<u64, Halt> {
    let mut bytes = 0;
    for (index, &(place, content)) in chunks.iter().enumerate() {
        let slot = slots.chunk_mut(index, place);
        let withheld = job.table.restore(place, slot);
        if !withheld || !holds(slot, content) {
            let chunk = content.id().unwrap_or_else(|| ChunkId::of(&vec![0; slot.len()]));
            return Err(FailureCause::VerifyMismatch { offset_bytes: place.start_bytes, chunk }.into());
        }
        bytes += place.length_bytes;
    }
    Ok(bytes)
}
