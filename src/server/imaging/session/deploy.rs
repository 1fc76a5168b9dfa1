//! The server's side of a running deploy: the manifest of its version, and the chunks that this version names.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use mimeo_core::{
    chunk::{ChunkId, SealedChunk},
    manifest::{Manifest, ManifestError, ManifestRoot, SignedManifest},
};

use crate::imaging::store::{Store, error::StoreError};

/// Versions whose chunk ids are kept in memory: a site deploys a handful at a time, and each costs 32 bytes per
/// chunk (8 MB for 32 GB of content).
const VERSIONS_MAX: usize = 8;

/// What deploys read. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Deploys {
    store: Store,
    /// The chunk ids of versions in order, the version used last at the end.
    named: Arc<Mutex<VecDeque<Named>>>,
}

/// The chunks that a version names, each once and in order.
#[derive(Debug, Clone)]
struct Named {
    root: ManifestRoot,
    ids: Arc<[ChunkId]>,
}

/// Why a deploy does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the version that is deployed has no chunk {0}")]
    NotNamed(ChunkId),
    #[error("manifest {root} cannot be read")]
    Manifest { root: ManifestRoot, source: ManifestError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deploys {
    pub fn new(store: Store) -> Self {
        Self { store, named: Arc::default() }
    }

    pub async fn manifest(&self, root: ManifestRoot) -> Result<SignedManifest, FetchError> {
        Ok(self.store.read_manifest(root).await?)
    }

    /// Chunks of the version with this root, in the order asked. A session opens its own version and nothing else of
    /// the store.
    pub async fn fetch(&self, root: ManifestRoot, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, FetchError> {
        let named = self.ids_of(root).await?;
        if let Some(foreign) = ids.iter().find(|id| named.binary_search(id).is_err()) {
            return Err(FetchError::NotNamed(*foreign));
        }
        Ok(self.store.read_many(ids).await?)
    }

    /// Looks at a chunk that a client found damaged. What the store finds damaged as well counts as missing from then
    /// on, so the next capture that has it brings it again.
    pub async fn recheck(&self, chunk: ChunkId) {
        match self.store.verify(&[chunk], &|_progress| {}).await {
            Ok(found) if found.proved_chunks > 0 => {
                tracing::warn!(%chunk, "chunk {chunk} is sound in the store: it was damaged on its way or in memory");
            }
            Ok(_) => tracing::error!(%chunk, "chunk {chunk} is lost: capture a computer that has it again"),
            Err(error) => tracing::error!(%chunk, %error, "chunk {chunk} cannot be looked at"),
        }
    }

    async fn ids_of(&self, root: ManifestRoot) -> Result<Arc<[ChunkId]>, FetchError> {
        if let Some(ids) = self.find_named(root) {
            return Ok(ids);
        }
        let signed = self.store.read_manifest(root).await?;
        let manifest =
            Manifest::decode(&signed.encoded).map_err(|source| FetchError::Manifest { root, source })?;
        let mut ids: Vec<_> = manifest.data_chunks().map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids: Arc<[ChunkId]> = ids.into();
        let mut named = self.lock();
        while named.len() >= VERSIONS_MAX {
            named.pop_front();
        }
        named.push_back(Named { root, ids: ids.clone() });
        Ok(ids)
    }

    fn find_named(&self, root: ManifestRoot) -> Option<Arc<[ChunkId]>> {
        let mut named = self.lock();
        let at = named.iter().position(|known| known.root == root)?;
        let entry = named.remove(at)?;
        let ids = entry.ids.clone();
        named.push_back(entry);
        Some(ids)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Named>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
