//! Reading chunks for a deploy: sealed, as they lie in the packs.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use mimeo_core::chunk::{ChunkId, SealedChunk};

use super::{
    Store,
    error::{Damage, StoreError},
    index::Located,
    span,
};

/// Reads under way at once for one call: enough to keep a remote backend or several disks busy.
const READS_AT_ONCE: usize = 4;

impl Store {
    /// Reads one chunk. See [`Store::read_many`].
    pub async fn read(&self, id: ChunkId) -> Result<SealedChunk, StoreError> {
        let mut chunks = self.read_many(&[id]).await?;
        chunks.pop().ok_or_else(|| self.missing_error(id))
    }

    /// How long the records of these chunks are together, as they lie in the packs.
    pub fn records_bytes(&self, ids: &[ChunkId]) -> Result<u64, StoreError> {
        let index = self.index();
        ids.iter().map(|&id| Ok(index.locate(id)?.place.record_bytes())).sum()
    }

    /// Reads chunks, in the order asked, neighbours in one read. All of them are in memory at once, so callers
    /// ask for as many as one answer holds.
    ///
    /// The content is not hashed here: the client does so before it writes, and it is the one who must. What is
    /// noticed is a record that is not the one the index names: [`StoreError::Damaged`], unless another pack
    /// holds the chunk too.
    pub async fn read_many(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, StoreError> {
        let mut chunks: HashMap<ChunkId, SealedChunk> = HashMap::with_capacity(ids.len());
        loop {
            let wanted = {
                let index = self.index();
                let unread = ids.iter().filter(|id| !chunks.contains_key(id));
                unread.map(|&id| index.locate(id)).collect::<Result<Vec<_>, _>>()?
            };
            if wanted.is_empty() {
                break;
            }
            // A chunk that proves lost here is looked up again: in another place, or as damaged. Each round
            // loses a place for good, or meets a collection that moved the chunk meanwhile, so the rounds end.
            let spans = stream::iter(span::plan(wanted)).map(|span| self.read_span(span));
            let found: Vec<_> = spans.buffer_unordered(READS_AT_ONCE).try_collect().await?;
            for (located, chunk) in found.into_iter().flatten() {
                match chunk {
                    Ok(chunk) => {
                        chunks.insert(located.id, chunk);
                    }
                    Err(detail) => {
                        self.note_damage(&located, detail);
                    }
                }
            }
        }
        let take = |(at, id): (usize, &ChunkId)| {
            let asked_again = ids[at + 1..].contains(id);
            let chunk = if asked_again { chunks.get(id).cloned() } else { chunks.remove(id) };
            chunk.ok_or_else(|| self.missing_error(*id))
        };
        ids.iter().enumerate().map(take).collect()
    }

    fn missing_error(&self, chunk: ChunkId) -> StoreError {
        StoreError::Missing { chunk, unreadable_packs: self.index().unreadable().len() }
    }

    /// Notes that a chunk is lost at a place, in the index and in the log. `None` where it lies there no longer: it was
    /// moved between looking it up and reading, and that is no damage.
    pub(super) fn note_damage(&self, located: &Located, detail: String) -> Option<Damage> {
        if !self.index_mut().mark_damaged(located, detail.clone()) {
            return None;
        }
        tracing::error!(
            chunk = %located.id, pack = %located.pack, detail,
            "store: chunk {} is damaged in pack {}: {detail}", located.id, located.pack
        );
        Some(Damage { chunk: located.id, pack: located.pack, detail })
    }
}
