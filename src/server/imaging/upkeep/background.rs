//! What is done to the store without anybody asking: slowly, so that captures and deploys do not feel it.
//!
//! *Collection*: ten minutes after a version was removed or the disk got short of room, and once a day for what captures that failed have left.
//! Not in the first hour of a server, though: captures that ran when it stopped come back in that time, and what they
//! were told is there is not to be brought again. One that a person asked for ends it; then the next is due ten minutes later.
//!
//! *Retention*: before the collection of the day, versions go that the configuration says may go.
//!
//! *Recompression*: while no session moves, what captures compressed in a hurry is compressed again, with time. The next
//! session, a removal or a collection ends it at once; what was done until then stays done.
//!
//! *Scrub*: everything is read back once in four weeks. Packs are taken in the order of their names; the name of the
//! last one is kept, at most once a minute, and a server that starts goes on from there. After the last pack come the
//! manifests of the listed versions. What start found without a footer is looked at first: it is to be written anew.

use std::{num::NonZeroU64, time::Duration};

use mimeo_core::causes::causes;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    audit::find_broken,
    census::CensusError,
    collect::{CollectError, collect_in_background},
    jobs::{tell_collected, tell_damage},
    retention::Retention,
    setting,
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::store::{
        READ_BACK_EVERY, SHORT_OF_ROOM_BYTES, Store, collect::Sweep, error::StoreError, pace::Pace,
        pack::PackName,
    },
};

/// Removals come in rows: the first of them is not to begin a collection for itself.
const AFTER_REMOVAL: Duration = Duration::from_secs(600);
const AFTER_START: Duration = Duration::from_secs(3600);
const COLLECT_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A fifth of what a rotating disk gives, for what is read, written and read back: 100 GB of waste in an hour.
const COLLECT_PACE: Pace = mib_per_second(32);

/// A tenth of what a rotating disk gives, and two hundredths of a processor: a terabyte takes 18 hours.
const SCRUB_PACE: Pace = mib_per_second(16);

/// A collection that also compresses, which is slower than this by itself: the pace is for what need not be compressed.
const RECOMPRESS_PACE: Pace = mib_per_second(16);

/// No session has moved for so long: the lesson is over, and not only between two classrooms.
const IDLE_AFTER: Duration = Duration::from_secs(30 * 60);

/// How often the room on the store's disk is looked at.
const MEASURE_EVERY: Duration = Duration::from_secs(600);

/// How often at most the scrub's position is kept: what a restart costs.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// After a failure, or while there is nothing to read.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// The row of table `setting` that holds how far the scrub is, as JSON.
const SETTING: &str = "store_scrub";

const fn mib_per_second(mib: u64) -> Pace {
    match NonZeroU64::new(mib << 20) {
        Some(bytes) => Pace::new(bytes),
        None => Pace::UNLIMITED,
    }
}

/// How far the scrub has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// When this round began: milliseconds since 1970.
    began_ms: i64,
    /// The last pack that was read, by name; `None` at the beginning.
    after: Option<String>,
    /// Whether the manifests were read, too.
    #[serde(default)]
    manifests: bool,
}

/// What works on a store in the background.
#[derive(Debug, Clone)]
pub struct Background {
    store: Store,
    pool: SqlitePool,
    events: Events,
    rules: Rules,
}

/// What the configuration says of the work on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub retention: Retention,
    /// Whether idle time is used to compress again.
    pub recompress: bool,
}

impl Background {
    pub fn new(store: Store, pool: SqlitePool, events: Events, rules: Rules) -> Self {
        Self { store, pool, events, rules }
    }

    /// Collects, compresses, scrubs and measures until it is dropped.
    ///
    /// CANCEL-SAFETY: may be dropped at any point.
    pub async fn keep(&self) {
        tokio::join!(
            self.keep_collected(),
            self.keep_recompressed(),
            self.keep_scrubbed(),
            self.keep_measured()
        );
    }

