//! The write phase of a deploy: fetch what the target lacks and place it, in the order of the disk.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use mimeo_core::{
    chunk::ChunkId,
    disk::ReadAt,
    machine::disk_facts::DiskFacts,
    manifest::{ChunkContent, Manifest},
    units::Extent,
};

use crate::{
    boot_table::{self, wrong_length},
    delta::{Approach, Delta, DiskCosts},
    deploy::{Deploy, carried},
    disk::{
        buffer::AlignedBuffer,
        exclusive::{ExclusiveDisk, SourceDisk},
    },
    fetch::fetch_into,
    halt::Halt,
    link::Link,
    pipeline,
    slots::{Slots, batches, spans},
};

/// What is known of the target's old content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ground {
    /// It holds some of this master already, `share` of what was looked at: what is in place is left, where finding that
    /// out pays.
    Seeded { share: f64 },
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

/// Finds out what the target holds, after its ends were zeroed. A disk that holds nothing of the master is discarded,
/// where it can be:
/// a solid-state disk writes faster when it knows that nothing has to be kept.
pub(crate) fn survey(manifest: &Manifest, link: &Link<'_>, disk: &mut ExclusiveDisk) -> Result<Ground, Halt> {
    let [head, tail] = boot_table::ends(disk.size_bytes());
    let samples = samples(manifest, head.end_bytes()..tail.start_bytes);
    let reader = disk.reader();
    let in_place = |&(place, id): &(Extent, ChunkId)| {
        let mut bytes = AlignedBuffer::zeroed(place.length_bytes as usize);
        // A disk that cannot read here may still be written: the sector is replaced by then.
        reader.read_exact_at(&mut bytes, place.start_bytes).is_ok() && ChunkId::of(&bytes) == id
    };
    let agree: Vec<bool> = samples.iter().map(in_place).collect();
    let share_of =
        |agree: &[bool]| agree.iter().filter(|&&agrees| agrees).count() as f64 / agree.len().max(1) as f64;
    let at_start = &agree[..agree.len().min(SAMPLES_AT_START)];
    let share = share_of(&agree).max(share_of(at_start));
    if share > 0.0 {
        tracing::info!(samples = samples.len(), share, "the target holds some of the master already");
        return Ok(Ground::Seeded { share });
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

/// Chunks of the master between the ends of the disk, which were zeroed.
fn samples(manifest: &Manifest, inside: Range<u64>) -> Vec<(Extent, ChunkId)> {
    let is_inside =
        |(place, _): &(Extent, ChunkId)| place.start_bytes >= inside.start && place.end_bytes() <= inside.end;
    let count = manifest.data_chunks().filter(is_inside).count();
    let step = (count / SAMPLES_SPREAD).max(1);
    let chunks = manifest.data_chunks().filter(is_inside).enumerate();
    chunks
        .filter(|(index, _)| *index < SAMPLES_AT_START || index % step == 0)
        .map(|(_, chunk)| chunk)
        .collect()
}

/// Chunks of a batch, with what the target holds in their places as far as it was read.
struct Looked<'p> {
    chunks: Vec<(Extent, ChunkContent)>,
    slots: Slots<'p>,
    /// Which slots hold the target's bytes. The others hold anything.
    read: Vec<bool>,
}

/// Chunks of a batch as they are to be written.
struct Ready<'p> {
    places: Vec<Extent>,
    slots: Slots<'p>,
    /// Which of them differ from what the target holds.
    differs: Vec<bool>,
}

/// How many chunks of a batch tell on the thread that reads whether the disk holds more of the master here: half a
/// millisecond of hashing.
const PROBED_CHUNKS: usize = 8;

/// The target, while it is written.
struct Target<'a> {
    job: &'a Deploy<'a>,
    reader: SourceDisk,
    ground: Ground,
    /// What is compared, where the target holds some of the master.
    delta: Option<Mutex<Delta>>,
}

