//! The server's side of a running capture: the chunks it takes in, and how its manifest becomes a version.
//!
//! All of this is in memory. A server that is started again begins with empty hands: it asks the client for its
//! manifest again, and for what is missing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, SealedChunk},
    ids::{BootId, SessionId},
    manifest::{self, Manifest, ManifestError, ManifestRoot},
    messages::{DiskPin, VersionReply},
};
use sqlx::SqlitePool;

use super::{
    DiskChoice, Job, Published, Session, State,
    handed::{Handed, Work},
    requests::{SessionError, Sessions},
};
use crate::{
    clock::Timestamp,
    events::Events,
    imaging::{
        publish::PublishError,
        store::{Store, error::StoreError, intake::Intake},
    },
    room::{Room, Share},
};

/// How long a request waits for the version of a manifest, before it says how far reading back has come:
/// a client asks again at once, and this is about as often as it has a heartbeat to send.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of all manifests that are on their way to become versions: two of the longest, or forty of disks with 100 GB of
/// content.
const MANIFESTS_BYTES: usize = 2 * manifest::BYTES_MAX;

/// How long a manifest waits for its room. It waits for that of its body too, up to 15 s: both together are less than the
/// 30 s that a client takes for silence, so that it learns why.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long without a word, a capture whose session lost its lease is let go of: what it relies on is kept from being
/// collected, and its computer may stay off for weeks. Twice as long as a client goes on trying; one that comes back all
/// the same finds what it finds after a restart of the server, and brings what is missing.
const GONE: Duration = Duration::from_secs(600);

/// The captures that are under way. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Captures {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) pool: SqlitePool,
    pub(super) events: Events,
    pub(super) sessions: Sessions,
    pub(super) store: Store,
    pub(super) key: SigningKey,
    manifests: Room,
    open: Mutex<HashMap<SessionId, Arc<OpenCapture>>>,
}

