//! The write phase of a deploy: fetch what the target lacks and place it, in the order of the disk.

use std::collections::HashSet;

use mimeo_core::{
    chunk::ChunkId,
    disk::ReadAt,
    manifest::{ChunkContent, Manifest},
    units::Extent,
};

use crate::{
    boot_table::{self, wrong_length},
    deploy::{Deploy, carried},
    disk::{
        buffer::AlignedBuffer,
        exclusive::{ExclusiveDisk, SourceDisk},
    },
    fetch::fetch,
    halt::Halt,
    link::Link,
    pipeline,
    slots::{Slots, batches, spans},
};

/// What is known of the target's old content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// It holds some of this master already: what is in place is compared and left.
    Seeded,
    /// It was discarded. Many disks give zeros then, so each is asked before zeros are written.
    Discarded,
    /// It holds something else, and cannot be told to forget it.
    Foreign,
}

/// How many chunks are compared to find out whether the target holds some of the master: from the start, where
/// an interrupted deploy has been, and spread over the whole, where an earlier version agrees.
const SAMPLES_AT_START: usize = 16;
const SAMPLES_SPREAD: usize = 48;

/// How much is discarded at once: a disk may take a second for it, and a stop is to be heeded in between.
const DISCARD_BYTES: u64 = 64 << 30;

/// Finds out what the target holds. A disk that holds nothing of the master is discarded, where it can be:
/// a solid-state disk writes faster when it knows that nothing has to be kept.
pub(crate) fn survey(manifest: &Manifest, link: &Link<'_>, disk: &mut ExclusiveDisk) -> Result<Ground, Halt> {
    let samples = samples(manifest);
    let reader = disk.reader();
    for &(place, id) in &samples {
        let mut bytes = AlignedBuffer::zeroed(place.length_bytes as usize);
        // A disk that cannot read here may still be written: the sector is replaced by then.
        if reader.read_exact_at(&mut bytes, place.start_bytes).is_ok() && ChunkId::of(&bytes) == id {
            tracing::info!(place = %place, "the target holds some of the master already");
            return Ok(Ground::Seeded);
        }
    }
    let discarded = discard(link, disk)?;
    tracing::info!(samples = samples.len(), discarded, "the target holds nothing of the master");
    Ok(if discarded { Ground::Discarded } else { Ground::Foreign })
}

/// Discards the disk but for its ends, whose zeros take the place of a partition table: some disks give the old bytes
/// back after a discard. True where the disk took all of it.
fn discard(link: &Link<'_>, disk: &mut ExclusiveDisk) -> Result<bool, Halt> {
    let [head, tail] = boot_table::ends(disk.size_bytes());
    let mut from = head.end_bytes();
    while from < tail.start_bytes {
        if link.board.is_stopped() {
            return Err(Halt::Stopped);
        }
        let length_bytes = DISCARD_BYTES.min(tail.start_bytes - from);
        if !disk.discard(Extent { start_bytes: from, length_bytes }) {
            return Ok(false);
        }
        from += length_bytes;
    }
    Ok(true)
}

fn samples(manifest: &Manifest) -> Vec<(Extent, ChunkId)> {
    let count = manifest.data_chunks().count();
    let step = (count / SAMPLES_SPREAD).max(1);
    let chunks = manifest.data_chunks().enumerate();
    chunks
        .filter(|(index, _)| *index < SAMPLES_AT_START || index % step == 0)
        .map(|(_, chunk)| chunk)
        .collect()
}

/// Chunks of a batch, with what the target holds in their places as far as it was read.
struct Looked {
    chunks: Vec<(Extent, ChunkContent)>,
    slots: Slots,
    /// Which slots hold the target's bytes. The others are zero.
    read: Vec<bool>,
}

/// Chunks of a batch as they are to be written.
struct Ready {
    places: Vec<Extent>,
    slots: Slots,
    /// Which of them differ from what the target holds.
    differs: Vec<bool>,
}

