//! Work on the whole store that a person asked for: one at a time, in the background, and seen as it goes on.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mimeo_core::{causes::causes, chunk::ChunkSize};
use sqlx::SqlitePool;
use tokio_util::task::AbortOnDropHandle;

use super::{
    audit::{Audit, BrokenVersion, audit},
    collect::collect,
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::{
        copy::CopyProgress,
        store::{
            Store,
            collect::{Collected, Sweep},
            error::Damage,
            pace::Pace,
        },
        take_in::Taken,
    },
};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    Collect {
        /// Count what would go, and change nothing.
        dry_run: bool,
        /// Compress what stays with time.
        recompress: bool,
    },
    Verify,
    /// Copies versions into a library elsewhere.
    Copy,
    /// Takes versions of another library in.
    TakeIn,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collect { .. } => "a collection",
            Self::Verify => "a verification",
            Self::Copy => "a copy",
            Self::TakeIn => "a take-in",
        })
    }
}

/// What the jobs know to do by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreWork {
    Collect { dry_run: bool, recompress: bool },
    Verify,
}

impl From<StoreWork> for JobKind {
    fn from(work: StoreWork) -> Self {
        match work {
            StoreWork::Collect { dry_run, recompress } => Self::Collect { dry_run, recompress },
            StoreWork::Verify => Self::Verify,
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Collected(Collected),
    Audited(Audit),
    /// Versions that were copied or taken in, or were there already.
    Carried(Vec<Taken>),
    /// Why it did not come to its end, with its causes.
    Failed(String),
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Counted from 1 since the server started.
    pub id: u64,
    pub kind: JobKind,
    pub began: Timestamp,
    pub done_bytes: u64,
    /// 0 until it is known.
    pub total_bytes: u64,
    /// Moment and manner of its end; `None` while it runs.
    pub ended: Option<(Timestamp, Outcome)>,
}

/// The jobs of one store. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct StoreJobs {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    pool: SqlitePool,
    events: Events,
    /// The last that were begun, the oldest first. All but the last have ended.
    slots: Mutex<VecDeque<Slot>>,
}

/// Jobs that are remembered: who asks for one twice a second is not to miss its end because others began others.
const REMEMBERED: usize = 8;

/// A job that was begun.
struct Slot {
    job: Job,
    progress: Arc<Progress>,
    /// Ends with the server at the latest. It may be cut off at any point.
    _task: AbortOnDropHandle<()>,
}

/// How far a job is.
#[derive(Debug, Default)]
pub struct Progress {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

/// Notes the end of a job when it is dropped: also of one that panics, or nobody could begin another.
struct End {
    shared: Arc<Shared>,
    id: u64,
    outcome: Option<Outcome>,
}

impl Drop for End {
    fn drop(&mut self) {
        let cut_off = || Outcome::Failed("it broke off; the server's log says where".into());
        let outcome = self.outcome.take().unwrap_or_else(cut_off);
        if let Some(slot) = self.shared.slots().iter_mut().find(|slot| slot.job.id == self.id) {
            slot.job.ended = Some((Timestamp::now(), outcome));
        }
    }
}

/// Another job is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the store is under way")]
pub struct Busy(pub JobKind);

impl StoreJobs {
    pub fn new(store: Store, pool: SqlitePool, events: Events) -> Self {
        Self { shared: Arc::new(Shared { store, pool, events, slots: Mutex::default() }) }
    }

    /// Begins a collection or a verification, unless a job is under way.
    pub fn start(&self, work: StoreWork, now: Timestamp) -> Result<Job, Busy> {
        let shared = self.shared.clone();
        self.start_with(work.into(), now, |progress| async move { shared.run(work, &progress).await })
    }