    async fn keep_collected(&self) {
        let mut heard = self.events.listen();
        let started = Instant::now();
        let mut due = started + AFTER_START;
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    let this = self.clone();
                    let ended = apart(async move { this.expire_and_collect().await }).await;
                    due = Instant::now() + until_next_collection(ended);
                }
                () = removal(&mut heard) => due = due_after_removal(started, due, Instant::now()),
            }
        }
    }

    async fn expire_and_collect(&self) -> Ended {
        // What cannot be removed today can be tomorrow; the collection needs none of it.
        if self.rules.retention != Retention::default()
            && let Err(error) = self.expire().await
        {
            tracing::error!(error = error, "versions whose time is over could not be removed");
        }
        self.collect(Sweep { dry_run: false, recompress: false, pace: COLLECT_PACE }).await
    }

    /// Gives why not, where they could not be removed.
    async fn expire(&self) -> Result<(), String> {
        let broken = find_broken(&self.store, &self.pool).await.map_err(|error| causes(&error))?;
        let applied = self.rules.retention.apply(&self.pool, &self.events, &broken, Timestamp::now()).await;
        applied.map(drop).map_err(|error| causes(&error))
    }

    async fn collect(&self, sweep: Sweep) -> Ended {
        match collect_in_background(&self.store, &self.pool, sweep).await {
            Ok(Some(collected)) => tell_collected(&self.events, &collected),
            Ok(None) | Err(CollectError::Store(StoreError::Collecting)) => {
                tracing::info!("a collection in the background makes room for another");
                return Ended::MetAnother;
            }
            Err(error) => tracing::error!(error = %causes(&error), "the store was not collected"),
        }
        Ended::ByItself
    }

    async fn keep_recompressed(&self) {
        if !self.rules.recompress {
            return;
        }
        let mut heard = self.events.listen();
        // It collects, too.
        sleep(AFTER_START).await;
        loop {
            idle(&mut heard, IDLE_AFTER).await;
            if !self.store.may_shrink() {
                continue;
            }
            let this = self.clone();
            let sweep = Sweep { dry_run: false, recompress: true, pace: RECOMPRESS_PACE };
            tokio::select! {
                _ = apart(async move { this.collect(sweep).await }) => {}
                () = disturbed(&mut heard) => tracing::info!("compressing the store again makes room"),
            }
        }
    }

    /// Tells once when the room on the store's disk gets short, and again only after there was enough meanwhile.
    async fn keep_measured(&self) {
        let mut was_short = false;
        loop {
            match self.store.free_bytes().await {
                Ok(Some(free_bytes)) => {
                    let is_short = free_bytes < SHORT_OF_ROOM_BYTES;
                    if is_short && !was_short {
                        tracing::warn!(free_bytes, "the store's disk gets short of room");
                        self.events.emit(Event::StoreShortOfRoom { free_bytes });
                    }
                    was_short = is_short;
                }
                Ok(None) => return,
                Err(error) => tracing::warn!(error = %causes(&error), "the room of the store is not known"),
            }
            sleep(MEASURE_EVERY).await;
        }
    }

    async fn keep_scrubbed(&self) {
        loop {
            let this = self.clone();
            match apart(async move { this.scrub_round().await }).await {
                Some(Ok(())) => continue,
                Some(Err(error)) => tracing::error!(error = %causes(&error), "the store cannot be scrubbed"),
                None => {}
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Goes on with a round to its end, and waits until the next may begin.
    async fn scrub_round(&self) -> Result<(), CensusError> {
        let mut position = load(&self.pool).await?.unwrap_or_else(begin);
        let mut kept = Instant::now();
        for pack in self.store.packs_without_footer() {
            self.scrub_pack_or_tell(pack).await;
        }
        while let Some(pack) = next_pack(&self.store.pack_names(), position.after.as_deref()) {
            self.scrub_pack_or_tell(pack).await;
            position.after = Some(pack.to_string());
            if kept.elapsed() >= KEEP_EVERY {
                keep(&self.pool, &position).await?;
                kept = Instant::now();
            }
        }
        if !position.manifests {
            self.scrub_manifests().await?;
            position.manifests = true;
        }
        keep(&self.pool, &position).await?;
        sleep(until_next(position.began_ms, Timestamp::now())).await;
        keep(&self.pool, &begin()).await
    }

    /// A version without its manifest is as lost as one without its chunks, and keeps every collection from its work.
    async fn scrub_manifests(&self) -> Result<(), CensusError> {
        let mut broken = find_broken(&self.store, &self.pool).await?;
        // Who lacks chunks was told when they were found damaged.
        broken.retain(|version| version.without_manifest);
        tell_damage(&self.events, &[], &broken);
        Ok(())
    }

    /// One pack that cannot be looked at does not keep the others from being looked at.
    async fn scrub_pack_or_tell(&self, pack: PackName) {
        if let Err(error) = self.scrub_pack(pack).await {
            tracing::error!(%pack, error = %causes(&error), "a pack could not be looked at in this round");
        }
    }

    async fn scrub_pack(&self, pack: PackName) -> Result<(), CensusError> {
        let found = self.store.verify_pack(pack, SCRUB_PACE).await?;
        if !found.damaged.is_empty() {
            let broken = find_broken(&self.store, &self.pool).await?;
            tell_damage(&self.events, &found.damaged, &broken);
        }
        Ok(())
    }
}

/// Runs work in a task of its own, so that a panic in it does not end the server; `None` after one.
async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.inspect_err(|error| tracing::error!(%error, "work on the store broke off")).ok()
}

/// How a collection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// At its end, or at an error that the next one meets as well.
    ByItself,
    /// It met another, or gave way to one.
    MetAnother,
}

