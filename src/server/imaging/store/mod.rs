//! The chunk store: every chunk once, under the name of its content.
//!
//! The life of a capture in the store, in order:
//!
//! 1. [`Store::check_room`] refuses a capture that could not end well;
//! 2. an [`intake::Intake`] takes sealed chunks, [opens](mimeo_core::chunk::open) each to see that it is what it
//!    says, and gathers those that are new into [packs](pack) of some 32 MiB, each written whole and durable
//!    by the [`backend`], and read back from there at once;
//! 3. the pack's chunks enter the [`index`], which therefore names only what is durable;
//! 4. [`Store::verify`] reads back and hashes what this server has not read back since it started;
//! 5. [`Store::put_manifest`] makes the manifest durable, after all of its chunks;
//! 6. and whoever keeps the table of versions inserts the row that names it, after that.
//!
//! A deploy reads with [`Store::read_many`]. What no listed version needs goes by a [collection](collect): whoever
//! knows the versions has them marked, and the rest is swept, while captures and deploys go on. A [`hold::Hold`] keeps
//! what a capture was told is here until its version is listed.
//!
//! A power cut or a kill at any point leaves packs that are whole, and perhaps one under `incoming/` that never
//! became one; [`Store::open`] clears it away. There is nothing to repair and no state beside the packs. A footer that rots
//! is written anew from the records (`mend.rs`).

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use bytes::Bytes;
use mimeo_core::{chunk::ChunkId, manifest::ManifestRoot, units::MIB};
use tokio::sync::Semaphore;

pub mod backend;
pub mod collect;
pub mod error;
pub mod hold;
pub mod index;
pub mod intake;
mod load;
pub mod manifests;
mod medium;
mod mend;
pub mod pace;
pub mod pack;
mod proofs;
mod read;
mod span;
mod turn;
pub mod verify;

use self::{
    backend::Backend,
    error::StoreError,
    index::{Index, UnreadablePack},
    intake::Intake,
    turn::Turns,
};
use crate::room::Room;

/// Records in one pack. Large enough that a synchronisation costs little beside the writing and that a terabyte
/// is 30,000 objects; small enough that a capture holds two of them in memory (one filling, one being written).
pub const PACK_BYTES: u32 = 32 << 20;

/// Records that are in memory on their way into packs, of all captures together: two packs for each of eight, which
/// keep any disk busy. More captures share it, with smaller packs.
pub const INTAKE_BYTES: usize = 16 * PACK_BYTES as usize;

/// Room that the store leaves on its disk: the database lies there too, and a server whose database cannot write
/// can no longer say what is wrong.
pub const RESERVE_BYTES: u64 = 512 * MIB;

/// How often everything is read back, and so how long it counts that something was. Disks lose sectors that nobody reads
/// for months; a month is what storage arrays allow themselves by default.
pub const READ_BACK_EVERY: Duration = Duration::from_secs(28 * 24 * 3600);

/// Free room below which a capture of an ordinary PC may not fit.
pub const SHORT_OF_ROOM_BYTES: u64 = 50_000_000_000;

/// What may differ from one store to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Most bytes of records in a pack.
    pub pack_bytes: u32,
    /// Most bytes of records that all intakes together hold in memory.
    pub intake_bytes: usize,
    /// Free space below which nothing is written.
    pub reserve_bytes: u64,
    /// Most threads that hash and decompress at once.
    pub hashers: NonZeroUsize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let hashers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { pack_bytes: PACK_BYTES, intake_bytes: INTAKE_BYTES, reserve_bytes: RESERVE_BYTES, hashers }
    }
}

/// The chunk store. Cloning gives another handle to the same store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: Backend,
    options: StoreOptions,
    index: RwLock<Index>,
    hashers: Arc<Semaphore>,
    /// Read while an object is put and made known, written while one is removed: an object that is put again must not
    /// go with the one of the same name that is being removed.
    names: Arc<tokio::sync::RwLock<()>>,
    held_manifests: Mutex<HashMap<ManifestRoot, u32>>,
    turns: Turns,
    /// The memory of all intakes.
    intake_room: Room,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    /// Chunks that can be read.
    pub chunks: u64,
    pub packs: u64,
    /// Length of all readable packs.
    pub pack_bytes: u64,
    /// Chunks that were here and are lost.
    pub damaged_chunks: u64,
    /// Packs whose footers cannot be read.
    pub unreadable_packs: Vec<UnreadablePack>,
    /// Room on the backend; `None` where it has no such limit.
    pub free_bytes: Option<u64>,
}

