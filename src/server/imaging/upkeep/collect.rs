//! A collection of the store's garbage by what the table of versions says.

use sqlx::SqlitePool;

use crate::imaging::{
    master::{self, MasterError, MasterRef},
    store::{
        Store,
        collect::{Collected, Collection, Sweep, SweepProgress},
        error::StoreError,
    },
};

/// Removes what no listed version needs and nobody holds (`imaging/store/collect.rs`), for a person who waits for it: one
/// in the background that is under way is asked to give way.
pub async fn collect(
    store: &Store,
    db: &SqlitePool,
    sweep: Sweep,
    progress: &(dyn Fn(SweepProgress) + Send + Sync),
) -> Result<Collected, CollectError> {
    mark_and_sweep(store.begin_collection_in_turn().await?, db, sweep, progress).await
}

/// As [`collect`], for nobody in particular: `None` where it gave way to one that a person asked for. One that compresses
/// again gives way to every other, and asks none to.
pub async fn collect_in_background(
    store: &Store,
    db: &SqlitePool,
    sweep: Sweep,
) -> Result<Option<Collected>, CollectError> {
    let collection = match sweep.recompress {
        true => store.begin_collection()?,
        false => store.begin_collection_in_turn().await?,
    };
    tokio::select! {
        collected = mark_and_sweep(collection, db, sweep, &|_progress| {}) => collected.map(Some),
        () = store.wanted_for_collection() => Ok(None),
    }
}

/// The versions are listed after the beginning of the collection, or one that is published between the two would be
/// missed.
async fn mark_and_sweep(
    mut collection: Collection,
    db: &SqlitePool,
    sweep: Sweep,
    progress: &(dyn Fn(SweepProgress) + Send + Sync),
) -> Result<Collected, CollectError> {
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

#[cfg(test)]
mod tests {
    use std::{
        num::{NonZeroU64, NonZeroUsize},
        time::Duration,
    };

    use mimeo_core::chunk::seal;

    use super::{collect, collect_in_background};
    use crate::{
        db,
        imaging::store::{Store, StoreOptions, collect::Sweep, error::StoreError, faulty::Disk, pace::Pace},
    };

    const OPTIONS: StoreOptions = StoreOptions {
        pack_bytes: 4096,
        reserve_bytes: 0,
        hashers: NonZeroUsize::new(2).expect("two"),
        intake_bytes: 4 << 20,
    };

    /// Less than the store waits for one that gives way.
    const AT_ONCE: Duration = Duration::from_secs(5);

    /// Compresses a store again so slowly that it takes hours.
    fn slow() -> Sweep {
        let pace = Pace::new(NonZeroU64::new(1).expect("not zero"));
        Sweep { dry_run: false, recompress: true, pace }
    }

    async fn until_one_collects(store: &Store) {
        while store.begin_collection().is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn compressing_again_gives_way_to_a_collection_that_was_asked_for() {
        // In a file: one in memory ends with the connection of a query that was dropped.
        let folder = tempfile::tempdir().expect("a folder");
        let pool = db::open(&folder.path().join("mimeo.db")).await.expect("a database");
        let store = Disk::default().open(OPTIONS).await;
        let intake = store.intake();
        intake.put((0..40u8).map(|number| seal(&[number; 3000])).collect()).await.expect("taken");
        intake.finish().await.expect("finished");
        let background = {
            let (store, pool) = (store.clone(), pool.clone());
            tokio::spawn(async move { collect_in_background(&store, &pool, slow()).await })
        };
        until_one_collects(&store).await;
        let again = collect_in_background(&store, &pool, slow()).await.expect_err("another is under way");
        assert!(matches!(again, super::CollectError::Store(StoreError::Collecting)), "{again}");

        let sweep = Sweep { recompress: false, pace: Pace::UNLIMITED, ..slow() };
        let collecting = tokio::time::timeout(AT_ONCE, collect(&store, &pool, sweep, &|_progress| {}));
        collecting.await.expect("it need not wait for hours").expect("collected");
        assert_eq!(background.await.expect("it ended").expect("no error"), None, "it gave way");
        let ended = collect_in_background(&store, &pool, sweep).await.expect("nobody else collects");
        assert!(ended.is_some(), "nobody asks any more");
        drop(intake);
    }
}
