//! The server's side of a running capture: the chunks it takes in, and how its manifest becomes a version.
//!
//! All of this is in memory. A server that is started again begins with empty hands: the client asks what is
//! missing, brings that, and hands its manifest in again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, SealedChunk},
    ids::{BootId, SessionId},
    manifest::{Manifest, ManifestError, ManifestRoot},
    messages::{CHUNK_LIST_MAX, ChunkList, DiskPin, VersionReply},
};
use sqlx::SqlitePool;
use tokio_util::task::AbortOnDropHandle;

use super::{
    DiskChoice, Job, Published, Session,
    machine::Input,
    requests::{SessionError, Sessions},
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::{
        master::{MasterError, MasterName},
        publish::{Origin, Publication, PublishError, publish_version},
        store::{Store, error::StoreError, intake::Intake, verify::VerifyProgress},
    },
};

/// How long a request that hands in a manifest waits for the version, before it says how far reading back has come:
/// a client asks again at once, and this is about as often as it has a heartbeat to send.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The captures that are under way. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Captures {
    shared: Arc<Shared>,
}

struct Shared {
    pool: SqlitePool,
    events: Events,
    sessions: Sessions,
    store: Store,
    key: SigningKey,
    open: Mutex<HashMap<SessionId, Arc<OpenCapture>>>,
}

/// What one boot has brought so far.
struct OpenCapture {
    boot: BootId,
    intake: Arc<Intake>,
    publishing: tokio::sync::Mutex<Option<Publishing>>,
}

/// A manifest on its way to become a version.
struct Publishing {
    root: ManifestRoot,
    progress: Arc<ReadBack>,
    /// It ends by itself, or when its capture is let go of: either the version is listed then, or it is not.
    task: AbortOnDropHandle<Result<VersionReply, CaptureError>>,
}

#[derive(Default)]
struct ReadBack {
    done_chunks: AtomicU64,
    total_chunks: AtomicU64,
}

/// Why a capture cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("the session is no capture")]
    NotACapture,
    #[error("the manifest cannot be read")]
    Manifest(#[from] ManifestError),
    #[error(
        "the manifest is of a disk of {actual_bytes} bytes, the session is about one of {expected_bytes} bytes"
    )]
    OtherDisk { expected_bytes: u64, actual_bytes: u64 },
    #[error("the manifest is cut into chunks or sectors of another size than was ordered")]
    OtherCut,
    #[error("the capture brought more than twice the {disk_bytes} bytes of its disk")]
    TooMuch { disk_bytes: u64 },
    #[error("another manifest of this capture is being read back")]
    Busy,
    #[error("the capture became another version already")]
    PublishedOtherwise,
    #[error("the server stops")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Captures {
    pub fn new(pool: SqlitePool, events: Events, sessions: Sessions, store: Store, key: SigningKey) -> Self {
        Self { shared: Arc::new(Shared { pool, events, sessions, store, key, open: Mutex::default() }) }
    }

    /// Those chunks that a capture still has to bring.
    pub async fn missing(
        &self,
        session: &Session,
        boot: BootId,
        ids: &[ChunkId],
    ) -> Result<Vec<ChunkId>, CaptureError> {
        Ok(self.opened(session, boot)?.intake.missing(ids).await?)
    }

    /// Takes chunks in. They are durable only once a version names them.
    pub async fn put(
        &self,
        session: &Session,
        boot: BootId,
        chunks: Vec<SealedChunk>,
    ) -> Result<(), CaptureError> {
        let capture = self.opened(session, boot)?;
        let DiskChoice::Pinned(DiskPin { size_bytes: disk_bytes, .. }) = session.disk else {
            return Err(CaptureError::NotACapture);
        };
        // Twice, because what a store finds damaged is brought again. More than that is somebody who fills the store.
        if capture.intake.taken_bytes().await > disk_bytes.saturating_mul(2) {
            return Err(CaptureError::TooMuch { disk_bytes });
        }
        Ok(capture.intake.put(chunks).await?)
    }

    /// Makes a version of an encoded manifest, or says what is still to be done for that. Handing the same manifest in
    /// again is how a client waits.
    pub async fn hand_in(
        &self,
        session: &Session,
        boot: BootId,
        encoded: Bytes,
        now: Timestamp,
    ) -> Result<VersionReply, CaptureError> {
        let root = ManifestRoot::of(&encoded);
        if let Job::Capture { published: Some(published), .. } = &session.job {
            let Published { version, root: listed } = *published;
            let same = listed == root;
            return if same {
                Ok(VersionReply::Published { version, root })
            } else {
                Err(CaptureError::PublishedOtherwise)
            };
        }
        let capture = self.opened(session, boot)?;
        let mut slot = capture.publishing.lock().await;
        if slot.as_ref().is_some_and(|publishing| publishing.root != root) {
            return Err(CaptureError::Busy);
        }
        let publishing = match &mut *slot {
            Some(publishing) => publishing,
            none => {
                let manifest = decode(encoded).await?;
                none.insert(self.publish(session, capture.intake.clone(), root, manifest, now)?)
            }
        };
        let Ok(ended) = tokio::time::timeout(ANSWER_WITHIN, &mut publishing.task).await else {
            return Ok(publishing.progress.reply());
        };
        // Whatever came of it, the next manifest begins anew.
        *slot = None;
        ended.unwrap_or(Err(CaptureError::Stopped))
    }

    /// Lets go of every capture but these: what had been handed in is no longer held, what was being published is
    /// given up.
    pub fn keep_only(&self, sessions: &[SessionId]) {
        self.open().retain(|session, _| sessions.contains(session));
    }

    pub fn forget(&self, session: SessionId) {
        self.open().remove(&session);
    }

    fn opened(&self, session: &Session, boot: BootId) -> Result<Arc<OpenCapture>, CaptureError> {
        if !matches!(session.job, Job::Capture { .. }) {
            return Err(CaptureError::NotACapture);
        }
        let mut open = self.open();
        if let Some(capture) = open.get(&session.id).filter(|capture| capture.boot == boot) {
            return Ok(capture.clone());
        }
        let intake = Arc::new(self.shared.store.intake());
        let capture = Arc::new(OpenCapture { boot, intake, publishing: tokio::sync::Mutex::default() });
        open.insert(session.id, capture.clone());
        Ok(capture)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<OpenCapture>>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to publish; the checks that need no disk come first.
    fn publish(
        &self,
        session: &Session,
        intake: Arc<Intake>,
        root: ManifestRoot,
        manifest: Manifest,
        now: Timestamp,
    ) -> Result<Publishing, CaptureError> {
        let (Job::Capture { master, .. }, DiskChoice::Pinned(source)) = (&session.job, &session.disk) else {
            return Err(CaptureError::NotACapture);
        };
        check_source(&manifest, source)?;
        let progress = Arc::new(ReadBack::default());
        let work = Work {
            shared: self.shared.clone(),
            intake,
            session: session.id,
            computer: session.computer,
            master: master.clone(),
            manifest,
            now,
        };
        let counted = progress.clone();
        let task = tokio::spawn(async move { work.run(&counted).await });
        Ok(Publishing { root, progress, task: AbortOnDropHandle::new(task) })
    }
}

