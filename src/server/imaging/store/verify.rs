//! Reading back: what the backend really holds, hashed.

use futures_util::{StreamExt, stream};
use mimeo_core::chunk::{self, ChunkId, SealedChunk};

use crate::clock::Timestamp;

use super::{
    Store,
    backend::ReadRangeError,
    error::{Damage, StoreError},
    index::Located,
    load,
    pace::Pace,
    pack::PackName,
    span::{self, Found, Span},
};

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    pub done_chunks: u64,
    pub total_chunks: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Chunks whose bytes are what their id says.
    pub proved_chunks: u64,
    /// Chunks that the store had and lost. It counts them as missing from now on, so the next capture brings
    /// them again.
    pub damaged: Vec<Damage>,
    /// Chunks that the store does not have.
    pub missing: Vec<ChunkId>,
}

/// What reading back one pack found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackVerification {
    /// Length of the records that were read.
    pub bytes: u64,
    pub proved_chunks: u64,
    pub damaged: Vec<Damage>,
}

/// How much is read back at once to be compared: enough for the disk, little beside the pack in memory.
const COMPARED_BYTES: u64 = 4 << 20;

impl Store {
    /// Whether the backend gives back what was just written to it. From a local folder the bytes come from the disk, not
    /// from the kernel's memory of what was written.
    pub(super) async fn reads_back_as(&self, object: &str, written: &[u8]) -> Result<bool, StoreError> {
        let backend = &self.shared.backend;
        backend.forget_cached(object).await?;
        let mut offset_bytes = 0;
        for part in written.chunks(COMPARED_BYTES as usize) {
            let end_bytes = offset_bytes + part.len() as u64;
            match backend.read_range(object, offset_bytes..end_bytes).await {
                Ok(read) if read == part => offset_bytes = end_bytes,
                Ok(_) | Err(ReadRangeError::Lost(_)) => return Ok(false),
                Err(ReadRangeError::Failed(error)) => return Err(error),
            }
        }
        Ok(backend.length(object).await? == Some(offset_bytes))
    }

    /// Those of `ids`, each once, that were not read back and hashed by this process, nor not long ago by one before it.
    pub fn unproved(&self, ids: &[ChunkId], now: Timestamp) -> Vec<ChunkId> {
        let index = self.index();
        let mut seen = std::collections::HashSet::new();
        ids.iter().copied().filter(|&id| !index.is_proved(id, now) && seen.insert(id)).collect()
    }

    /// Reads chunks back and hashes them. From a local folder the bytes come from the disk, not from the kernel's
    /// memory of what was written.
    ///
    /// The footers of their packs are read back as well, and a chunk counts as damaged where its pack's is lost.
    /// A chunk that is damaged in one pack and sound in another is sound. `progress` is called from time to time
    /// and once at the end. Dropping the future cancels; nothing is left behind but what was proved so far.
    pub async fn verify(
        &self,
        ids: &[ChunkId],
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    ) -> Result<Verification, StoreError> {
        let mut result = Verification::default();
        let mut wanted: Vec<ChunkId> = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let total_chunks = wanted.len() as u64;
        while !wanted.is_empty() {
            let spans = span::plan(self.locate_all(&wanted, &mut result)?);
            let (spans, mut again) = self.check_footers(spans).await?;
            let hashers = self.shared.options.hashers.get();
            let mut checked = stream::iter(spans).map(|span| self.open_span(span)).buffer_unordered(hashers);
            while let Some(span) = checked.next().await {
                for (located, check) in span? {
                    match check {
                        Ok(_) => {
                            self.index_mut().mark_proved(&located);
                            result.proved_chunks += 1;
                        }
                        // Looked up again: in another place, or as damaged.
                        Err(detail) => {
                            self.note_damage(&located, detail);
                            again.push(located.id);
                        }
                    }
                }
                progress(VerifyProgress { done_chunks: result.done_chunks(), total_chunks });
            }
            wanted = again;
        }
        progress(VerifyProgress { done_chunks: result.done_chunks(), total_chunks });
        Ok(result)
    }

