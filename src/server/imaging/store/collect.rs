//! Garbage collection: what no listed version needs leaves the disk, while captures and deploys go on.
//!
//! 1. [`Store::begin_collection`] fixes the tick before which a promise no longer counts (`hold.rs`).
//! 2. [`Collection::mark`] promises the chunks of each listed version. The versions are listed *after* the beginning:
//!    one that was listed before is marked, one that is being published has a hold, and there is no moment between.
//!    A manifest that cannot be read ends the collection, for nobody knows what it needs.
//! 3. [`Collection::sweep`] removes the manifests that no version names, then the packs of which nothing is needed,
//!    and last it copies what is needed of packs that are mostly waste. So a full disk has room for copies by then.
//!
//! For each pack, the order of steps is what makes a crash between any two of them harmless:
//!
//! - *retire*: the chunks that nobody needs leave the index. Nobody can be promised them any more; whoever asks is
//!   told that they are missing, and brings them anew into another pack.
//! - *copy*: what is needed is read, opened, written into a new pack, made durable, and read back before it has its name:
//!   a sound pack of that very name stays as it is where the copy is not.
//! - *move*: the index names the new places. Deploys that still read from the old pack find it, or look again.
//! - *remove*: the old pack goes, unless a capture has brought a pack of the very same name meanwhile.
//!
//! A crash before *remove* leaves chunks twice, or chunks that nobody needs: the next start finds them, the next
//! collection takes them. A pack that holds the only, damaged copy of a chunk that a version needs is left as it is:
//! somebody may still get something from it.

use std::collections::HashSet;

use mimeo_core::{
    chunk::{self, ChunkId, SealedChunk},
    manifest::{Manifest, ManifestRoot},
};

use super::{
    Store,
    error::{Damage, StoreError},
    index::{
        Located,
        retire::{PackUse, Retired},
    },
    load,
    pace::Pace,
    pack::{ENTRY_BYTES, Pack, PackBuilder, PackEntry, PackName, TRAILER_BYTES},
    span::{self, Found, Span},
    turn::Turn,
};

/// A pack is rewritten when at least a fifth of it is waste: then four bytes at most are moved for each that is
/// freed, and what waste stays is at most a fifth of the store.
const WASTE_MIN_DIVISOR: u64 = 5;

/// A collection may write into the reserve, down to an eighth of it: what it writes is one pack at a time, and more
/// than that is freed right after. The rest is for the database, in which versions are removed.
const RESERVE_DIVISOR: u64 = 8;

/// Chunks that are marked under one lock: a quarter of a millisecond, in which nobody else can look anything up.
const MARKED_AT_ONCE: usize = 1024;

/// A collection that has begun. Dropping it ends it at whatever step it is; a copy that is being written is written to the
/// end and known.
#[derive(Debug)]
pub struct Collection {
    store: Store,
    floor: u32,
    roots: HashSet<ManifestRoot>,
    /// Chunks that versions need and that could not be read when those were marked, each once.
    lost: HashSet<ChunkId>,
    _turn: Turn,
}

/// How a sweep is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// Count what would go, and change nothing.
    pub dry_run: bool,
    /// Rewrite also the packs in which anything may shrink, and compress it again on the way.
    pub recompress: bool,
    pub pace: Pace,
}

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepProgress {
    pub done_bytes: u64,
    /// Length of all packs that are removed or rewritten.
    pub total_bytes: u64,
}

/// What a sweep did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// What the store takes less now.
    pub freed_bytes: u64,
    pub removed_packs: u64,
    /// Packs of which something was needed: copied, and removed.
    pub rewritten_packs: u64,
    /// What was copied for that, as written.
    pub copied_bytes: u64,
    pub removed_manifests: u64,
    /// Chunks that versions need and that the store has lost, each once, however many versions lack it: their packs, where
    /// there are such, were left alone.
    pub lost_chunks: u64,
    /// Chunks that were found damaged while they were to be copied. Their packs were left alone.
    pub damaged: Vec<Damage>,
    /// Packs are left that are mostly waste: the disk has no room to copy what is needed of them.
    pub out_of_room: bool,
}