impl Store {
    /// Opens a store: clears away what a killed server left half written and reads every pack's footer.
    ///
    /// Of a pack whose footer cannot be read, the records are looked through; it is noted
    /// ([`StoreStats::unreadable_packs`]) and left where it is. Only a backend that cannot be listed or read at all is an
    /// error.
    pub async fn open(backend: Backend, options: StoreOptions) -> Result<Self, StoreError> {
        let cleared = backend.clear_incoming().await?;
        if cleared > 0 {
            tracing::info!(store.cleared = cleared, "store: cleared away {cleared} unfinished writes");
        }
        let index = load::load(&backend).await?;
        for unreadable in index.unreadable() {
            tracing::error!(pack = %unreadable.pack, error = %unreadable.error, "store: a pack is unreadable");
        }
        let hashers = Arc::new(Semaphore::new(options.hashers.get()));
        let shared = Shared {
            backend,
            options,
            index: RwLock::new(index),
            hashers,
            names: Arc::default(),
            held_manifests: Mutex::default(),
            turns: Turns::default(),
            intake_room: Room::new(options.intake_bytes),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins to take in the chunks of one capture.
    pub fn intake(&self) -> Intake {
        Intake::new(self.hold())
    }

    /// Those of `ids` that the store cannot give, in the order asked and each once: never stored, or lost. The
    /// others are durable, and stay as long as a listed version names them: whoever relies on more than that asks
    /// [`Hold::missing`](hold::Hold::missing).
    pub fn missing(&self, ids: &[ChunkId]) -> Vec<ChunkId> {
        let index = self.index();
        let mut seen = std::collections::HashSet::new();
        ids.iter().copied().filter(|&id| !index.contains(id) && seen.insert(id)).collect()
    }

    /// What a chunk takes in the store, as it lies in a pack; `None` where it cannot be read.
    pub fn stored_bytes(&self, ids: &[ChunkId]) -> Vec<Option<u64>> {
        let index = self.index();
        ids.iter().map(|&id| index.stored_bytes(id)).collect()
    }

    /// The length of a chunk's plain bytes, where the store has it.
    pub fn plain_bytes(&self, id: ChunkId) -> Option<u32> {
        self.index().plain_bytes(id)
    }

    /// Fails with [`StoreError::Full`] where `needed_bytes` could not be written without touching the reserve.
    /// To be asked before a capture starts; every pack asks again.
    pub async fn check_room(&self, needed_bytes: u64) -> Result<(), StoreError> {
        self.check_room_beside(needed_bytes, self.shared.options.reserve_bytes).await
    }

    async fn check_room_beside(&self, needed_bytes: u64, reserve_bytes: u64) -> Result<(), StoreError> {
        match self.shared.backend.free_bytes().await? {
            Some(free_bytes) if free_bytes < needed_bytes.saturating_add(reserve_bytes) => {
                Err(StoreError::Full { needed_bytes, free_bytes, reserve_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Room on the backend; `None` where it has no such limit.
    pub async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.shared.backend.free_bytes().await
    }

    /// Whether anything in it may take less room once it is compressed again.
    pub fn may_shrink(&self) -> bool {
        self.index().may_shrink()
    }

    /// Counts what the store holds.
    pub async fn stats(&self) -> Result<StoreStats, StoreError> {
        let free_bytes = self.shared.backend.free_bytes().await?;
        let index = self.index();
        let index::Totals { chunks, packs, pack_bytes, damaged_chunks } = index.totals();
        let unreadable_packs = index.unreadable().to_vec();
        Ok(StoreStats { chunks, packs, pack_bytes, damaged_chunks, unreadable_packs, free_bytes })
    }

    /// Writes an object where that leaves so much room, reads it back, and then has it known. Durable once it returns;
    /// where it fails, what had the name before is as it was, or the new object is there whole and nobody knows of it.
    ///
    /// CANCEL-SAFETY: once it writes it goes on to the end, whoever still waits: no object is left that nobody knows of.
    async fn put(
        &self,
        object: String,
        bytes: Bytes,
        reserve_bytes: u64,
        make_known: impl FnOnce(&Self) + Send + 'static,
    ) -> Result<(), StoreError> {
        let store = self.clone();
        let task = tokio::spawn(async move {
            let _nobody_removes_its_name = store.shared.names.clone().read_owned().await;
            store.put_beside(&object, bytes, reserve_bytes).await?;
            make_known(&store);
            Ok(())
        });
        task.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Writes an object where that leaves so much room. Durable once it returns.
    async fn put_beside(&self, name: &str, bytes: Bytes, reserve_bytes: u64) -> Result<(), StoreError> {
        let needed_bytes = bytes.len() as u64;
        self.check_room_beside(needed_bytes, reserve_bytes).await?;
        match self.shared.backend.put_durable(name, bytes).await {
            // The disk filled up in the meantime, or counts differently: give the numbers as they are now.
            Err(StoreError::Full { .. }) => {
                let free_bytes = self.shared.backend.free_bytes().await?.unwrap_or(0);
                Err(StoreError::Full { needed_bytes, free_bytes, reserve_bytes })
            }
            result => result,
        }
    }

    /// Runs what keeps a processor busy on a thread of its own, with at most [`StoreOptions::hashers`] at once.
    async fn on_hasher<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.shared.hashers.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|_| StoreError::Stopped)
    }

    /// The index, to read. A thread that panicked while it held the lock had at worst not yet noted something.
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.shared.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.shared.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod power;
#[cfg(test)]
mod tests;