/// Writes every chunk that the target does not hold yet, and returns once all of it is durable.
pub(crate) fn write(job: &Deploy<'_>, disk: &mut ExclusiveDisk, ground: Ground) -> Result<(), Halt> {
    let reader = disk.reader();
    let chunk_size = job.manifest.chunk_size;
    let looked = batches(carried(job.manifest), chunk_size).map(|batch| look(job, &reader, ground, batch));
    pipeline::run(
        job.width,
        looked,
        |looked| complete(job, looked),
        |ready: Ready| {
            for span in spans(&ready.places, chunk_size, |index| ready.differs[index]) {
                disk.write_all_at(ready.slots.span(&span), span.place.start_bytes)?;
                job.link.board.update(|progress| progress.written_bytes += span.place.length_bytes);
            }
            let done_bytes: u64 = ready.places.iter().map(|place| place.length_bytes).sum();
            job.link.board.update(|progress| progress.done_bytes += done_bytes);
            Ok(())
        },
    )?;
    disk.sync()?;
    Ok(())
}

/// Reads what the target holds in the places of a batch, where that can save a write.
fn look(
    job: &Deploy<'_>,
    reader: &SourceDisk,
    ground: Ground,
    chunks: Vec<(Extent, ChunkContent)>,
) -> Result<Looked, Halt> {
    if job.link.board.is_stopped() {
        return Err(Halt::Stopped);
    }
    let chunk_size = job.manifest.chunk_size;
    let mut slots = Slots::zeroed(chunks.len(), chunk_size);
    let worth_reading = |content| match ground {
        Ground::Seeded => true,
        Ground::Discarded => content == ChunkContent::Zero,
        Ground::Foreign => false,
    };
    let mut read: Vec<bool> = chunks.iter().map(|&(_, content)| worth_reading(content)).collect();
    let places: Vec<Extent> = chunks.iter().map(|&(place, _)| place).collect();
    for span in spans(&places, chunk_size, |index| read[index]) {
        match slots.read(reader, &span, span.place) {
            Ok(()) => job.link.board.update(|progress| progress.read_bytes += span.place.length_bytes),
            // A sector that cannot be read is mended by writing it; if not, the verification says so.
            Err(error) => {
                tracing::warn!(?error, "the target cannot be read here, writing it");
                read[span.slots].fill(false);
            }
        }
    }
    Ok(Looked { chunks, slots, read })
}

/// Fetches what differs, so that every slot that is to be written holds its final bytes.
fn complete(job: &Deploy<'_>, Looked { chunks, mut slots, read }: Looked) -> Result<Ready, Halt> {
    let mut differs = Vec::with_capacity(chunks.len());
    let mut wanted = HashSet::new();
    for (index, &(place, content)) in chunks.iter().enumerate() {
        let in_place = read[index] && !job.table.touches(place) && holds(slots.chunk(index, place), content);
        differs.push(!in_place);
        wanted.extend(content.id().filter(|_| !in_place));
    }
    let wanted: Vec<ChunkId> = wanted.into_iter().collect();
    let plain = fetch(job.link, &wanted)?;
    for (index, &(place, content)) in chunks.iter().enumerate().filter(|(index, _)| differs[*index]) {
        let slot = slots.chunk_mut(index, place);
        match content.id() {
            Some(id) => {
                let bytes = plain.get(&id).filter(|bytes| bytes.len() == slot.len());
                slot.copy_from_slice(bytes.ok_or_else(|| wrong_length(id, place))?);
            }
            None => slot.fill(0),
        }
        job.table.withhold(place, slot);
    }
    Ok(Ready { places: chunks.into_iter().map(|(place, _)| place).collect(), slots, differs })
}

/// Whether bytes are what a chunk is to hold.
pub(crate) fn holds(bytes: &[u8], content: ChunkContent) -> bool {
    match content {
        ChunkContent::Data(id) => ChunkId::of(bytes) == id,
        ChunkContent::Zero => bytes.iter().all(|&byte| byte == 0),
        ChunkContent::DontCare => true,
    }
}
