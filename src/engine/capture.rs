//! Capture: a disk becomes a version of a master. The source is only read.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mimeo_core::{
    chunk::{ChunkId, Effort, NamedChunk},
    disk::ReadAt,
    failure::FailureCause,
    manifest::{ChunkContent, Manifest, ManifestRoot, Region},
    messages::{CaptureOrder, Phase, VersionReply},
    units::Extent,
};

use crate::disk::{exclusive::SourceDisk, probe::DiskProbe};
use crate::{
    bad_sectors::{BadSectors, zero_unread},
    halt::Halt,
    link::Link,
    pipeline::{self, Width},
    plan::{Plan, PlannedRegion},
    runs::RunBuilder,
    slots::{Pool, Slots, batches, spans},
    used::{ChunkInUse, reads},
};

/// How long is waited before the server is asked again how far its check of the stored chunks has come; it takes a while
/// to answer, too.
const VERIFYING_POLL: Duration = Duration::from_millis(500);

/// How often one chunk may be reported missing after it was handed in. Once is a server that was killed, and so
/// may be twice; a store that still has not kept it never will.
const LOST_MAX: u32 = 3;

pub(crate) fn capture(
    order: &CaptureOrder,
    link: &Link<'_>,
    probe: &dyn DiskProbe,
    width: Width,
) -> Result<(), Halt> {
    link.board.begin(Phase::Prepare, 0);
    let source = SourceDisk::open(&order.source, probe)?;
    let plan = Plan::read(&source, order.chunk_size, order.tolerate_bad_sectors)?;

    let bad_sectors = BadSectors::new(order.tolerate_bad_sectors, source.geometry().logical_sector);
    let pool = Pool::new(order.chunk_size);
    let capture = Capture { link, source, plan, bad_sectors, width, pool };
    link.board.begin(Phase::Read, capture.plan.used_bytes());
    let manifest = capture.read()?;

    link.board.begin(Phase::Verify, manifest.carried_bytes());
    capture.publish(&manifest)?;
    link.board.begin(Phase::Finish, 0);
    Ok(())
}

struct Capture<'a> {
    link: &'a Link<'a>,
    source: SourceDisk,
    plan: Plan,
    bad_sectors: BadSectors,
    width: Width,
    pool: Pool,
}

/// A batch of chunks whose bytes are in memory.
struct Loaded<'p> {
    chunks: Vec<ChunkInUse>,
    slots: Slots<'p>,
}