    /// Every pack that can be read, by name: what [`Store::verify_pack`] is to be called with to see everything.
    pub fn pack_names(&self) -> Vec<PackName> {
        self.index().pack_names()
    }

    /// Reads a whole pack back from the disk, hashes its chunks, and says which are damaged. One that lies soundly in
    /// another pack too is not lost by that. A pack that is gone meanwhile has nothing to be damaged.
    ///
    /// Dropping the future cancels; nothing is left behind but what was proved so far.
    pub async fn verify_pack(&self, name: PackName, pace: Pace) -> Result<PackVerification, StoreError> {
        let mut result = PackVerification::default();
        let number = self.index().number_of(name);
        self.shared.backend.forget_cached(&name.object()).await?;
        let entries = match load::load_entries(&self.shared.backend, name).await? {
            Ok(entries) => entries,
            Err(error) => {
                // A pack that was removed meanwhile and brought again is another, and nothing was seen of it.
                let lost = {
                    let index = self.index();
                    if index.number_of(name) == number { index.find_places_in(name) } else { Vec::new() }
                };
                let note = |located: &Located| self.note_damage(located, error.to_string());
                result.damaged = lost.iter().filter_map(note).collect();
                return Ok(result);
            }
        };
        let places = self.index().places_in(name, &entries);
        for span in span::plan(places) {
            let bytes = span.record_bytes();
            for (located, check) in self.open_span(span).await? {
                match check {
                    Ok(_) => {
                        self.index_mut().mark_proved(&located);
                        result.proved_chunks += 1;
                    }
                    Err(detail) => result.damaged.extend(self.note_damage(&located, detail)),
                }
            }
            result.bytes += bytes;
            pace.rest(bytes).await;
        }
        Ok(result)
    }

    /// The places of chunks; those that have none go into `result`.
    fn locate_all(&self, ids: &[ChunkId], result: &mut Verification) -> Result<Vec<Located>, StoreError> {
        let index = self.index();
        let mut located = Vec::with_capacity(ids.len());
        for &id in ids {
            match index.locate(id) {
                Ok(place) => located.push(place),
                Err(StoreError::Damaged(damage)) => result.damaged.push(damage),
                Err(StoreError::Missing { chunk, .. }) => result.missing.push(chunk),
                Err(error) => return Err(error),
            }
        }
        Ok(located)
    }

    /// Keeps the spans of packs whose footer is sound too: without it, the next start would not find the chunks.
    /// Gives also the chunks of the others, which are to be looked up again.
    async fn check_footers(&self, spans: Vec<Span>) -> Result<(Vec<Span>, Vec<ChunkId>), StoreError> {
        let (mut sound, mut again) = (Vec::with_capacity(spans.len()), Vec::new());
        // Spans are ordered by pack.
        for in_one_pack in spans.chunk_by(|one, next| one.pack == next.pack) {
            let pack = in_one_pack[0].pack;
            self.shared.backend.forget_cached(&pack.object()).await?;
            let Err(error) = load::check_pack(&self.shared.backend, pack).await? else {
                sound.extend_from_slice(in_one_pack);
                continue;
            };
            for located in in_one_pack.iter().flat_map(|span| &span.chunks) {
                self.note_damage(located, error.to_string());
                again.push(located.id);
            }
        }
        Ok((sound, again))
    }

    /// Reads a span and opens each of its chunks: what is found is what its id says.
    pub(super) async fn open_span(&self, span: Span) -> Result<Vec<Found>, StoreError> {
        let found = self.read_span(span).await?;
        let open = |sealed: SealedChunk| match chunk::prove(&sealed) {
            Ok(()) => Ok(sealed),
            Err(error) => Err(error.to_string()),
        };
        let check = move || found.into_iter().map(|(at, sealed)| (at, sealed.and_then(open))).collect();
        self.on_hasher(check).await
    }
}

impl Verification {
    fn done_chunks(&self) -> u64 {
        self.proved_chunks + (self.damaged.len() + self.missing.len()) as u64
    }
}
