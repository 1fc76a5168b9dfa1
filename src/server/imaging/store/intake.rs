//! Taking in the chunks of one capture.
//!
//! Nothing that a client says is trusted: every chunk is opened and hashed before it is kept, here or by whoever brings a
//! [`ProvedChunk`]. What is new gathers
//! in a pack; a full one is written by a task of its own while the next fills, and no more than one is under way:
//! a capture holds two packs in memory, and a disk that is slower than the network slows the network.
//!
//! All intakes share a room in memory. Where it is full, whoever brings more first writes the pack that it fills, however
//! short that is, and then waits: so nobody waits with full hands, and captures take turns as fast as the disk is.
//!
//! An intake that is dropped without [`Intake::finish`] (the client died, the server was killed) has cost what
//! was in memory. Its finished packs stay, so the same capture, begun again, brings only the rest.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, OpenChunkError, ProvedChunk, SealedChunk},
    messages::records::HEADER_BYTES,
};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Store,
    error::StoreError,
    hold::Hold,
    pack::{Pack, PackBuilder},
};
use crate::room::{PIECE_BYTES, Share};

/// Chunks that one thread opens in one go: 1 MiB at the default size, about a millisecond, so that a request
/// spreads over all processors and captures take turns.
const CHECK_AT_ONCE: usize = 8;

/// How long [`Intake::put`] and [`Intake::missing`] wait for memory and for the disk. Less than a client takes for silence, so that it learns why.
const PATIENCE: Duration = Duration::from_secs(15);

/// After so long without another chunk, [`Intake::settle`] takes a client for gone. A client that reads what the store
/// has already is as quiet, which costs a shorter pack. Less than [`PATIENCE`], so that nobody is refused for its sake.
const QUIET: Duration = Duration::from_secs(8);

/// What an intake added to the store so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    pub chunks: u64,
    /// Length of their records, as they lie in the packs.
    pub bytes: u64,
}

/// Takes in the chunks of one capture. Several intakes may bring the same chunk. What it brought, and what it said
/// is not missing, stays in the store at least as long as it lives.
#[derive(Debug)]
pub struct Intake {
    hold: Hold,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pack: PackBuilder,
    /// The memory that `pack` takes.
    share: Option<Share>,
    /// When chunks were last put.
    put_at: Option<Instant>,
    /// The chunks in `pack` and in `flight`: not durable yet, but not to be asked for again.
    held: HashSet<ChunkId>,
    flight: Option<Flight>,
    stored: Stored,
    /// Length of all chunks that were new, as plain bytes.
    taken_bytes: u64,
    /// A pack could not be written. What was in it is lost, so this intake cannot finish any more.
    failed: Option<StoreError>,
}

