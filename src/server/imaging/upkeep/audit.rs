//! Reading everything back, and naming what is not whole.

use std::collections::HashSet;

use mimeo_core::chunk::ChunkId;
use sqlx::SqlitePool;

use super::census::{self, CensusError};
use crate::imaging::{
    master::{self, MasterRef},
    store::{Store, error::Damage, index::UnreadablePack, pace::Pace},
};

/// Damaged chunks that are named one by one: enough for a person to see the pattern. All are counted.
const NAMED_MAX: usize = 100;

/// A version that cannot be deployed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenVersion {
    pub version: MasterRef,
    /// Chunks that the store cannot give.
    pub lost_chunks: u64,
    pub first_lost: Option<ChunkId>,
    /// Its manifest is lost.
    pub without_manifest: bool,
}

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    pub read_bytes: u64,
    pub proved_chunks: u64,
    pub damaged_chunks: u64,
    /// The first of them, with their packs.
    pub damaged: Vec<Damage>,
    /// Packs whose footer was lost and that were written anew.
    pub rewritten_packs: u64,
    pub unreadable_packs: Vec<UnreadablePack>,
    pub broken: Vec<BrokenVersion>,
}

/// Reads every pack and every listed manifest back. `progress` takes the bytes that were read and those there are.
pub async fn audit(
    store: &Store,
    db: &SqlitePool,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Audit, CensusError> {
    let mut audit = Audit::default();
    let total_bytes = store.stats().await?.pack_bytes;
    for pack in store.pack_names() {
        let found = store.verify_pack(pack, Pace::UNLIMITED).await?;
        audit.read_bytes += found.bytes;
        audit.proved_chunks += found.proved_chunks;
        audit.damaged_chunks += found.damaged.len() as u64;
        audit.rewritten_packs += u64::from(found.rewritten);
        let room = NAMED_MAX.saturating_sub(audit.damaged.len());
        audit.damaged.extend(found.damaged.into_iter().take(room));
        progress(audit.read_bytes.min(total_bytes), total_bytes);
    }
    audit.unreadable_packs = store.stats().await?.unreadable_packs;
    audit.broken = find_broken(store, db).await?;
    Ok(audit)
}

/// The listed versions that lack something, as far as that is known. Their manifests are read back from the disk.
pub async fn find_broken(store: &Store, db: &SqlitePool) -> Result<Vec<BrokenVersion>, CensusError> {
    let mut broken = Vec::new();
    for listed in master::list_all_versions(db).await? {
        let version = listed.reference();
        store.forget_cached_manifest(listed.version.manifest_root).await?;
        let Some(manifest) = census::read(store, listed.version.manifest_root).await? else {
            broken.push(BrokenVersion { version, lost_chunks: 0, first_lost: None, without_manifest: true });
            continue;
        };
        let mut seen = HashSet::new();
        let mut ids: Vec<ChunkId> = manifest.data_chunks().map(|(_, id)| id).collect();
        drop(manifest);
        ids.retain(|id| store.plain_bytes(*id).is_none() && seen.insert(*id));
        if let Some(&first) = ids.first() {
            let (lost_chunks, first_lost) = (ids.len() as u64, Some(first));
            broken.push(BrokenVersion { version, lost_chunks, first_lost, without_manifest: false });
        }
    }
    Ok(broken)
}