/// A sweep under way.
struct Sweeping<'a> {
    collection: Collection,
    recompress: bool,
    pace: Pace,
    progress: &'a (dyn Fn(SweepProgress) + Send + Sync),
    done: SweepProgress,
    removed_bytes: u64,
    collected: Collected,
}

/// The packs that a sweep is about.
#[derive(Debug, Default)]
struct Plan {
    dead: Vec<PackUse>,
    wasteful: Vec<PackUse>,
}

/// A pack of which the index has let go what nobody needs.
struct Source {
    name: PackName,
    bytes: u64,
    /// What its footer names or, where that is lost, what was known of it.
    listed: Vec<PackEntry>,
    has_footer: bool,
    live: Vec<Located>,
}

impl Source {
    /// What a pack with nothing but the live chunks would take; 0 where there are none.
    fn live_bytes(&self) -> u64 {
        let record_bytes = |located: &Located| ENTRY_BYTES as u64 + located.place.record_bytes();
        let trailer_bytes = if self.live.is_empty() { 0 } else { TRAILER_BYTES as u64 };
        trailer_bytes + self.live.iter().map(record_bytes).sum::<u64>()
    }
}

/// A chunk of a span, compressed with time. It was proved a moment ago: what goes wrong with that is no damage of its.
fn densified((located, found): Found) -> Found {
    let dense = |sealed: SealedChunk| match chunk::densify(&sealed) {
        Ok(dense) => dense,
        Err(error) => {
            tracing::warn!(chunk = %sealed.id, %error, "store: a chunk is kept as it was, compressing it again failed");
            sealed
        }
    };
    (located, found.map(dense))
}

fn is_wasteful(bytes: u64, live_bytes: u64) -> bool {
    bytes.saturating_sub(live_bytes) >= bytes / WASTE_MIN_DIVISOR
}

impl Store {
    /// Begins a collection; [`StoreError::Collecting`] while another is under way. Whoever calls this lists the
    /// versions after it, and marks each.
    pub fn begin_collection(&self) -> Result<Collection, StoreError> {
        let turn = self.shared.turns.try_take().ok_or(StoreError::Collecting)?;
        Ok(self.collection(turn))
    }

    pub(super) fn collection(&self, turn: Turn) -> Collection {
        let floor = self.index_mut().begin_collection();
        Collection { store: self.clone(), floor, roots: HashSet::new(), lost: HashSet::new(), _turn: turn }
    }

    /// Removes the object of a pack that the index does not know, and says whether it did.
    ///
    /// CANCEL-SAFETY: once it removes it goes on to the end, whoever still waits.
    async fn remove_pack(&self, name: PackName) -> Result<bool, StoreError> {
        let store = self.clone();
        let task = tokio::spawn(async move {
            let _nobody_writes_it = store.shared.names.clone().write_owned().await;
            if store.index().knows(name) {
                return Ok(false);
            }
            store.shared.backend.delete(&name.object()).await.map(|()| true)
        });
        task.await.unwrap_or(Err(StoreError::Stopped))
    }
}

impl Collection {
    /// Marks what a listed version needs.
    pub async fn mark(&mut self, root: ManifestRoot) -> Result<(), StoreError> {
        if !self.roots.insert(root) {
            return Ok(());
        }
        let signed = self.store.read_manifest(root).await?;
        let store = self.store.clone();
        let marked = tokio::task::spawn_blocking(move || {
            let manifest = Manifest::decode(&signed.encoded)
                .map_err(|source| StoreError::ManifestDamaged { root, source })?;
            let ids: Vec<ChunkId> = manifest.data_chunks().map(|(_, id)| id).collect();
            let mut lost = HashSet::new();
            for some in ids.chunks(MARKED_AT_ONCE) {
                let mut index = store.index_mut();
                lost.extend(some.iter().copied().filter(|&id| !index.promise(id)));
            }
            Ok::<_, StoreError>(lost)
        });
        self.lost.extend(marked.await.map_err(|_| StoreError::Stopped)??);
        Ok(())
    }