impl Capture<'_> {
    /// Reads everything in use, hands in what the store lacks, and says what the disk consists of.
    fn read(&self) -> Result<Manifest, Halt> {
        let regions = &self.plan.regions;
        let builder = |region: &PlannedRegion| RunBuilder::new(&region.zeroed, self.plan.chunk_size);
        let mut runs: Vec<RunBuilder> = regions.iter().map(builder).collect();
        let asked = Mutex::new(Asked::default());
        let jobs = batches(self.plan.chunks_in_use(), self.plan.chunk_size).map(|batch| self.load(batch));
        let work = |loaded| self.name_and_hand_in(loaded, &asked);
        pipeline::run(self.width, jobs, work, |named: Vec<(ChunkInUse, ChunkContent)>| {
            let used_bytes: u64 = named.iter().map(|(chunk, _)| chunk.used_bytes()).sum();
            for (chunk, content) in named {
                runs[chunk.region].push(chunk.index, content);
            }
            self.link.board.update(|progress| progress.done_bytes += used_bytes);
            Ok(())
        })?;
        let regions = regions.iter().zip(runs).map(|(planned, runs)| Region {
            place: planned.place,
            kind: planned.kind,
            content: planned.content.clone(),
            runs: runs.finish(planned.place.length_bytes.div_ceil(self.plan.chunk_size.bytes())),
        });
        let regions = regions.collect();
        let manifest = Manifest {
            disk: self.source.geometry(),
            chunk_size: self.plan.chunk_size,
            table: self.plan.table.clone(),
            regions,
            unread: self.bad_sectors.extents(),
        };
        let detail = |error| format!("the captured disk makes no manifest: {error}");
        manifest.check().map_err(|error| FailureCause::Internal { detail: detail(error) })?;
        Ok(manifest)
    }

    /// Reads what is in use of a batch of chunks, in as few requests as that takes.
    fn load(&self, chunks: Vec<ChunkInUse>) -> Result<Loaded<'_>, Halt> {
        if self.link.board.is_stopped() {
            return Err(Halt::Stopped);
        }
        let chunk_size = self.plan.chunk_size;
        let mut slots = self.pool.slots();
        let places: Vec<Extent> = chunks.iter().map(|chunk| chunk.place).collect();
        for span in spans(&places, chunk_size, |_| true) {
            let used = chunks[span.slots.clone()].iter().flat_map(|chunk| &chunk.used);
            for read in reads(used, span.place) {
                let bytes = slots.part_mut(&span, read);
                if let Err(error) = self.source.read_exact_at(bytes, read.start_bytes) {
                    let used = chunks[span.slots.clone()].iter().flat_map(|chunk| &chunk.used);
                    let around = self.bad_sectors.read_around(&self.source, read, used, bytes, &error);
                    self.link.board.update(|progress| progress.unread_sectors = self.bad_sectors.count());
                    around?;
                }
                self.link.board.update(|progress| progress.read_bytes += read.length_bytes);
            }
        }
        for (index, chunk) in chunks.iter().enumerate() {
            chunk.zero_unused(slots.chunk_mut(index, chunk.place));
        }
        Ok(Loaded { chunks, slots })
    }

    /// Names the chunks of a batch and hands in those that neither the store has nor this capture has handed in.
    fn name_and_hand_in(
        &self,
        Loaded { chunks, slots }: Loaded<'_>,
        asked: &Mutex<Asked>,
    ) -> Result<Vec<(ChunkInUse, ChunkContent)>, Halt> {
        let mut fresh = HashMap::new();
        let mut named = Vec::with_capacity(chunks.len());
        for (index, chunk) in chunks.into_iter().enumerate() {
            let plain = slots.chunk(index, chunk.place);
            let content = match name(plain) {
                None => ChunkContent::Zero,
                Some(name) => {
                    if asked.lock().unwrap_or_else(PoisonError::into_inner).ids.insert(name.id()) {
                        fresh.insert(name.id(), name);
                    }
                    ChunkContent::Data(name.id())
                }
            };
            named.push((chunk, content));
        }
        if !fresh.is_empty() {
            let ids: Vec<ChunkId> = fresh.keys().copied().collect();
            let missing = self.link.ask(|server| server.missing(&ids))?;
            // What the server did not get asked about it cannot get.
            let missing: Vec<_> = missing.iter().filter_map(|id| fresh.get(id).copied()).collect();
            let effort = asked.lock().unwrap_or_else(PoisonError::into_inner).effort_after(missing.len());
            self.hand_in(&missing, effort)?;
        }
        Ok(named)
    }

    fn hand_in(&self, chunks: &[NamedChunk<'_>], effort: Effort) -> Result<(), Halt> {
        if chunks.is_empty() {
            return Ok(());
        }
        let bytes = self.link.ask(|server| server.hand_in(chunks, effort))?;
        self.link.board.update(|progress| progress.sent_bytes += bytes);
        Ok(())
    }

    /// Hands in whatever the server finds lacking, the manifest first of all, until the version is published.
    fn publish(&self, manifest: &Manifest) -> Result<(), Halt> {
        let encoded = manifest.encode();
        let root = ManifestRoot::of(&encoded);
        let mut lost: HashMap<ChunkId, u32> = HashMap::new();
        loop {
            // Each try asks first: of an answer that was lost, the server may have the manifest.
            let reply = self.link.ask(|server| match server.ask_version(root)? {
                VersionReply::ManifestWanted => server.publish(&encoded),
                reply => Ok(reply),
            })?;
            match reply {
                VersionReply::Published { version, root } => {
                    tracing::info!(%version, %root, "the version is published");
                    self.link.board.update(|progress| progress.done_bytes = progress.total_bytes);
                    return Ok(());
                }
                VersionReply::Verifying { done_chunks, total_chunks } => {
                    self.link.board.update(|progress| progress.set_share(done_chunks, total_chunks));
                    self.link.sleep(VERIFYING_POLL)?;
                }
                // It was restarted between two words.
                VersionReply::ManifestWanted => self.link.sleep(VERIFYING_POLL)?,
                VersionReply::Missing(list) => {
                    for &id in &list.ids {
                        let times = lost.entry(id).or_default();
                        *times += 1;
                        if *times > LOST_MAX {
                            let detail = format!("chunk {id} was handed in {LOST_MAX} times and is not kept");
                            return Err(FailureCause::StoreFailed { detail }.into());
                        }
                    }
                    self.hand_in_again(manifest, &list.ids)?;
                }
            }
        }
    }

    /// Reads chunks a second time for a store that lost them. A disk that meanwhile gives other bytes is no source
    /// of a master.
    fn hand_in_again(&self, manifest: &Manifest, ids: &[ChunkId]) -> Result<(), Halt> {
        tracing::info!(count = ids.len(), "the store lacks chunks, reading them again");
        let mut wanted: HashSet<ChunkId> = ids.iter().copied().collect();
        let places: HashMap<u64, ChunkId> = manifest
            .data_chunks()
            .filter(|(_, id)| wanted.remove(id))
            .map(|(place, id)| (place.start_bytes, id))
            .collect();
        if let Some(id) = wanted.into_iter().next() {
            let detail = format!("the server asks for chunk {id}, which the manifest does not name");
            return Err(FailureCause::Internal { detail }.into());
        }
        let again = self.plan.chunks_in_use().filter(|chunk| places.contains_key(&chunk.place.start_bytes));
        let jobs = batches(again, self.plan.chunk_size).map(|batch| self.load(batch));
        let work = |Loaded { chunks, mut slots }: Loaded<'_>| {
            let mut again = Vec::with_capacity(chunks.len());
            for (index, chunk) in chunks.iter().enumerate() {
                zero_unread(&manifest.unread, chunk.place, slots.chunk_mut(index, chunk.place));
            }
            for (index, chunk) in chunks.iter().enumerate() {
                let name = NamedChunk::of(slots.chunk(index, chunk.place));
                if name.id() != places[&chunk.place.start_bytes] {
                    let detail = "the disk changed while it was captured".to_owned();
                    let offset_bytes = chunk.place.start_bytes;
                    return Err(Halt::from(FailureCause::ReadFailed { offset_bytes, detail }));
                }
                again.push(name);
            }
            self.hand_in(&again, Effort::Hurried)
        };
        pipeline::run(self.width, jobs, work, |()| Ok(()))
    }
}

