//! A version goes from one library into another: to a disk that is carried away, or from one that was brought.
//!
//! It is published there as a capture is (`publish.rs`), so the same holds: every chunk is proved before it is kept and
//! read back before the version is listed, and whatever is cut off leaves chunks that the next try does not bring
//! again, and no version.

use futures_util::{StreamExt, TryStreamExt, stream};
use mimeo_core::{
    chunk::ChunkId,
    ids::VersionNumber,
    manifest::{Manifest, ManifestError, ManifestRoot},
    messages::CHUNK_LIST_MAX,
};

use super::{
    local::Shelf,
    master::{self, ListedVersion, MasterError},
    provenance::Provenance,
    publish::{Origin, Publication, PublishError, chunks_of, publish_version},
    store::{
        Store,
        error::{Damage, StoreError},
        hold::Hold,
        intake::Intake,
        verify::VerifyProgress,
    },
};
use crate::clock::Timestamp;

/// Batches of chunks that are read while one is taken in: enough to keep both disks busy, little in memory.
const READ_AHEAD: usize = 2;

/// What of a copy is under way, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyProgress {
    /// Chunks that the other library lacked, read and handed over.
    Copying { done: u64, total: u64 },
    /// What the other library holds of it is read back there.
    ReadingBack { done: u64, total: u64 },
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    Listed {
        number: VersionNumber,
        /// Chunks that the other library lacked, and what it grew by.
        chunks: u64,
        stored_bytes: u64,
    },
    /// The same content stands there under the same name.
    AlreadyThere { number: VersionNumber },
}

/// Copies a version with its provenance, unless it is there already. It gets the next number of its master there.
///
/// Dropping the future ends it; either the version is listed, then or a moment later, or it is not.
pub async fn copy_version(
    from: &Shelf,
    listed: &ListedVersion,
    provenance: Provenance,
    into: &Shelf,
    progress: &(dyn Fn(CopyProgress) + Send + Sync),
) -> Result<Copied, CopyError> {
    let root = listed.version.manifest_root;
    if let Some(number) = master::find_version_with(&into.db, &listed.name, root).await? {
        return Ok(Copied::AlreadyThere { number });
    }
    // What is copied stays where it is until the end, also if somebody removes the version.
    let held_there = from.store.hold();
    let signed = from.store.read_manifest(root).await.map_err(CopyError::From)?;
    let manifest = Manifest::decode(&signed.encoded)?;
    check_canonical(root, &manifest)?;
    let intake = into.store.intake();
    let chunks = bring(&held_there, &manifest, &into.store, &intake, progress).await?;
    let stored_bytes = intake.finish().await.map_err(CopyError::Into)?.bytes;

    let origin = Origin {
        master: listed.name.clone(),
        // Nobody signed it.
        description: String::new(),
        computer: None,
        session: None,
        stored_bytes,
        provenance: Some(provenance),
    };
    let note = |seen: VerifyProgress| {
        progress(CopyProgress::ReadingBack { done: seen.done_chunks, total: seen.total_chunks });
    };
    let now = Timestamp::now();
    match publish_version(&into.store, &into.db, &into.key, &manifest, &origin, now, &note).await? {
        Publication::Published(version) => {
            Ok(Copied::Listed { number: version.number, chunks, stored_bytes })
        }
        Publication::Missing(missing) => {
            // Nobody else writes what was just taken in, so this is a chunk that was lost there meanwhile.
            let chunk = missing.first().copied().unwrap_or(ChunkId([0; 32]));
            Err(CopyError::Into(StoreError::Missing { chunk, unreadable_packs: 0 }))
        }
    }
}

/// A manifest is signed here as it is encoded here. Where that is not what the other library has, by a hand that wrote the
/// same content in other bytes, the version would be listed under a root that its provenance does not speak of.
fn check_canonical(root: ManifestRoot, manifest: &Manifest) -> Result<(), CopyError> {
    match ManifestRoot::of(&manifest.encode()) {
        actual if actual == root => Ok(()),
        actual => Err(CopyError::NotCanonical { root, actual }),
    }
}

/// Hands over what the other library lacks, and gives the number of these chunks.
async fn bring(
    held: &Hold,
    manifest: &Manifest,
    into: &Store,
    intake: &Intake,
    progress: &(dyn Fn(CopyProgress) + Send + Sync),
) -> Result<u64, CopyError> {
    let from = held.store();
    let wanted = intake.missing(&chunks_of(manifest)).await.map_err(CopyError::Into)?;
    if let Some(&chunk) = held.missing(&wanted).first() {
        // Read for the sake of what is said of it.
        from.read(chunk).await.map_err(CopyError::From)?;
    }
    let needed_bytes = from.records_bytes(&wanted).map_err(CopyError::From)?;
    into.check_room(needed_bytes).await.map_err(CopyError::Into)?;
    let total = wanted.len() as u64;
    let batches: Vec<Vec<ChunkId>> = wanted.chunks(CHUNK_LIST_MAX).map(<[ChunkId]>::to_vec).collect();
    let batches = stream::iter(batches).map(|ids| {
        let from = from.clone();
        async move { from.read_many(&ids).await }
    });
    let mut batches = batches.buffered(READ_AHEAD).map_err(CopyError::From);
    let mut done = 0;
    progress(CopyProgress::Copying { done, total });
    while let Some(chunks) = batches.try_next().await? {
        let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
        if let Err(error) = intake.put(chunks).await {
            return Err(blame(error, from, &ids).await);
        }
        done += ids.len() as u64;
        progress(CopyProgress::Copying { done, total });
    }
    Ok(total)
}

/// A chunk that was refused is damaged where it came from: that is said with its pack.
async fn blame(error: StoreError, from: &Store, ids: &[ChunkId]) -> CopyError {
    if !matches!(error, StoreError::Refused(_)) {
        return CopyError::Into(error);
    }
    match from.verify(ids, &|_| ()).await {
        Ok(found) => found.damaged.into_iter().next().map_or(CopyError::From(error), CopyError::Damaged),
        Err(error) => CopyError::From(error),
    }
}

/// Why a version was not copied. It is not listed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("in the library that it comes from")]
    From(#[source] StoreError),
    #[error("in the library that it comes from")]
    Damaged(#[source] Damage),
    #[error("in the library that it goes to")]
    Into(#[source] StoreError),
    #[error("the manifest in the library that it comes from")]
    Manifest(#[from] ManifestError),
    #[error(
        "manifest {root} in the library that it comes from is not encoded as Mimeo encodes one: that would make it {actual}"
    )]
    NotCanonical { root: ManifestRoot, actual: ManifestRoot },
    #[error("in the library that it goes to")]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Master(#[from] MasterError),
}

#[cfg(test)]
mod tests;