    /// Removes what was not marked and is held by nobody, and gives what that freed. `progress` is called after each
    /// pack.
    ///
    /// CANCEL-SAFETY: dropping it ends it between two steps.
    pub async fn sweep(
        self,
        sweep: Sweep,
        progress: &(dyn Fn(SweepProgress) + Send + Sync),
    ) -> Result<Collected, StoreError> {
        let plan = self.plan(sweep.recompress);
        if sweep.dry_run {
            return self.estimate(&plan).await;
        }
        let total_bytes = plan.dead.iter().chain(&plan.wasteful).map(|pack| pack.bytes).sum();
        let done = SweepProgress { done_bytes: 0, total_bytes };
        let collected = Collected { lost_chunks: self.lost.len() as u64, ..Collected::default() };
        let Sweep { recompress, pace, .. } = sweep;
        let mut sweeping =
            Sweeping { collection: self, recompress, pace, progress, done, removed_bytes: 0, collected };
        sweeping.remove_manifests().await?;
        sweeping.remove_unreadable().await?;
        let again = sweeping.remove_dead(plan.dead).await?;
        sweeping.rewrite_wasteful([again, plan.wasteful].concat()).await?;
        let Sweeping { collection, removed_bytes, mut collected, .. } = sweeping;
        collected.freed_bytes = removed_bytes.saturating_sub(collected.copied_bytes);
        collection.store.held_manifests().retain(|_, &mut tick| tick >= collection.floor);
        Ok(collected)
    }

    fn plan(&self, recompress: bool) -> Plan {
        let mut plan = Plan::default();
        let (uses, pinned) = {
            let index = self.store.index();
            (index.pack_uses(self.floor), index.pinned(self.floor))
        };
        for pack in uses {
            if pinned.contains(&pack.name) {
                continue;
            }
            if pack.live_chunks == 0 {
                plan.dead.push(pack);
            } else if is_wasteful(pack.bytes, pack.live_bytes) || (recompress && pack.loose_chunks > 0) {
                plan.wasteful.push(pack);
            }
        }
        // What frees most for the least work goes first, should the room or the time not suffice for all.
        plan.wasteful.sort_by_key(|pack| pack.live_bytes);
        plan
    }

    async fn estimate(&self, plan: &Plan) -> Result<Collected, StoreError> {
        let bytes_of = |packs: &[PackUse]| packs.iter().map(|pack| pack.bytes).sum::<u64>();
        let copied_bytes = plan.wasteful.iter().map(|pack| pack.live_bytes).sum();
        let manifests = self.store.list_manifests().await?;
        Ok(Collected {
            freed_bytes: bytes_of(&plan.dead) + bytes_of(&plan.wasteful) - copied_bytes,
            removed_packs: plan.dead.len() as u64,
            rewritten_packs: plan.wasteful.len() as u64,
            copied_bytes,
            removed_manifests: manifests.iter().filter(|root| !self.roots.contains(root)).count() as u64,
            lost_chunks: self.lost.len() as u64,
            ..Collected::default()
        })
    }
}