/// What one boot has brought so far.
struct OpenCapture {
    boot: BootId,
    /// When its client was last heard of.
    heard: Mutex<Instant>,
    intake: Arc<Intake>,
    handed: tokio::sync::Mutex<Option<Handed>>,
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
    #[error("too many manifests are on their way to become versions, come back later")]
    NoRoom,
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
        let (manifests, open) = (Room::new(MANIFESTS_BYTES), Mutex::default());
        Self { shared: Arc::new(Shared { pool, events, sessions, store, key, manifests, open }) }
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
        let disk_bytes = source_of(session)?.size_bytes;
        // Twice, because what a store finds damaged is brought again. More than that is somebody who fills the store.
        if capture.intake.taken_bytes().await > disk_bytes.saturating_mul(2) {
            return Err(CaptureError::TooMuch { disk_bytes });
        }
        Ok(capture.intake.put(chunks).await?)
    }

    /// Memory for a manifest of so many bytes, for as long as it is on its way to become a version.
    pub async fn room_for_manifest(&self, bytes: usize) -> Result<Share, CaptureError> {
        self.shared.manifests.take(bytes, PATIENCE).await.ok_or(CaptureError::NoRoom)
    }

    /// Makes a version of an encoded manifest, or says what is still to be done for that. `room` is what
    /// [`Captures::room_for_manifest`] gave for it.
    pub async fn hand_in(
        &self,
        session: &Session,
        boot: BootId,
        encoded: Bytes,
        room: Share,
        now: Timestamp,
    ) -> Result<VersionReply, CaptureError> {
        let root = ManifestRoot::of(&encoded);
        if let Some(published) = published(session) {
            return published_as(published, root).ok_or(CaptureError::PublishedOtherwise);
        }
        let capture = self.opened(session, boot)?;
        let mut slot = capture.handed.lock().await;
        match &*slot {
            Some(handed) if handed.root == root => {}
            Some(handed) if handed.is_being_published() => return Err(CaptureError::Busy),
            _ => {
                let manifest = decode(encoded).await?;
                check_source(&manifest, source_of(session)?)?;
                *slot = Some(Handed::new(root, manifest, room));
            }
        }
        self.go_on(session, &capture, &mut slot, now).await
    }

    /// How far the manifest with this root has come: how a client waits for its version. Begins to publish it again
    /// where chunks were missing.
    pub async fn ask(
        &self,
        session: &Session,
        boot: BootId,
        root: ManifestRoot,
        now: Timestamp,
    ) -> Result<VersionReply, CaptureError> {
        if let Some(published) = published(session) {
            return published_as(published, root).ok_or(CaptureError::PublishedOtherwise);
        }
        let capture = self.opened(session, boot)?;
        let mut slot = capture.handed.lock().await;
        if slot.as_ref().is_none_or(|handed| handed.root != root) {
            return Ok(VersionReply::ManifestWanted);
        }
        self.go_on(session, &capture, &mut slot, now).await
    }

    /// Publishes what was handed in, and waits a little for what comes of it.
    async fn go_on(
        &self,
        session: &Session,
        capture: &OpenCapture,
        slot: &mut Option<Handed>,
        now: Timestamp,
    ) -> Result<VersionReply, CaptureError> {
        let (Job::Capture { master, .. }, Some(handed)) = (&session.job, slot.as_mut()) else {
            return Err(CaptureError::NotACapture);
        };
        let work = || Work {
            shared: self.shared.clone(),
            intake: capture.intake.clone(),
            session: session.id,
            computer: session.computer,
            master: master.clone(),
            now,
        };
        let Some(ended) = handed.publish(work, ANSWER_WITHIN).await else { return Ok(handed.progress()) };
        // What is only missing comes, and then the same manifest is asked for again.
        if !matches!(ended, Ok(VersionReply::Missing(_))) {
            *slot = None;
        }
        ended
    }

    /// Gives back memory that clients hold who say nothing more: they may be gone.
    ///
    /// CANCEL-SAFETY: every capture is looked at by itself.
    pub async fn settle(&self) {
        let captures: Vec<_> = self.open().values().cloned().collect();
        for capture in captures {
            capture.intake.settle().await;
            if let Ok(mut slot) = capture.handed.try_lock()
                && slot.as_ref().is_some_and(Handed::is_forgotten)
            {
                *slot = None;
            }
        }
    }

    /// Lets go of every capture but those of these open sessions, and of those whose computer is gone: what had been
    /// handed in is no longer held, what was being published is given up.
    pub fn keep_only(&self, open: &[Session]) {
        self.open().retain(|id, capture| {
            let session = open.iter().find(|session| session.id == *id);
            session.is_some_and(|session| {
                matches!(session.state, State::Running { .. }) || !capture.is_gone(GONE)
            })
        });
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
            *capture.heard() = Instant::now();
            return Ok(capture.clone());
        }
        let intake = Arc::new(self.shared.store.intake());
        let (heard, handed) = (Mutex::new(Instant::now()), tokio::sync::Mutex::default());
        let capture = Arc::new(OpenCapture { boot, heard, intake, handed });
        open.insert(session.id, capture.clone());
        Ok(capture)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<OpenCapture>>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenCapture {
    fn heard(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self, after: Duration) -> bool {
        self.heard().elapsed() >= after
    }
}

fn published(session: &Session) -> Option<Published> {
    match &session.job {
        Job::Capture { published, .. } => *published,
        Job::Deploy { .. } => None,
    }
}

/// The same question has the same answer, however often it is asked.
fn published_as(published: Published, root: ManifestRoot) -> Option<VersionReply> {
    let Published { version, root: listed } = published;
    (listed == root).then_some(VersionReply::Published { version, root })
}

fn source_of(session: &Session) -> Result<&DiskPin, CaptureError> {
    match (&session.job, &session.disk) {
        (Job::Capture { .. }, DiskChoice::Pinned(source)) => Ok(source),
        _ => Err(CaptureError::NotACapture),
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