/// Writes every chunk that the target does not hold yet, and returns once all of it is durable.
pub(crate) fn write(job: &Deploy<'_>, disk: &mut ExclusiveDisk, ground: Ground) -> Result<(), Halt> {
    let chunk_size = job.manifest.chunk_size;
    let delta = match ground {
        Ground::Seeded { share } => Some(Delta::new(costs_of(disk.facts()), share, job.width.workers)),
        Ground::Discarded | Ground::Foreign => None,
    };
    let target = Target { job, reader: disk.reader(), ground, delta: delta.map(Mutex::new) };
    let looked = batches(carried(job.manifest), chunk_size).map(|batch| target.look(batch));
    pipeline::run(
        job.width,
        looked,
        |looked| target.complete(looked),
        |ready: Ready<'_>| {
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

/// A virtual disk says that it rotates whatever it lies on: the flag is set unless a driver clears it, and virtio's does not
/// (Linux, drivers/block/virtio_blk.c).
fn costs_of(disk: &DiskFacts) -> DiskCosts {
    if disk.rotational && disk.transport.as_deref() != Some("virtio") {
        DiskCosts::ROTATIONAL
    } else {
        DiskCosts::SOLID_STATE
    }
}

impl Target<'_> {
    /// Reads what the target holds in the places of a batch, where that can save a write.
    fn look(&self, chunks: Vec<(Extent, ChunkContent)>) -> Result<Looked<'_>, Halt> {
        if self.job.link.board.is_stopped() {
            return Err(Halt::Stopped);
        }
        let approach = self.delta().map(|mut delta| delta.next());
        let chunk_size = self.job.manifest.chunk_size;
        let mut slots = self.job.pool.slots();
        let worth_reading = |content| match (self.ground, approach) {
            (_, Some(approach)) => approach != Approach::Write,
            (Ground::Discarded, None) => content == ChunkContent::Zero,
            (_, None) => false,
        };
        let mut read: Vec<bool> = chunks.iter().map(|&(_, content)| worth_reading(content)).collect();
        let places: Vec<Extent> = chunks.iter().map(|&(place, _)| place).collect();
        let board = self.job.link.board;
        for span in spans(&places, chunk_size, |index| read[index]) {
            match slots.read(&self.reader, &span, span.place) {
                Ok(()) => board.update(|progress| progress.read_bytes += span.place.length_bytes),
                // A sector that cannot be read is mended by writing it; if not, the verification says so.
                Err(error) => {
                    tracing::warn!(?error, "the target cannot be read here, writing it");
                    read[span.slots].fill(false);
                }
            }
        }
        let looked = Looked { chunks, slots, read };
        if approach == Some(Approach::Probe) {
            self.probe(&looked);
        }
        Ok(looked)
    }

    /// Tells what a few chunks of a batch say, before the next batch is made.
    fn probe(&self, looked: &Looked<'_>) {
        let chunks = looked.chunks.iter().enumerate();
        let data = chunks.filter(|(_, (_, content))| content.id().is_some()).collect::<Vec<_>>();
        let step = data.len().div_ceil(PROBED_CHUNKS).max(1);
        let probed: Vec<bool> =
            data.into_iter().step_by(step).map(|(index, _)| self.is_in_place(looked, index)).collect();
        let in_place = probed.iter().filter(|&&in_place| in_place).count();
        tracing::debug!(in_place, of = probed.len(), "a look at what the target holds further on");
        if let Some(mut delta) = self.delta() {
            delta.probed(in_place, probed.len());
        }
    }

    fn is_in_place(&self, looked: &Looked<'_>, index: usize) -> bool {
        let (place, content) = looked.chunks[index];
        looked.read[index]
            && !self.job.table.touches(place)
            && holds(looked.slots.chunk(index, place), content)
    }

    /// Fetches what differs, so that every slot that is to be written holds its final bytes.
    fn complete<'p>(&self, mut looked: Looked<'p>) -> Result<Ready<'p>, Halt> {
        let differs: Vec<bool> =
            (0..looked.chunks.len()).map(|index| !self.is_in_place(&looked, index)).collect();
        self.note_compared(&looked, &differs);
        self.fetch(&mut looked, &differs)?;
        for (index, &(place, content)) in looked.chunks.iter().enumerate() {
            if differs[index] {
                let slot = looked.slots.chunk_mut(index, place);
                if content.id().is_none() {
                    slot.fill(0);
                }
                self.job.table.withhold(place, slot);
            }
        }
        let places = looked.chunks.into_iter().map(|(place, _)| place).collect();
        Ok(Ready { places, slots: looked.slots, differs })
    }

    /// Has the content of all that differs in its slots. What a batch holds several times is fetched once.
    fn fetch(&self, looked: &mut Looked<'_>, differs: &[bool]) -> Result<(), Halt> {
        let Looked { chunks, slots, .. } = looked;
        let mut places = HashMap::new();
        let (mut firsts, mut repeated) = (HashMap::new(), Vec::new());
        for (index, (slot, &(place, content))) in slots.each_mut().zip(chunks.iter()).enumerate() {
            let Some(id) = content.id().filter(|_| differs[index]) else { continue };
            match firsts.entry(id) {
                Entry::Vacant(first) => {
                    first.insert((index, place));
                    places.insert(id, &mut slot[..place.length_bytes as usize]);
                }
                Entry::Occupied(first) => repeated.push((*first.get(), index, id)),
            }
        }
        let began = Instant::now();
        let unfit = fetch_into(self.job.link, &mut places)?;
        if let Some((id, &(_, place))) = unfit.and_then(|id| Some((id, firsts.get(&id)?))) {
            return Err(wrong_length(id, place).into());
        }
        if let Some(mut delta) = self.delta() {
            delta.fetched(firsts.values().map(|(_, place)| place.length_bytes).sum(), began.elapsed());
        }
        for ((first, place), index, id) in repeated {
            if chunks[index].0.length_bytes != place.length_bytes {
                return Err(wrong_length(id, chunks[index].0).into());
            }
            slots.copy(first, index, place);
        }
        Ok(())
    }

    /// Counts what was compared and what of it is in place, where the target was seeded: zeros on a disk that was discarded
    /// are nothing that it kept.
    fn note_compared(&self, looked: &Looked<'_>, differs: &[bool]) {
        let Some(mut delta) = self.delta() else { return };
        let (mut compared_bytes, mut kept_bytes) = (0, 0);
        for ((&(place, _), &read), &differs) in looked.chunks.iter().zip(&looked.read).zip(differs) {
            compared_bytes += if read { place.length_bytes } else { 0 };
            kept_bytes += if differs { 0 } else { place.length_bytes };
        }
        delta.compared(kept_bytes, compared_bytes);
        self.job.link.board.update(|progress| {
            progress.compared_bytes += compared_bytes;
            progress.kept_bytes += kept_bytes;
        });
    }

    /// Estimates are whole after every change, so a thread that died holding the lock spoiled nothing.
    fn delta(&self) -> Option<MutexGuard<'_, Delta>> {
        Some(self.delta.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether bytes are what a chunk is to hold.
pub(crate) fn holds(bytes: &[u8], content: ChunkContent) -> bool {
    match content {
        ChunkContent::Data(id) => ChunkId::of(bytes) == id,
        ChunkContent::Zero => bytes.iter().all(|&byte| byte == 0),
        ChunkContent::DontCare => true,
    }
}
