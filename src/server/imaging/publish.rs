//! How a captured manifest becomes a version that can be deployed.
//!
//! 1. The manifest agrees with itself.
//! 2. Every chunk is durable in the store, else the list of those that are missing goes back to the client; and each is
//!    as long as its place.
//! 3. Every chunk that was not read back since this process started, nor not long before, is read from the disk and hashed.
//! 4. The manifest is signed and made durable in the store.
//! 5. One transaction lists the version.
//!
//! From before step 2 until the row is committed a hold keeps everything of it from being collected.
//!
//! A crash before the end of step 5 leaves chunks and perhaps a manifest that nothing lists: the same
//! publication, asked again, goes through the steps again and finds most of the work done. A crash after it
//! leaves a version; asked again by the same session, it is given and not made twice.

use std::collections::HashSet;

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::ChunkId,
    ids::{ComputerId, SessionId},
    manifest::{Manifest, ManifestError, SignedManifest},
    units::Extent,
};
use sqlx::SqlitePool;

use super::{
    master::{self, MasterError, MasterName, NewVersion, Version},
    provenance::Provenance,
    store::{
        Store,
        error::{Damage, StoreError},
        verify::{Verification, VerifyProgress},
    },
};
use crate::clock::Timestamp;

/// What is known of a version beside its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub master: MasterName,
    /// Describes the master, where this is its first version.
    pub description: String,
    /// Whose disk it was; `None` for an import.
    pub computer: Option<ComputerId>,
    /// The capture; `None` for an import.
    pub session: Option<SessionId>,
    /// What the capture added to the store, as its intake counted.
    pub stored_bytes: u64,
    /// Where it was captured, if not here.
    pub provenance: Option<Provenance>,
}

/// How a publication ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The version is listed, and every byte of it was read back.
    Published(Version),
    /// The store lacks these: they are to be handed in, then the manifest again. Nothing changed.
    Missing(Vec<ChunkId>),
}

/// Makes a version of a manifest whose chunks were handed in and finished.
///
/// `progress` tells how far reading back has come, which takes nearly all the time. Dropping the future cancels:
/// either the version is listed, then or a moment later, or it is not.
pub async fn publish_version(
    store: &Store,
    db: &SqlitePool,
    key: &SigningKey,
    manifest: &Manifest,
    origin: &Origin,
    now: Timestamp,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
) -> Result<Publication, PublishError> {
    // 1.
    manifest.check()?;

    // 2.
    let hold = store.hold();
    let chunks = chunks_of(manifest);
    let missing = hold.missing(&chunks);
    if !missing.is_empty() {
        return Ok(Publication::Missing(missing));
    }
    // Held from here on, so what is compared is what is listed.
    check_lengths(store, manifest)?;

    // 3.
    let Verification { damaged, missing, .. } = store.verify(&store.unproved(&chunks, now), progress).await?;
    if let Some(damage) = damaged.first() {
        return Err(PublishError::Damaged { first: damage.clone(), count: damaged.len() });
    }
    if !missing.is_empty() {
        return Ok(Publication::Missing(missing));
    }

    // 4.
    let manifest_root = store.put_manifest(&SignedManifest::sign(manifest, key)).await?;

    // 5.
    let new = NewVersion {
        master: origin.master.clone(),
        description: origin.description.clone(),
        manifest_root,
        disk_bytes: manifest.disk.size_bytes,
        carried_bytes: manifest.carried_bytes(),
        stored_bytes: origin.stored_bytes,
        unread_bytes: manifest.unread_bytes(),
        unread_sectors: manifest.unread_sectors(),
        computer: origin.computer,
        session: origin.session,
        provenance: origin.provenance.clone(),
        warnings: manifest.warnings(),
    };
    // A commit goes on when nobody waits for it any more, and what is being listed must not be collected.
    let db = db.clone();
    let listing = tokio::spawn(async move {
        let _until_it_is_listed = hold;
        master::insert_version(&db, &new, now).await
    });
    let listed = listing.await.map_err(|_| StoreError::Stopped)?;
    Ok(Publication::Published(listed?))
}

/// Every chunk that a manifest names, once.
pub(super) fn chunks_of(manifest: &Manifest) -> Vec<ChunkId> {
    let mut seen = HashSet::new();
    manifest.data_chunks().map(|(_, id)| id).filter(|&id| seen.insert(id)).collect()
}

/// A chunk that is shorter or longer than its place would leave a hole in the disk or overwrite its neighbour.
fn check_lengths(store: &Store, manifest: &Manifest) -> Result<(), PublishError> {
    for (place, chunk) in manifest.data_chunks() {
        if let Some(actual) = store.plain_bytes(chunk).map(u64::from)
            && actual != place.length_bytes
        {
            return Err(PublishError::WrongLength { chunk, place, actual });
        }
    }
    Ok(())
}

/// Why a manifest did not become a version. Nothing is listed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the manifest contradicts itself")]
    Manifest(#[from] ManifestError),
    #[error("chunk {chunk} has {actual} bytes and is to fill {place}")]
    WrongLength { chunk: ChunkId, place: Extent, actual: u64 },
    /// The store counts them as missing from now on: the next capture brings them again.
    #[error("{count} chunks read back damaged, the first of them")]
    Damaged {
        #[source]
        first: Damage,
        count: usize,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Master(#[from] MasterError),
}

#[cfg(test)]
mod tests;
