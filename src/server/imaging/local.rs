//! The imaging engine's server on this machine: what a client asks over the network, a store answers directly.

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use mimeo_core::{
    causes::causes,
    chunk::{ChunkId, Effort, NamedChunk, OpenChunkError, ProvedChunk, SealedChunk},
    failure::FailureCause,
    manifest::{Manifest, ManifestRoot, SignedManifest},
    messages::{CHUNK_LIST_MAX, ChunkList, Heartbeat, HeartbeatReply, VersionReply, records::HEADER_BYTES},
};
use mimeo_engine::{
    board::Board,
    link::{ServerError, SessionServer},
};
use sqlx::SqlitePool;
use tokio::runtime::Handle;

use super::{
    master::{MasterName, Version},
    publish::{Origin, Publication, PublishError, publish_version},
    store::{Store, error::StoreError, intake::Intake, verify::VerifyProgress},
};
use crate::clock::Timestamp;

/// A library of masters that is at hand: its chunks, its list, and the key that signs its manifests.
#[derive(Debug, Clone)]
pub struct Shelf {
    pub store: Store,
    pub db: SqlitePool,
    pub key: SigningKey,
}

/// Answers one session of the engine. The engine's threads wait for the store, so none of them may be one of the
/// runtime's own.
pub struct LocalServer<'a> {
    runtime: Handle,
    shelf: &'a Shelf,
    board: &'a Board,
    work: Work,
}

enum Work {
    Capture { master: MasterName, intake: Box<Intake>, published: Mutex<Option<Version>> },
    Deploy { root: ManifestRoot },
}

impl<'a> LocalServer<'a> {
    /// Takes a capture in, to become a version of `master`.
    pub fn capture(runtime: Handle, shelf: &'a Shelf, board: &'a Board, master: MasterName) -> Self {
        let work =
            Work::Capture { master, intake: Box::new(shelf.store.intake()), published: Mutex::default() };
        Self { runtime, shelf, board, work }
    }

    /// Gives the version whose manifest has this root.
    pub fn deploy(runtime: Handle, shelf: &'a Shelf, board: &'a Board, root: ManifestRoot) -> Self {
        Self { runtime, shelf, board, work: Work::Deploy { root } }
    }

    /// The version that the capture became; `None` where it did not, or was none.
    pub fn published(&self) -> Option<Version> {
        match &self.work {
            Work::Capture { published, .. } => {
                published.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
            Work::Deploy { .. } => None,
        }
    }

    fn intake(&self) -> Result<&Intake, ServerError> {
        match &self.work {
            Work::Capture { intake, .. } => Ok(intake),
            Work::Deploy { .. } => Err(ServerError::Malformed("a deploy brings nothing".into())),
        }
    }

    async fn make_version(
        &self,
        manifest: &Manifest,
        master: &MasterName,
        intake: &Intake,
    ) -> Result<Publication, PublishError> {
        let Shelf { store, db, key } = self.shelf;
        let stored_bytes = intake.finish().await?.bytes;
        let (master, description) = (master.clone(), String::new());
        let origin =
            Origin { master, description, computer: None, session: None, stored_bytes, provenance: None };
        let note = |seen: VerifyProgress| {
            self.board.update(|progress| progress.set_share(seen.done_chunks, seen.total_chunks));
        };
        publish_version(store, db, key, manifest, &origin, Timestamp::now(), &note).await
    }
}

impl SessionServer for LocalServer<'_> {
    fn heartbeat(&self, _: &Heartbeat) -> Result<HeartbeatReply, ServerError> {
        Ok(HeartbeatReply::GoOn)
    }

    fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ServerError> {
        self.runtime.block_on(self.intake()?.missing(ids)).map_err(of_store)
    }

    fn hand_in(&self, chunks: &[NamedChunk<'_>], effort: Effort) -> Result<u64, ServerError> {
        let seal = |chunk: &NamedChunk<'_>| {
            chunk.seal_proved(effort).map_err(|error| of_sealing(chunk.id(), &error))
        };
        let proved = chunks.iter().map(seal).collect::<Result<Vec<ProvedChunk>, _>>()?;
        let bytes =
            proved.iter().map(|chunk| HEADER_BYTES + chunk.sealed().frame.len()).sum::<usize>() as u64;
        self.runtime.block_on(self.intake()?.put_proved(proved)).map_err(of_store)?;
        Ok(bytes)
    }

    fn fetch(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, ServerError> {
        self.runtime.block_on(self.shelf.store.read_many(ids)).map_err(of_store)
    }

    /// Nothing is remembered between two words: the manifest is at hand.
    fn ask_version(&self, _: ManifestRoot) -> Result<VersionReply, ServerError> {
        Ok(VersionReply::ManifestWanted)
    }

    fn publish(&self, encoded: &[u8]) -> Result<VersionReply, ServerError> {
        let manifest =
            Manifest::decode(encoded).map_err(|error| ServerError::Malformed(error.to_string()))?;
        let Work::Capture { master, intake, published } = &self.work else {
            return Err(ServerError::Malformed("a deploy publishes nothing".into()));
        };
        match self.runtime.block_on(self.make_version(&manifest, master, intake)).map_err(of_publishing)? {
            Publication::Missing(mut ids) => {
                ids.truncate(CHUNK_LIST_MAX);
                Ok(VersionReply::Missing(ChunkList { ids }))
            }
            Publication::Published(made) => {
                let reply = VersionReply::Published { version: made.number, root: made.manifest_root };
                *published.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
                Ok(reply)
            }
        }
    }

    fn manifest(&self) -> Result<SignedManifest, ServerError> {
        let Work::Deploy { root } = self.work else {
            return Err(ServerError::Malformed("a capture has no manifest yet".into()));
        };
        self.runtime.block_on(self.shelf.store.read_manifest(root)).map_err(of_store)
    }
}

/// This computer's memory or processor is not to be relied on.
fn of_sealing(chunk: ChunkId, error: &OpenChunkError) -> ServerError {
    ServerError::Refused(FailureCause::ChunkDamaged { chunk, detail: error.to_string() })
}

fn of_store(error: StoreError) -> ServerError {
    match error.cause() {
        Some(cause) => ServerError::Refused(cause),
        None if matches!(error, StoreError::NoRoom) => ServerError::Busy(causes(&error)),
        None => ServerError::Unreachable(causes(&error)),
    }
}

fn of_publishing(error: PublishError) -> ServerError {
    ServerError::Refused(match error {
        PublishError::Store(error) => return of_store(error),
        PublishError::Damaged { first, .. } => {
            FailureCause::ChunkDamaged { chunk: first.chunk, detail: first.detail }
        }
        PublishError::Manifest(_) | PublishError::WrongLength { .. } => {
            FailureCause::ManifestRefused { detail: causes(&error) }
        }
        PublishError::Master(_) => FailureCause::StoreFailed { detail: causes(&error) },
    })
}
