//! Memory for a batch of chunks: one slot for each, next to each other, so that chunks that are neighbours on the
//! disk are read and written in one request.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mimeo_core::{
    chunk::ChunkSize, disk::ReadAt, failure::FailureCause, messages::CHUNK_LIST_MAX, units::Extent,
};

use crate::disk::buffer::AlignedBuffer;

/// Most content that one batch holds: large enough that neither a disk nor a line notices the pauses between two
/// batches, small enough that a window of them fits a computer with 1 GB of memory.
const BATCH_BYTES: u64 = 8 << 20;

/// How many chunks make a batch: what one request may name, and no more than [`BATCH_BYTES`].
pub(crate) fn chunks_per_batch(chunk_size: ChunkSize) -> usize {
    usize::try_from(BATCH_BYTES / chunk_size.bytes()).map_or(CHUNK_LIST_MAX, |fit| fit.min(CHUNK_LIST_MAX))
}

/// Cuts a sequence of chunks into batches.
pub(crate) fn batches<T>(
    mut chunks: impl Iterator<Item = T>,
    chunk_size: ChunkSize,
) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let batch: Vec<T> = chunks.by_ref().take(chunks_per_batch(chunk_size)).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// The memory of all batches of one pipeline, which goes round: memory that is new for each batch is mapped, cleared by the
/// kernel and given back 2,048 pages at a time.
pub(crate) struct Pool {
    chunk_size: ChunkSize,
    /// Of batches that are done with. As many are ever made as are in the pipeline at once.
    free: Mutex<Vec<AlignedBuffer>>,
}

impl Pool {
    pub(crate) fn new(chunk_size: ChunkSize) -> Self {
        Self { chunk_size, free: Mutex::default() }
    }

    /// The slots of a batch.
    pub(crate) fn slots(&self) -> Slots<'_> {
        let slot_bytes = self.chunk_size.bytes_u32() as usize;
        let used = self.free().pop();
        let buffer =
            used.unwrap_or_else(|| AlignedBuffer::zeroed(chunks_per_batch(self.chunk_size) * slot_bytes));
        Slots { buffer, slot_bytes, pool: self }
    }

    /// A thread that died holding the lock left a whole list.
    fn free(&self) -> MutexGuard<'_, Vec<AlignedBuffer>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a batch of chunks. What was not read or filled in is anything: what another batch left.
pub(crate) struct Slots<'p> {
    buffer: AlignedBuffer,
    slot_bytes: usize,
    pool: &'p Pool,
}

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::replace(&mut self.buffer, AlignedBuffer::zeroed(0));
        self.pool.free().push(buffer);
    }
}

impl Slots<'_> {
    /// The bytes of chunk `index`, whose place is `place`.
    pub(crate) fn chunk(&self, index: usize, place: Extent) -> &[u8] {
        &self.buffer[self.range(index, place)]
    }

    pub(crate) fn chunk_mut(&mut self, index: usize, place: Extent) -> &mut [u8] {
        let range = self.range(index, place);
        &mut self.buffer[range]
    }

    /// All slots, in order, each to be written on its own. They are as long as the longest chunk.
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.buffer.chunks_mut(self.slot_bytes)
    }

    /// Copies what chunk `from` has, whose place is `place`, to a chunk that is as long.
    pub(crate) fn copy(&mut self, from: usize, to: usize, place: Extent) {
        let from = self.range(from, place);
        self.buffer.copy_within(from, to * self.slot_bytes);
    }

    /// The bytes of a span as [`spans`] gives it.
    pub(crate) fn span(&self, span: &Span) -> &[u8] {
        &self.buffer[self.range(span.slots.start, span.place)]
    }

    /// Reads part of a span: `place` lies inside it.
    pub(crate) fn read(
        &mut self,
        disk: &impl ReadAt,
        span: &Span,
        place: Extent,
    ) -> Result<(), FailureCause> {
        let bytes = self.part_mut(span, place);
        disk.read_exact_at(bytes, place.start_bytes).map_err(|error| FailureCause::ReadFailed {
            offset_bytes: place.start_bytes,
            detail: error.to_string(),
        })
    }

    /// The bytes of part of a span: `place` lies inside it.
    pub(crate) fn part_mut(&mut self, span: &Span, place: Extent) -> &mut [u8] {
        let start =
            span.slots.start * self.slot_bytes + (place.start_bytes - span.place.start_bytes) as usize;
        &mut self.buffer[start..start + place.length_bytes as usize]
    }

    fn range(&self, index: usize, place: Extent) -> Range<usize> {
        let start = index * self.slot_bytes;
        start..start + place.length_bytes as usize
    }
}

