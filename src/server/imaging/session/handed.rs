//! A manifest that a client handed in, on its way to become a version.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mimeo_core::{
    ids::{ComputerId, SessionId},
    manifest::{Manifest, ManifestRoot},
    messages::{CHUNK_LIST_MAX, ChunkList, VersionReply},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Published,
    capture::{CaptureError, Shared},
    machine::Input,
};
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::{
        master::{MasterError, MasterName},
        publish::{Origin, Publication, PublishError, publish_version},
        store::{intake::Intake, verify::VerifyProgress},
    },
    room::Share,
};

/// How long a manifest is kept that nobody asks about and nothing is done for: bringing a list of missing chunks takes
/// seconds. Whoever comes later is asked for it again.
const KEPT: Duration = Duration::from_secs(60);

/// It stays in memory while its client brings what was missing, so that it need not travel twice.
pub(super) struct Handed {
    pub(super) root: ManifestRoot,
    manifest: Arc<Manifest>,
    _room: Share,
    read_back: Arc<ReadBack>,
    /// It ends by itself, or when its capture is let go of: either the version is listed then, or it is not.
    task: Option<AbortOnDropHandle<Result<VersionReply, CaptureError>>>,
    asked: Instant,
}

#[derive(Default)]
struct ReadBack {
    done_chunks: AtomicU64,
    total_chunks: AtomicU64,
}

/// What the publishing task needs of its own.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) intake: Arc<Intake>,
    pub(super) session: SessionId,
    pub(super) computer: ComputerId,
    pub(super) master: MasterName,
    pub(super) now: Timestamp,
}

impl Handed {
    /// A manifest that was checked against its session; `room` is its memory.
    pub(super) fn new(root: ManifestRoot, manifest: Manifest, room: Share) -> Self {
        let (manifest, read_back) = (Arc::new(manifest), Arc::default());
        Self { root, manifest, _room: room, read_back, task: None, asked: Instant::now() }
    }

    pub(super) fn is_being_published(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    pub(super) fn is_forgotten(&self) -> bool {
        !self.is_being_published() && self.asked.elapsed() >= KEPT
    }

    /// Publishes it, unless that is under way. `None` where it takes longer than `within`.
    ///
    /// CANCEL-SAFETY: the work goes on; who asks next hears of it.
    pub(super) async fn publish(
        &mut self,
        work: impl FnOnce() -> Work,
        within: Duration,
    ) -> Option<Result<VersionReply, CaptureError>> {
        self.asked = Instant::now();
        let task = self.task.get_or_insert_with(|| {
            let (work, manifest, read_back) = (work(), self.manifest.clone(), self.read_back.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { work.run(&manifest, &read_back).await }))
        });
        let ended = tokio::time::timeout(within, task).await.ok()?;
        self.task = None;
        Some(ended.unwrap_or(Err(CaptureError::Stopped)))
    }

    /// How far reading back has come.
    pub(super) fn progress(&self) -> VersionReply {
        VersionReply::Verifying {
            done_chunks: self.read_back.done_chunks.load(Ordering::Relaxed),
            total_chunks: self.read_back.total_chunks.load(Ordering::Relaxed),
        }
    }
}

impl ReadBack {
    fn note(&self, seen: VerifyProgress) {
        self.done_chunks.store(seen.done_chunks, Ordering::Relaxed);
        self.total_chunks.store(seen.total_chunks, Ordering::Relaxed);
    }
}

impl Work {
    async fn run(self, manifest: &Manifest, read_back: &ReadBack) -> Result<VersionReply, CaptureError> {
        let Shared { pool, events, sessions, store, key, .. } = &*self.shared;
        let stored = self.intake.finish().await?;
        let origin = Origin {
            master: self.master.clone(),
            description: String::new(),
            computer: Some(self.computer),
            session: Some(self.session),
            stored_bytes: stored.bytes,
            provenance: None,
        };
        let note = |seen: VerifyProgress| read_back.note(seen);
        let step = async |published| {
            sessions.step(self.session, Input::Published(published), self.now).await?;
            let Published { version, root } = published;
            Ok(VersionReply::Published { version, root })
        };
        match publish_version(store, pool, key, manifest, &origin, self.now, &note).await {
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
