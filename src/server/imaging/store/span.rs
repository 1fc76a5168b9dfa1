//! Which reads fetch a set of chunks: neighbours in a pack are read together.

use std::ops::Range;

use bytes::Bytes;
use mimeo_core::{
    chunk::SealedChunk,
    messages::records::{self, RecordHeader},
};

use super::{
    Store,
    backend::ReadRangeError,
    error::StoreError,
    index::{Located, Place},
    pack::PackName,
};

/// Longest single read. Beyond a few MiB a larger one is no faster on any disk, and it has to be held in memory.
const SPAN_BYTES_MAX: u64 = 4 << 20;

/// A gap up to this long between two wanted chunks is read along: on a rotating disk, skipping it costs as much
/// as reading it.
const GAP_BYTES_MAX: u64 = 128 << 10;

/// Chunks that lie close together in one pack, in the order in which they lie there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) pack: PackName,
    pub(super) chunks: Vec<Located>,
}

/// One chunk as it was found: sealed as it lies there, or why it is lost.
pub(super) type Found = (Located, Result<SealedChunk, String>);

impl Span {
    /// The length of its chunks' records, without what lies between them.
    pub(super) fn record_bytes(&self) -> u64 {
        self.chunks.iter().map(|located| end_of(&located.place) - start_of(&located.place)).sum()
    }

    fn range(&self) -> Range<u64> {
        let start = self.chunks.first().map_or(0, |first| start_of(&first.place));
        let end = self.chunks.last().map_or(start, |last| end_of(&last.place));
        start..end
    }
}

/// Puts chunks into as few reads as their places allow.
pub(super) fn plan(mut wanted: Vec<Located>) -> Vec<Span> {
    wanted.sort_unstable_by_key(|located| (located.pack.0, located.place.offset));
    wanted.dedup();
    let mut spans: Vec<Span> = Vec::new();
    for located in wanted {
        match spans.last_mut() {
            Some(span) if is_near(span, &located) => span.chunks.push(located),
            _ => spans.push(Span { pack: located.pack, chunks: vec![located] }),
        }
    }
    spans
}

fn is_near(span: &Span, located: &Located) -> bool {
    let Range { start, end } = span.range();
    span.pack == located.pack
        && start_of(&located.place) <= end.saturating_add(GAP_BYTES_MAX)
        && end_of(&located.place) - start <= SPAN_BYTES_MAX
}

fn start_of(place: &Place) -> u64 {
    u64::from(place.offset)
}

fn end_of(place: &Place) -> u64 {
    start_of(place) + place.record_bytes()
}

impl Store {
    /// Reads the chunks of a span as they lie there. Their headers agree with the index; their content is not
    /// hashed.
    pub(super) async fn read_span(&self, span: Span) -> Result<Vec<Found>, StoreError> {
        let object = span.pack.object();
        let range = span.range();
        match self.shared.backend.read_range(&object, range.clone()).await {
            Ok(bytes) => Ok(cut(&span, range.start, &bytes)),
            Err(ReadRangeError::Failed(error)) => Err(error),
            Err(ReadRangeError::Lost(detail)) if span.chunks.len() == 1 => {
                Ok(span.chunks.into_iter().map(|located| (located, Err(detail.clone()))).collect())
            }
            // Some of them may still be there: a shortened pack has its beginning, a bad sector its neighbours.
            Err(ReadRangeError::Lost(_)) => {
                let mut found = Vec::with_capacity(span.chunks.len());
                for located in span.chunks {
                    let single = Span { pack: span.pack, chunks: vec![located] };
                    found.extend(Box::pin(self.read_span(single)).await?);
                }
                Ok(found)
            }
        }
    }
}

/// Cuts the bytes of a span into its chunks.
fn cut(span: &Span, start: u64, bytes: &Bytes) -> Vec<Found> {
    let cut_one = |located: &Located| {
        let Range { start: from, end: to } = start_of(&located.place) - start..end_of(&located.place) - start;
        // The span was read as long as its last chunk, and offsets in it are small.
        let mut record = bytes.get(from as usize..to as usize).unwrap_or_default();
        let (header, frame) = match records::take_first(&mut record) {
            Ok(Some(found)) => found,
            Ok(None) => return Err("the record is empty".to_string()),
            Err(error) => return Err(error.to_string()),
        };
        let RecordHeader { id, codec, plain_bytes, frame_bytes } = header;
        let Place { plain_bytes: plain_expected, frame_bytes: frame_expected, codec: codec_expected, .. } =
            located.place;
        if (id, plain_bytes, frame_bytes, codec)
            != (located.id, plain_expected, frame_expected, codec_expected)
        {
            return Err(format!(
                "its record is of chunk {id} with {frame_bytes} bytes ({codec:?}) for {plain_bytes}, the index says \
                 {frame_expected} ({codec_expected:?}) for {plain_expected}"
            ));
        }
        Ok(SealedChunk { id, codec, plain_bytes, frame: frame.to_vec() })
    };
    span.chunks.iter().map(|located| (*located, cut_one(located))).collect()
}