/// How long until the next collection; `None` is one that broke off.
fn until_next_collection(ended: Option<Ended>) -> Duration {
    match ended {
        // What the other did, or left when it was ended, nobody knows here.
        Some(Ended::MetAnother) => AFTER_REMOVAL,
        Some(Ended::ByItself) | None => COLLECT_EVERY,
    }
}

/// Waits until no session has moved for so long.
async fn idle(heard: &mut Receiver<Event>, quiet: Duration) {
    while timeout(quiet, session(heard)).await.is_ok() {}
}

/// Waits until a session moves, or may have.
async fn session(heard: &mut Receiver<Event>) {
    hear(heard, is_session).await;
}

/// Waits until a version was removed, or the disk got short of room, or may have.
async fn removal(heard: &mut Receiver<Event>) {
    hear(heard, is_removal).await;
}

/// Waits until something wants the disk that compressing again has: a session, or what was removed and is to be freed.
async fn disturbed(heard: &mut Receiver<Event>) {
    hear(heard, |event| is_session(event) || is_removal(event)).await;
}

fn is_session(event: &Event) -> bool {
    matches!(event, Event::SessionStarted { .. } | Event::SessionProgressed { .. })
}

fn is_removal(event: &Event) -> bool {
    matches!(event, Event::VersionRemoved { .. } | Event::StoreShortOfRoom { .. })
}

/// Waits for such an event, or until some were missed.
async fn hear(heard: &mut Receiver<Event>, is_meant: impl Fn(&Event) -> bool) {
    loop {
        match heard.recv().await {
            Ok(event) if !is_meant(&event) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // The server stops.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// When to collect next, where a version was removed just now.
fn due_after_removal(started: Instant, due: Instant, now: Instant) -> Instant {
    due.min((now + AFTER_REMOVAL).max(started + AFTER_START))
}

/// The pack to read next: names are hashes, so their order has nothing to do with what they hold.
fn next_pack(names: &[PackName], after: Option<&str>) -> Option<PackName> {
    names.iter().copied().find(|name| after.is_none_or(|after| name.to_string().as_str() > after))
}

/// How long until the next round, where this one began then. A clock that was set back makes it no longer.
fn until_next(began_ms: i64, now: Timestamp) -> Duration {
    let next_ms = began_ms.saturating_add(i64::try_from(READ_BACK_EVERY.as_millis()).unwrap_or(i64::MAX));
    let left = Duration::from_millis(u64::try_from(next_ms.saturating_sub(now.0)).unwrap_or(0));
    // A store that is empty, or was read at once, is not asked without end.
    left.clamp(LOOK_AGAIN, READ_BACK_EVERY)
}

fn begin() -> Position {
    Position { began_ms: Timestamp::now().0, after: None, manifests: false }
}

async fn load(pool: &SqlitePool) -> Result<Option<Position>, CensusError> {
    setting::load(pool, SETTING).await.map_err(to_census)
}

async fn keep(pool: &SqlitePool, position: &Position) -> Result<(), CensusError> {
    setting::keep(pool, SETTING, position).await.map_err(to_census)
}

fn to_census(error: sqlx::Error) -> CensusError {
    CensusError::Master(error.into())
}

#[cfg(test)]
mod tests;