/// A pack that is being written. The task ends with the write, whoever still waits for it.
#[derive(Debug)]
struct Flight {
    ids: Vec<ChunkId>,
    records_bytes: u64,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Intake {
    pub(super) fn new(hold: Hold) -> Self {
        Self { hold, state: Mutex::default() }
    }

    /// Those of `ids` that are neither in the store nor in this intake's hands.
    pub async fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, StoreError> {
        // Another request of the same capture may wait for the disk, and holds the state meanwhile.
        let state = timeout(PATIENCE, self.lock()).await.unwrap_or(Err(StoreError::NoRoom))?;
        let mut missing = self.hold.missing(ids);
        missing.retain(|id| !state.held.contains(id));
        Ok(missing)
    }

    /// How much this intake has taken in that was new, as plain bytes.
    pub async fn taken_bytes(&self) -> u64 {
        self.state.lock().await.taken_bytes
    }

    /// Takes chunks in. Those that the store has already are dropped.
    ///
    /// Not durable when this returns: only [`Intake::finish`] makes them so. Refuses the whole call where one
    /// chunk is not what its id says ([`StoreError::Refused`]), or where there is no memory for it for
    /// [`PATIENCE`] ([`StoreError::NoRoom`]); the intake goes on. Any other error ends the intake: it gives the
    /// same one from then on.
    ///
    /// CANCEL-SAFETY: chunks that a dropped call had not placed yet are not kept, the others are; the client
    /// got no answer and asks again.
    pub async fn put(&self, chunks: Vec<SealedChunk>) -> Result<(), StoreError> {
        let placed = timeout(PATIENCE, async {
            let ids: Vec<ChunkId> = chunks.iter().map(|chunk| chunk.id).collect();
            let new: HashSet<ChunkId> = self.missing(&ids).await?.into_iter().collect();
            let chunks = chunks.into_iter().filter(|chunk| new.contains(&chunk.id)).collect();
            self.place(self.check(chunks).await?).await
        });
        placed.await.unwrap_or(Err(StoreError::NoRoom))
    }

    /// As [`Intake::put`], of chunks that need not be opened any more.
    pub async fn put_proved(&self, chunks: Vec<ProvedChunk>) -> Result<(), StoreError> {
        timeout(PATIENCE, self.place(chunks)).await.unwrap_or(Err(StoreError::NoRoom))
    }

    async fn place(&self, chunks: Vec<ProvedChunk>) -> Result<(), StoreError> {
        let chunks = chunks.iter().map(ProvedChunk::sealed);
        let mut share = self.room(chunks.clone().map(held_bytes).sum()).await?;
        let limit_bytes = self.hold.store().shared.options.pack_bytes as usize;
        let mut state = self.lock().await?;
        state.put_at = Some(Instant::now());
        for chunk in chunks {
            // Another request may have brought it meanwhile.
            if state.held.contains(&chunk.id) || self.hold.relies_on(chunk.id) {
                continue;
            }
            if !state.pack.has_room(chunk, limit_bytes) {
                self.launch(&mut state).await?;
            }
            state.held.insert(chunk.id);
            state.taken_bytes += u64::from(chunk.plain_bytes);
            state.hold(share.split(held_bytes(chunk)));
            state.pack.push(chunk, limit_bytes);
        }
        Ok(())
    }

    /// Writes what is still in memory. Once this returns, everything that was put is durable, and the store
    /// can give it. More may be put afterwards, and finished again.
    pub async fn finish(&self) -> Result<Stored, StoreError> {
        let mut state = self.lock().await?;
        if !state.pack.is_empty() {
            self.launch(&mut state).await?;
        }
        land(&mut state).await?;
        Ok(state.stored)
    }

    /// Writes what is in memory of a client that brings nothing more, where others need the memory.
    ///
    /// CANCEL-SAFETY: as [`Intake::put`].
    pub async fn settle(&self) {
        self.settle_after(QUIET).await;
    }

    async fn settle_after(&self, quiet: Duration) {
        if !self.hold.store().shared.intake_room.is_short() {
            return;
        }
        // Whoever has the state puts, finishes or waits for the disk, and is not quiet.
        let Ok(mut state) = self.state.try_lock() else { return };
        let writes = state.flight.as_ref().is_some_and(|flight| !flight.task.is_finished());
        let is_quiet = state.put_at.is_some_and(|at| at.elapsed() >= quiet);
        if is_quiet && !writes && !state.pack.is_empty() && state.failed.is_none() {
            // What failed is in the state, for whoever asks next.
            let _known = self.launch(&mut state).await;
        }
    }

    /// Memory for so many bytes of records. Where there is none, this intake has none filled and unwritten while it
    /// waits.
    async fn room(&self, bytes: usize) -> Result<Share, StoreError> {
        let room = &self.hold.store().shared.intake_room;
        if let Some(share) = room.try_take(bytes) {
            return Ok(share);
        }
        let mut state = self.lock().await?;
        if !state.pack.is_empty() {
            self.launch(&mut state).await?;
        }
        drop(state);
        room.take(bytes, PATIENCE).await.ok_or(StoreError::NoRoom)
    }

    /// Opens every chunk, on as many threads as the store allows.
    async fn check(&self, chunks: Vec<SealedChunk>) -> Result<Vec<ProvedChunk>, StoreError> {
        let mut chunks = chunks.into_iter();
        let mut checks = Vec::new();
        loop {
            let part: Vec<SealedChunk> = chunks.by_ref().take(CHECK_AT_ONCE).collect();
            if part.is_empty() {
                break;
            }
            let prove = move || part.into_iter().map(check_one).collect::<Result<Vec<_>, _>>();
            checks.push(self.hold.store().on_hasher(prove));
        }
        let checked: Result<Vec<_>, _> = try_join_all(checks).await?.into_iter().collect();
        Ok(checked.map_err(StoreError::Refused)?.into_iter().flatten().collect())
    }

    /// Sends the pack off to be written, once the one before it has landed.
    async fn launch(&self, state: &mut State) -> Result<(), StoreError> {
        land(state).await?;
        let pack = std::mem::take(&mut state.pack).finish();
        let ids = pack.entries.iter().map(|entry| entry.id).collect();
        let records_bytes = pack.records_bytes();
        let task = tokio::spawn(write(self.hold.store().clone(), pack, state.share.take()));
        state.flight = Some(Flight { ids, records_bytes, task });
        Ok(())
    }

    /// The state, unless a write has failed.
    async fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().await;
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }
}

