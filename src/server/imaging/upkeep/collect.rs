//! A collection of the store's garbage by what the table of versions says.

use sqlx::SqlitePool;

use crate::imaging::{
    master::{self, MasterError, MasterRef},
    store::{
        Store,
        collect::{Collected, Sweep, SweepProgress},
        error::StoreError,
    },
};

/// Removes what no listed version needs and nobody holds (`imaging/store/collect.rs`).
pub async fn collect(
    store: &Store,
    db: &SqlitePool,
    sweep: Sweep,
    progress: &(dyn Fn(SweepProgress) + Send + Sync),
) -> Result<Collected, CollectError> {
    let mut collection = store.begin_collection()?;
    // Listed after the beginning, or a version that is published between the two would be missed.
    for listed in master::list_all_versions(db).await? {
        let version = listed.reference();
        let marked = collection.mark(listed.version.manifest_root).await;
        marked.map_err(|source| CollectError::Unknown { version, source })?;
    }
    Ok(collection.sweep(sweep, progress).await?)
}

/// Why nothing was collected, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// What a version needs cannot be known, so everything is kept.
    #[error(
        "the manifest of {version} cannot be read, so nobody knows what it needs and nothing is collected: remove \
         that version, or bring its manifest back"
    )]
    Unknown { version: MasterRef, source: StoreError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Master(#[from] MasterError),
}