    /// Begins a job of which somebody else knows what is to be done, unless one is under way.
    pub fn start_with<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        kind: JobKind,
        now: Timestamp,
        work: impl FnOnce(Arc<Progress>) -> F,
    ) -> Result<Job, Busy> {
        let mut slots = self.shared.slots();
        if let Some(Slot { job: Job { kind, ended: None, .. }, .. }) = slots.back() {
            return Err(Busy(*kind));
        }
        let id = slots.back().map_or(1, |slot| slot.job.id + 1);
        let job = Job { id, kind, began: now, done_bytes: 0, total_bytes: 0, ended: None };
        let progress = Arc::<Progress>::default();
        let (shared, work) = (self.shared.clone(), work(progress.clone()));
        // It cannot end before its slot is filled: the lock is held.
        let task = tokio::spawn(async move {
            let mut end = End { shared, id, outcome: None };
            end.outcome = Some(work.await);
        });
        if slots.len() == REMEMBERED {
            slots.pop_front();
        }
        slots.push_back(Slot { job: job.clone(), progress, _task: AbortOnDropHandle::new(task) });
        Ok(job)
    }

    /// The job that was begun last.
    pub fn last(&self) -> Option<Job> {
        self.shared.slots().back().map(Slot::as_it_stands)
    }

    /// The job with this id, if it is one of the last that were begun.
    pub fn find(&self, id: u64) -> Option<Job> {
        self.shared.slots().iter().find(|slot| slot.job.id == id).map(Slot::as_it_stands)
    }
}

impl Slot {
    fn as_it_stands(&self) -> Job {
        let done_bytes = self.progress.done_bytes.load(Ordering::Relaxed);
        let total_bytes = self.progress.total_bytes.load(Ordering::Relaxed);
        Job { done_bytes, total_bytes, ..self.job.clone() }
    }
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, work: StoreWork, progress: &Progress) -> Outcome {
        let Self { store, pool, events, .. } = self;
        match work {
            StoreWork::Collect { dry_run, recompress } => {
                let sweep = Sweep { dry_run, recompress, pace: Pace::UNLIMITED };
                let note = |seen: crate::imaging::store::collect::SweepProgress| {
                    progress.note(seen.done_bytes, seen.total_bytes);
                };
                match collect(store, pool, sweep, &note).await {
                    Ok(collected) if dry_run => Outcome::Collected(collected),
                    Ok(collected) => {
                        tell_collected(events, &collected);
                        Outcome::Collected(collected)
                    }
                    Err(error) => failed(&error),
                }
            }
            StoreWork::Verify => match audit(store, pool, &|done, total| progress.note(done, total)).await {
                Ok(found) => {
                    tell_damage(events, &found.damaged, &found.broken);
                    Outcome::Audited(found)
                }
                Err(error) => failed(&error),
            },
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Outcome {
    let why = causes(error).to_string();
    tracing::error!(error = why, "work on the store failed");
    Outcome::Failed(why)
}

impl Progress {
    fn note(&self, done_bytes: u64, total_bytes: u64) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
    }

    /// Counts the chunks of a copy by the length that nearly all of them have.
    pub fn note_copy(&self, seen: CopyProgress) {
        let (CopyProgress::Copying { done, total } | CopyProgress::ReadingBack { done, total }) = seen;
        let bytes = |chunks: u64| chunks.saturating_mul(ChunkSize::DEFAULT.bytes());
        self.note(bytes(done), bytes(total));
    }
}

/// Tells of a collection that freed something, and of what it met.
pub(super) fn tell_collected(events: &Events, collected: &Collected) {
    let Collected { freed_bytes, removed_packs, rewritten_packs, out_of_room, .. } = *collected;
    tell_damage(events, &collected.damaged, &[]);
    if removed_packs > 0 || rewritten_packs > 0 || out_of_room {
        events.emit(Event::StoreCollected { freed_bytes, removed_packs, rewritten_packs, out_of_room });
    }
}

/// Tells of damage, and of the versions that lack something by it.
pub(super) fn tell_damage(events: &Events, damaged: &[Damage], broken: &[BrokenVersion]) {
    for Damage { chunk, pack, detail } in damaged {
        events.emit(Event::ChunkFoundDamaged { chunk: *chunk, detail: format!("pack {pack}: {detail}") });
    }
    for BrokenVersion { version, lost_chunks, .. } in broken {
        events.emit(Event::VersionFoundBroken { version: version.to_string(), lost_chunks: *lost_chunks });
    }
}
