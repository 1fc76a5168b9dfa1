//! What each version takes in the store, and what it shares.

use std::collections::HashMap;

use mimeo_core::{
    chunk::ChunkId,
    manifest::{Manifest, ManifestRoot},
};
use sqlx::SqlitePool;

use crate::imaging::{
    master::{self, MasterError, MasterRef},
    store::{Store, error::StoreError},
};

/// Chunks that are looked up under one lock of the store.
const LOOKED_UP_AT_ONCE: usize = 1024;

/// A chunk that more than one version has belongs to none of them alone.
const SHARED: u32 = u32::MAX;

/// What one version takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFigures {
    pub version: MasterRef,
    /// What of its disk is kept in chunks: all content but zeros, as plain bytes.
    pub content_bytes: u64,
    /// Stored bytes of chunks that no version had that was captured before and is still there.
    pub new_bytes: u64,
    /// Stored bytes of its other chunks.
    pub shared_bytes: u64,
    /// Stored bytes that no other version needs: what removing it would free.
    pub own_bytes: u64,
    /// Chunks of it that the store cannot give.
    pub lost_chunks: u64,
    /// Its manifest cannot be read; the figures above are all 0.
    pub unreadable: bool,
}

/// What all versions take together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// In the order in which they were captured.
    pub versions: Vec<VersionFigures>,
    /// Stored bytes that some version needs.
    pub needed_bytes: u64,
}

impl Census {
    /// What the versions' disks hold, each for itself.
    pub fn content_bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.content_bytes).sum()
    }
}

/// Reads the manifest of every listed version and counts.
pub async fn count(store: &Store, db: &SqlitePool) -> Result<Census, CensusError> {
    let mut counting = Counting::default();
    for listed in master::list_all_versions(db).await? {
        let (version, root) = (listed.reference(), listed.version.manifest_root);
        let store = store.clone();
        let manifest = read(&store, root).await?;
        let counted = tokio::task::spawn_blocking(move || {
            counting.add(&store, version, manifest.as_ref());
            counting
        });
        counting = counted.await.map_err(|_| StoreError::Stopped)?;
    }
    Ok(counting.finish())
}

/// A version's manifest; `None` where it is lost.
pub(super) async fn read(store: &Store, root: ManifestRoot) -> Result<Option<Manifest>, StoreError> {
    match store.read_manifest(root).await {
        Ok(signed) => {
            let decoded = tokio::task::spawn_blocking(move || Manifest::decode(&signed.encoded).ok());
            decoded.await.map_err(|_| StoreError::Stopped)
        }
        Err(
            StoreError::ManifestMissing { .. }
            | StoreError::ManifestDamaged { .. }
            | StoreError::ManifestUnreadable { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug, Default)]
struct Counting {
    census: Census,
    /// The chunks seen so far by the first 8 bytes of their hash: 16 bytes for each, and with 8 million of them (a
    /// terabyte) the chance that two are taken for one is one in a million.
    seen: HashMap<u64, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The version that has the chunk, or [`SHARED`].
    owner: u32,
    /// The version that was counted when it was last seen.
    last: u32,
}

impl Counting {
    fn add(&mut self, store: &Store, version: MasterRef, manifest: Option<&Manifest>) {
        let number = u32::try_from(self.census.versions.len()).unwrap_or(SHARED - 1);
        let mut figures = VersionFigures {
            version,
            content_bytes: 0,
            new_bytes: 0,
            shared_bytes: 0,
            own_bytes: 0,
            lost_chunks: 0,
            unreadable: manifest.is_none(),
        };
        let chunks = manifest.into_iter().flat_map(Manifest::data_chunks);
        let mut some: Vec<ChunkId> = Vec::with_capacity(LOOKED_UP_AT_ONCE);
        for (place, id) in chunks {
            figures.content_bytes += place.length_bytes;
            some.push(id);
            if some.len() == LOOKED_UP_AT_ONCE {
                self.add_chunks(store, number, &mut figures, &mut some);
            }
        }
        self.add_chunks(store, number, &mut figures, &mut some);
        self.census.versions.push(figures);
    }

    fn add_chunks(
        &mut self,
        store: &Store,
        number: u32,
        figures: &mut VersionFigures,
        ids: &mut Vec<ChunkId>,
    ) {
        for (id, stored) in ids.iter().zip(store.stored_bytes(ids)) {
            let bytes = stored.unwrap_or(0);
            let before = self.seen.get(&key(*id)).copied();
            if before.is_some_and(|seen| seen.last == number) {
                continue;
            }
            figures.lost_chunks += u64::from(stored.is_none());
            let owner = match before {
                None => {
                    figures.new_bytes += bytes;
                    figures.own_bytes += bytes;
                    self.census.needed_bytes += bytes;
                    number
                }
                Some(Seen { owner, .. }) => {
                    figures.shared_bytes += bytes;
                    if let Some(owner) = self.census.versions.get_mut(owner as usize) {
                        owner.own_bytes = owner.own_bytes.saturating_sub(bytes);
                    }
                    SHARED
                }
            };
            self.seen.insert(key(*id), Seen { owner, last: number });
        }
        ids.clear();
    }

    fn finish(self) -> Census {
        self.census
    }
}

fn key(id: ChunkId) -> u64 {
    u64::from_le_bytes(*id.0.first_chunk().unwrap_or(&[0; 8]))
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Master(#[from] MasterError),
}