/// What a capture has asked the store about.
#[derive(Default)]
struct Asked {
    ids: HashSet<ChunkId>,
    lacked: usize,
}

/// After so many chunks, 32 MiB, it shows whether the store has most of a disk already, ...
const JUDGED_CHUNKS: usize = 256;
/// ... which is where it lacks at most one in so many: at four times the time for each, they take no longer to compress than
/// a disk of which nothing is known.
const LACKED_PART: usize = 4;

impl Asked {
    /// How much time the next chunks may take to compress, now that the store lacks `lacked` more.
    fn effort_after(&mut self, lacked: usize) -> Effort {
        self.lacked += lacked;
        let has_most = self.ids.len() >= JUDGED_CHUNKS && self.lacked * LACKED_PART <= self.ids.len();
        if has_most { Effort::Thorough } else { Effort::Hurried }
    }
}

/// A chunk with its name; `None` for one of zeros, which a manifest does not name.
fn name(plain: &[u8]) -> Option<NamedChunk<'_>> {
    plain.iter().any(|&byte| byte != 0).then(|| NamedChunk::of(plain))
}

#[cfg(test)]
mod tests {
    use mimeo_core::chunk::{ChunkId, Effort};

    use super::Asked;

    #[test]
    fn there_is_time_to_compress_where_the_store_has_most() {
        let mut asked = Asked::default();
        let mut ask = |count: u32, lacked| {
            let first = asked.ids.len() as u32;
            asked.ids.extend((first..first + count).map(|number| ChunkId::of(&number.to_le_bytes())));
            asked.effort_after(lacked)
        };
        assert_eq!(ask(64, 0), Effort::Hurried, "too early to say");
        assert_eq!(ask(192, 64), Effort::Thorough);
        assert_eq!(ask(64, 64), Effort::Hurried, "128 of 320");
        assert_eq!(ask(192, 0), Effort::Thorough, "128 of 512");
    }
}
