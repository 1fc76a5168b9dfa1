//! Reading back: what the backend really holds, hashed.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use mimeo_core::chunk::{self, ChunkId, SealedChunk};

use crate::clock::Timestamp;

use super::{
    Store,
    error::{Damage, StoreError},
    index::Located,
    load,
    mend::Mended,
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
    /// Its footer was lost, and what it holds was written anew.
    pub rewritten: bool,
}

impl Store {
    /// Those of `ids`, each once, that were not read back and hashed by this process, nor not long ago by one before it.
    pub fn unproved(&self, ids: &[ChunkId], now: Timestamp) -> Vec<ChunkId> {
        let index = self.index();
        let mut seen = HashSet::new();
        ids.iter().copied().filter(|&id| !index.is_proved(id, now) && seen.insert(id)).collect()
    }

    /// Reads chunks back and hashes them. From a local folder the bytes come from the disk, not from the kernel's
    /// memory of what was written.
    ///
    /// The footers of their packs are read back as well; a pack that has lost its own is written anew, where there is room.
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
        let mut mended = HashSet::new();
        while !wanted.is_empty() {
            let spans = span::plan(self.locate_all(&wanted, &mut result)?);
            let (spans, mut again) = self.check_footers(spans, &mut mended).await?;
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
        self.shared.backend.forget_cached(&name.object()).await?;
        let entries = match load::load_entries(&self.shared.backend, name).await? {
            Ok(entries) => entries,
            Err(error) => {
                let Mended { bytes, proved_chunks, damaged, rewritten } =
                    self.mend(name, error, pace).await?;
                return Ok(PackVerification { bytes, proved_chunks, damaged, rewritten });
            }
        };
        let mut result = PackVerification::default();
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

    /// Keeps the spans of packs whose footer is sound too: without it, the next start would have to look for the chunks.
    /// The other packs are mended, each once; of those it gives the chunks, which are to be looked up again.
    async fn check_footers(
        &self,
        spans: Vec<Span>,
        mended: &mut HashSet<PackName>,
    ) -> Result<(Vec<Span>, Vec<ChunkId>), StoreError> {
        let (mut sound, mut again) = (Vec::with_capacity(spans.len()), Vec::new());
        // Spans are ordered by pack.
        for in_one_pack in spans.chunk_by(|one, next| one.pack == next.pack) {
            let pack = in_one_pack[0].pack;
            self.shared.backend.forget_cached(&pack.object()).await?;
            match load::check_pack(&self.shared.backend, pack).await? {
                Err(error) if mended.insert(pack) => {
                    self.mend(pack, error, Pace::UNLIMITED).await?;
                    again.extend(in_one_pack.iter().flat_map(|span| &span.chunks).map(|located| located.id));
                }
                // One that could not be written anew still has its chunks.
                Ok(()) | Err(_) => sound.extend_from_slice(in_one_pack),
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