/// Neighbouring chunks of a batch, contiguous on the disk and in their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) slots: Range<usize>,
    pub(crate) place: Extent,
}

/// The spans of those chunks of a batch that `wanted` picks; `places` are in the order of the disk.
pub(crate) fn spans(places: &[Extent], chunk_size: ChunkSize, wanted: impl Fn(usize) -> bool) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (index, &place) in places.iter().enumerate().filter(|(index, _)| wanted(*index)) {
        match spans.last_mut() {
            // A chunk that is cut short by the end of its region leaves the rest of its slot empty, so nothing
            // can follow it in memory.
            Some(last)
                if last.slots.end == index
                    && last.place.end_bytes() == place.start_bytes
                    && last.place.length_bytes == last.slots.len() as u64 * chunk_size.bytes() =>
            {
                last.slots.end += 1;
                last.place.length_bytes += place.length_bytes;
            }
            _ => spans.push(Span { slots: index..index + 1, place }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use mimeo_core::{chunk::ChunkSize, units::Extent};
    use proptest::prelude::{any, prop, proptest};

    use super::{Pool, Span, batches, chunks_per_batch, spans};

    const SIZE: ChunkSize = ChunkSize::DEFAULT;

    fn extent(start_bytes: u64, length_bytes: u64) -> Extent {
        Extent { start_bytes, length_bytes }
    }

    #[test]
    fn a_batch_keeps_both_limits() {
        for (bytes, count) in [(64 << 10, 64), (128 << 10, 64), (256 << 10, 32), (1 << 20, 8)] {
            assert_eq!(chunks_per_batch(ChunkSize::new(bytes).unwrap()), count, "{bytes}");
        }
        let sizes: Vec<_> = batches(0..130, SIZE).map(|batch| batch.len()).collect();
        assert_eq!(sizes, [64, 64, 2]);
    }

    #[test]
    fn a_short_chunk_ends_its_span_even_when_the_next_follows_on_the_disk() {
        let full = SIZE.bytes();
        let places = [extent(0, full), extent(full, 512), extent(full + 512, full), extent(9 * full, full)];
        assert_eq!(
            spans(&places, SIZE, |_| true),
            [
                Span { slots: 0..2, place: extent(0, full + 512) },
                Span { slots: 2..3, place: extent(full + 512, full) },
                Span { slots: 3..4, place: extent(9 * full, full) },
            ]
        );
    }

    proptest! {
        #[test]
        fn spans_read_every_wanted_chunk_into_its_own_slot(
            chunks in prop::collection::vec((0..3u64, any::<bool>(), any::<bool>()), 1..20),
        ) {
            // Small chunks on a small disk whose every 512 bytes hold their own number.
            let size = ChunkSize::new(64 << 10).unwrap();
            let mut at = 0;
            let mut places = vec![];
            for &(gap, short, _) in &chunks {
                at += gap * 512;
                let length = if short { 512 } else { size.bytes() };
                places.push(extent(at, length));
                at += length;
            }
            let disk: Vec<u8> = (0..at / 512).flat_map(|sector| [(sector % 251) as u8 + 1; 512]).collect();
            let wanted = |index: usize| chunks[index].2;
            let pool = Pool::new(size);
            // What an earlier batch left is nowhere taken for read.
            pool.slots().each_mut().for_each(|slot| slot.fill(255));
            let mut slots = pool.slots();
            for span in spans(&places, size, wanted) {
                slots.read(&disk.as_slice(), &span, span.place).unwrap();
                assert_eq!(slots.span(&span), &disk[span.place.start_bytes as usize..span.place.end_bytes() as usize]);
            }
            for (index, &place) in places.iter().enumerate() {
                let range = place.start_bytes as usize..place.end_bytes() as usize;
                if wanted(index) {
                    assert_eq!(slots.chunk(index, place), &disk[range]);
                } else {
                    assert!(slots.chunk(index, place).iter().all(|&byte| byte == 255));
                }
            }
        }
    }
}