impl Sweeping<'_> {
    async fn remove_manifests(&mut self) -> Result<(), StoreError> {
        let Collection { store, roots, floor, .. } = &self.collection;
        for root in store.list_manifests().await? {
            if !roots.contains(&root) && store.remove_manifest(root, *floor).await? {
                self.collected.removed_manifests += 1;
            }
        }
        Ok(())
    }

    /// Packs without a readable footer go once every listed version has all of its chunks elsewhere, and those that are
    /// recognised in them were read back there just now. One that cannot be looked through stays.
    async fn remove_unreadable(&mut self) -> Result<(), StoreError> {
        // One that was never recognised may be in any of them.
        let Collection { store, lost, floor, .. } = &self.collection;
        if !lost.is_empty() {
            return Ok(());
        }
        let names: Vec<PackName> =
            store.index().unreadable().iter().map(|unreadable| unreadable.pack).collect();
        for name in names {
            // What its records gave is read from there. The next verification writes it anew.
            if !store.index().find_places_in(name).is_empty() {
                continue;
            }
            let Some(found) = load::salvage(&store.shared.backend, name).await? else { continue };
            let elsewhere: Vec<ChunkId> = {
                let index = store.index();
                found.ids().into_iter().filter(|&id| index.contains(id)).collect()
            };
            let found = store.verify(&elsewhere, &|_progress| {}).await?;
            self.collected.damaged.extend(found.damaged);
            let bytes = store.shared.backend.length(&name.object()).await?.unwrap_or(0);
            if !store.index_mut().forget_unreadable(name, *floor) {
                break;
            }
            if store.remove_pack(name).await? {
                self.collected.removed_packs += 1;
                self.removed_bytes += bytes;
            }
        }
        Ok(())
    }

    /// Removes packs of which nothing is needed. Gives those of which something is, after all.
    async fn remove_dead(&mut self, packs: Vec<PackUse>) -> Result<Vec<PackUse>, StoreError> {
        let mut again = Vec::new();
        for pack in packs {
            let source = self.retire(pack).await?;
            if source.live.is_empty() {
                self.remove_source(&source).await?;
                self.note_done(pack.bytes);
            } else {
                again.push(pack);
            }
        }
        Ok(again)
    }

    /// Copies what is needed of packs, as many into one as fit, and removes them.
    ///
    /// Since they were counted, captures may have been promised much of them: what goes into a copy is what is live when
    /// the pack is retired, and a pack that is no longer wasteful by then is left alone.
    async fn rewrite_wasteful(&mut self, packs: Vec<PackUse>) -> Result<(), StoreError> {
        let pack_bytes = u64::from(self.collection.store.shared.options.pack_bytes);
        let (mut batch, mut batch_bytes, mut limit_bytes) = (Vec::new(), 0, 0);
        for pack in packs {
            let source = self.retire(pack).await?;
            if self.stays(&source) {
                self.note_done(source.bytes);
                continue;
            }
            let live_bytes = source.live_bytes();
            if !batch.is_empty() && batch_bytes + live_bytes > limit_bytes {
                if !self.rewrite_batch(std::mem::take(&mut batch)).await? {
                    return Ok(());
                }
                batch_bytes = 0;
            }
            if batch.is_empty() {
                let room_bytes = self.room_bytes().await?;
                if live_bytes > room_bytes {
                    self.collected.out_of_room = true;
                    return Ok(());
                }
                limit_bytes = pack_bytes.min(room_bytes);
            }
            batch_bytes += live_bytes;
            batch.push(source);
        }
        self.rewrite_batch(batch).await.map(drop)
    }

    /// Whether a pack that was retired is not worth a copy, or has to stay for what is lost in it.
    fn stays(&self, source: &Source) -> bool {
        let Collection { store, floor, .. } = &self.collection;
        let may_shrink = self.recompress && source.live.iter().any(|located| located.place.is_loose());
        let is_worth_it = may_shrink || is_wasteful(source.bytes, source.live_bytes());
        !is_worth_it || store.index().pins(source.name, *floor)
    }

    /// Rewrites packs into one, and says whether there was room.
    async fn rewrite_batch(&mut self, batch: Vec<Source>) -> Result<bool, StoreError> {
        match self.rewrite(&batch).await {
            Err(StoreError::Full { .. }) => {
                self.collected.out_of_room = true;
                return Ok(false);
            }
            rewritten => rewritten?,
        }
        self.note_done(batch.iter().map(|source| source.bytes).sum());
        Ok(true)
    }

    async fn rewrite(&mut self, sources: &[Source]) -> Result<(), StoreError> {
        let live = sources.iter().flat_map(|source| source.live.iter().copied()).collect();
        let (pack, from, spoiled) = self.copy(live).await?;
        if let Some(pack) = pack {
            let copied = from.into_iter().zip(pack.entries.iter().copied());
            let moved: Vec<_> = copied.filter(|(old, _)| !spoiled.contains(&old.pack)).collect();
            self.put_copy(pack, moved).await?;
        }
        for source in sources.iter().filter(|source| !spoiled.contains(&source.name)) {
            self.remove_source(source).await?;
        }
        Ok(())
    }

    /// Lets the index go of what nobody needs of a pack.
    async fn retire(&self, pack: PackUse) -> Result<Source, StoreError> {
        let PackUse { name, bytes, .. } = pack;
        let Collection { store, floor, .. } = &self.collection;
        let entries = match load::load_entries(&store.shared.backend, name).await? {
            Ok(entries) => Some(entries),
            // What the index still knows of it can be rescued; a pack that is gone altogether has lost it.
            Err(error) => {
                tracing::error!(pack = %name, %error, "store: the footer of a pack can no longer be read");
                None
            }
        };
        let known = || store.index().find_places_in(name).iter().map(Located::entry).collect();
        let has_footer = entries.is_some();
        let listed = entries.unwrap_or_else(known);
        let spares = store.index().spares(name, &listed);
        if !spares.is_empty() {
            store.verify(&spares, &|_progress| {}).await?;
        }
        let Retired { live, .. } = store.index_mut().retire(name, &listed, *floor);
        Ok(Source { name, bytes, listed, has_footer, live })
    }

    /// Reads chunks into a new pack. Gives it with the old place of each of its chunks, and the packs in which one
    /// proved damaged.
    async fn copy(
        &mut self,
        live: Vec<Located>,
    ) -> Result<(Option<Pack>, Vec<Located>, HashSet<PackName>), StoreError> {
        let store = self.collection.store.clone();
        let (mut builder, mut from, mut spoiled) = (PackBuilder::default(), Vec::new(), HashSet::new());
        let spans = span::plan(live);
        let limit_bytes = spans.iter().map(Span::record_bytes).sum::<u64>();
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        for span in spans {
            let bytes = span.record_bytes();
            let mut opened = store.open_span(span).await?;
            if self.recompress {
                opened = store.on_hasher(move || opened.into_iter().map(densified).collect()).await?;
            }
            for (located, opened) in opened {
                match opened {
                    Ok(sealed) => {
                        builder.push(&sealed, limit_bytes);
                        from.push(located);
                    }
                    Err(detail) => {
                        spoiled.insert(located.pack);
                        self.collected.damaged.extend(store.note_damage(&located, detail));
                    }
                }
            }
            self.pace.rest(bytes).await;
        }
        let pack = if builder.is_empty() { None } else { Some(builder.finish()) };
        Ok((pack, from, spoiled))
    }

    /// Makes a copy durable, reads it back, and has it read from then on.
    async fn put_copy(&mut self, pack: Pack, moved: Vec<(Located, PackEntry)>) -> Result<(), StoreError> {
        let store = self.collection.store.clone();
        let Pack { name, bytes, .. } = pack;
        let (pack_bytes, reserve_bytes) =
            (bytes.len() as u64, store.shared.options.reserve_bytes / RESERVE_DIVISOR);
        let move_there = move |store: &Store| store.index_mut().move_to(name, pack_bytes, &moved);
        store.put(name.object(), bytes, reserve_bytes, move_there).await?;
        self.collected.copied_bytes += pack_bytes;
        // It was written and read back.
        self.pace.rest(2 * pack_bytes).await;
        Ok(())
    }

    /// Removes a pack of which nothing is in the index any more.
    async fn remove_source(&mut self, source: &Source) -> Result<(), StoreError> {
        let Collection { store, floor, .. } = &self.collection;
        let &Source { name, ref listed, has_footer, .. } = source;
        let forgotten = store.index_mut().forget_pack(name, listed, has_footer, *floor);
        if forgotten && store.remove_pack(source.name).await? {
            match source.live.is_empty() {
                true => self.collected.removed_packs += 1,
                false => self.collected.rewritten_packs += 1,
            }
            self.removed_bytes += source.bytes;
        }
        Ok(())
    }

    /// What a copy may take.
    async fn room_bytes(&self) -> Result<u64, StoreError> {
        let shared = &self.collection.store.shared;
        let free_bytes = shared.backend.free_bytes().await?.unwrap_or(u64::MAX);
        Ok(free_bytes.saturating_sub(shared.options.reserve_bytes / RESERVE_DIVISOR))
    }

    fn note_done(&mut self, bytes: u64) {
        self.done.done_bytes += bytes;
        (self.progress)(self.done);
    }
}

#[cfg(test)]
mod tests;