impl State {
    /// Adds to the memory that the pack takes.
    fn hold(&mut self, part: Option<Share>) {
        match (&mut self.share, part) {
            (Some(share), Some(part)) => share.merge(part),
            (none, part) => *none = part,
        }
    }
}

/// What a chunk takes in a pack in memory, which is counted in whole pieces.
fn held_bytes(chunk: &SealedChunk) -> usize {
    (HEADER_BYTES + chunk.frame.len()).next_multiple_of(PIECE_BYTES)
}

/// The client is not trusted: neither for the content nor for the length of what carries it.
fn check_one(sealed: SealedChunk) -> Result<ProvedChunk, OpenChunkError> {
    // zstd skips padding of any length between its frames.
    if sealed.frame.len() as u64 > ChunkSize::LARGEST.bytes() {
        let bytes = u32::try_from(sealed.frame.len()).unwrap_or(u32::MAX);
        return Err(OpenChunkError::TooLarge { id: sealed.id, bytes });
    }
    ProvedChunk::prove(sealed)
}

/// Makes a pack durable, reads it back and then, and only then, has it known. Its memory is free when this ends.
///
/// Each of its chunks was opened before, so a pack that the disk gives back as it was written has all of them proved.
async fn write(store: Store, pack: Pack, _share: Option<Share>) -> Result<(), StoreError> {
    let Pack { name, bytes, entries } = pack;
    let (pack_bytes, reserve_bytes) = (bytes.len() as u64, store.shared.options.reserve_bytes);
    let know = move |store: &Store| store.index_mut().add_proved_pack(name, pack_bytes, &entries);
    store.put(name.object(), bytes, reserve_bytes, know).await
}

/// Waits for the pack under way.
///
/// CANCEL-SAFETY: the flight stays in the state until its end is known.
async fn land(state: &mut State) -> Result<(), StoreError> {
    let Some(flight) = &mut state.flight else { return Ok(()) };
    let result = (&mut flight.task).await.unwrap_or(Err(StoreError::Stopped));
    let Some(Flight { ids, records_bytes, .. }) = state.flight.take() else { return Ok(()) };
    match &result {
        Ok(()) => {
            state.stored.chunks += ids.len() as u64;
            state.stored.bytes += records_bytes;
            ids.iter().for_each(|id| {
                state.held.remove(id);
            });
        }
        Err(error) => state.failed = Some(error.clone()),
    }
    result
}

#[cfg(test)]
mod tests;