/// A long manifest takes seconds, in which others are to be served.
async fn decode(encoded: Bytes) -> Result<Manifest, CaptureError> {
    let decoded = tokio::task::spawn_blocking(move || Manifest::decode(&encoded)).await;
    Ok(decoded.map_err(|_| CaptureError::Stopped)??)
}

/// A manifest of another disk than was ordered would be deployed under a wrong size.
fn check_source(manifest: &Manifest, source: &DiskPin) -> Result<(), CaptureError> {
    if manifest.disk.size_bytes != source.size_bytes {
        let (expected_bytes, actual_bytes) = (source.size_bytes, manifest.disk.size_bytes);
        return Err(CaptureError::OtherDisk { expected_bytes, actual_bytes });
    }
    if manifest.disk.logical_sector != source.logical_sector || manifest.chunk_size != ChunkSize::DEFAULT {
        return Err(CaptureError::OtherCut);
    }
    Ok(())
}

/// What the publishing task needs of its own.
struct Work {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    session: SessionId,
    computer: mimeo_core::ids::ComputerId,
    master: MasterName,
    manifest: Manifest,
    now: Timestamp,
}

impl Work {
    async fn run(self, progress: &ReadBack) -> Result<VersionReply, CaptureError> {
        let Shared { pool, events, sessions, store, key, .. } = &*self.shared;
        let stored = self.intake.finish().await?;
        let origin = Origin {
            master: self.master.clone(),
            description: String::new(),
            computer: Some(self.computer),
            session: Some(self.session),
            stored_bytes: stored.bytes,
        };
        let note = |seen: VerifyProgress| progress.note(seen);
        let step = async |published| {
            sessions.step(self.session, Input::Published(published), self.now).await?;
            let Published { version, root } = published;
            Ok(VersionReply::Published { version, root })
        };
        match publish_version(store, pool, key, &self.manifest, &origin, self.now, &note).await {
            Ok(Publication::Missing(mut ids)) => {
                ids.truncate(CHUNK_LIST_MAX);
                Ok(VersionReply::Missing(ChunkList { ids }))
            }
            Ok(Publication::Published(listed)) => {
                let (version, root) = (listed.number, listed.manifest_root);
                let reply = step(Published { version, root }).await?;
                let name = self.master.to_string();
                events.emit(Event::VersionPublished { master: listed.master, name, version });
                Ok(reply)
            }
            // An earlier attempt listed it and was cut off before the session learned of that; the disk has changed since.
            Err(PublishError::Master(MasterError::SessionHasVersion { number, root, .. })) => {
                step(Published { version: number, root }).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl ReadBack {
    fn note(&self, seen: VerifyProgress) {
        self.done_chunks.store(seen.done_chunks, Ordering::Relaxed);
        self.total_chunks.store(seen.total_chunks, Ordering::Relaxed);
    }

    fn reply(&self) -> VersionReply {
        VersionReply::Verifying {
            done_chunks: self.done_chunks.load(Ordering::Relaxed),
            total_chunks: self.total_chunks.load(Ordering::Relaxed),
        }
    }
}
