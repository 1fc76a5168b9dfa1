//! Collections against what is expected of them: what is marked or held stays, whatever happens, and what is not goes.

mod at_once;
mod crashes;
mod damage;
mod model;
mod recompress;

use std::num::NonZeroUsize;

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, open, seal},
    disk::table::{PartitionTable, Scheme},
    manifest::{Content, DiskGeometry, Manifest, ManifestRoot, Region, RegionKind, Run, SignedManifest},
    units::{Extent, SectorSize},
};

use super::{Collected, Sweep};
use crate::{
    clock::Timestamp,
    imaging::store::{
        Store, StoreOptions, error::StoreError, faulty::Disk, intake::Intake, pace::Pace, power::PowerDisk,
    },
};

/// Small packs, so that a few chunks fill several.
const OPTIONS: StoreOptions = StoreOptions {
    pack_bytes: 4096,
    reserve_bytes: 0,
    hashers: NonZeroUsize::new(2).expect("two"),
    intake_bytes: 4 << 20,
};

const SWEEP: Sweep = Sweep { dry_run: false, recompress: false, pace: Pace::UNLIMITED };

/// A chunk of a kilobyte of noise, told from others by its number: three of them fill a pack.
fn content(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    blake3::Hasher::new_derive_key("noise").update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

fn ids(numbers: &[u8]) -> Vec<ChunkId> {
    numbers.iter().map(|&number| ChunkId::of(&content(number))).collect()
}

/// A manifest that names these chunks; the store does not look at what else it says.
fn manifest(numbers: &[u8]) -> SignedManifest {
    let chunk_size = ChunkSize::DEFAULT;
    let length_bytes = (numbers.len() as u64 * chunk_size.bytes()).max(1);
    let (logical_sector, physical_sector) = (SectorSize::B512, SectorSize::B512);
    let content = Manifest {
        disk: DiskGeometry { size_bytes: length_bytes, logical_sector, physical_sector },
        chunk_size,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(ids(numbers))],
        }],
        unread: vec![],
    };
    SignedManifest::sign(&content, &SigningKey::from_bytes(&[3; 32]))
}

async fn put(store: &Store, numbers: &[u8]) -> Result<(), StoreError> {
    let intake = store.intake();
    intake.put(numbers.iter().map(|&number| seal(&content(number))).collect()).await?;
    intake.finish().await.map(drop)
}

/// Stores what a version needs, as a capture does; whoever calls this lists it.
async fn publish(store: &Store, numbers: &[u8]) -> Result<ManifestRoot, StoreError> {
    put(store, numbers).await?;
    store.put_manifest(&manifest(numbers)).await
}

async fn collect(store: &Store, listed: &[ManifestRoot]) -> Result<Collected, StoreError> {
    let mut collection = store.begin_collection()?;
    for &root in listed {
        collection.mark(root).await?;
    }
    collection.sweep(SWEEP, &|_progress| {}).await
}

/// Everything of a version reads back from the disk.
async fn check_holds(store: &Store, numbers: &[u8]) -> Result<(), String> {
    let wanted = ids(numbers);
    let found = store.verify(&wanted, &|_| ()).await.map_err(|error| error.to_string())?;
    if !found.damaged.is_empty() || !found.missing.is_empty() {
        return Err(format!("{numbers:?}: {found:?}"));
    }
    let chunks = store.read_many(&wanted).await.map_err(|error| error.to_string())?;
    for (&number, sealed) in numbers.iter().zip(chunks) {
        assert_eq!(open(&sealed), Ok(content(number)));
    }
    let root = manifest(numbers).root();
    store.read_manifest(root).await.map(drop).map_err(|error| error.to_string())
}

async fn assert_holds(store: &Store, numbers: &[u8]) {
    check_holds(store, numbers).await.expect("the version is whole");
}
/// A capture under way, with the disk it is of and what it was told to bring.
struct Capture {
    intake: Intake,
    numbers: Vec<u8>,
    to_bring: Vec<u8>,
}

impl Capture {
    async fn begin(store: &Store, numbers: Vec<u8>) -> Self {
        let intake = store.intake();
        let missing = intake.missing(&ids(&numbers)).await.expect("asked");
        let to_bring =
            numbers.iter().copied().filter(|&number| missing.contains(&ids(&[number])[0])).collect();
        Self { intake, numbers, to_bring }
    }

    async fn bring(&mut self, count: usize) {
        let count = count.min(self.to_bring.len());
        let some: Vec<_> = self.to_bring.drain(..count).map(|number| seal(&content(number))).collect();
        self.intake.put(some).await.expect("taken");
    }
}
#[tokio::test]
async fn what_no_version_needs_goes_and_what_one_needs_stays() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let (one, two): (Vec<u8>, Vec<u8>) = ((0..12).collect(), (9..21).collect());
    let first = publish(&store, &one).await.expect("published");
    let second = publish(&store, &two).await.expect("published");
    let before = store.stats().await.expect("stats");
    assert_eq!(collect(&store, &[first, second]).await.expect("collected"), Collected::default());

    let planned = {
        let mut collection = store.begin_collection().expect("nobody else collects");
        assert!(matches!(store.begin_collection(), Err(StoreError::Collecting)));
        collection.mark(second).await.expect("marked");
        collection.sweep(Sweep { dry_run: true, ..SWEEP }, &|_| ()).await.expect("planned")
    };
    assert_eq!(store.stats().await.expect("stats"), before, "a dry run changes nothing");
    let collected = collect(&store, &[second]).await.expect("collected");
    assert_eq!((collected.removed_packs, collected.removed_manifests), (3, 1), "{collected:?}");
    assert_eq!(collected, planned);
    let after = store.stats().await.expect("stats");
    assert_eq!(before.pack_bytes - after.pack_bytes, collected.freed_bytes);
    assert_eq!(store.missing(&ids(&one)), ids(&one[..9]));
    assert_holds(&store, &two).await;
    assert!(matches!(store.read_manifest(first).await, Err(StoreError::ManifestMissing { .. })));
    // Nothing was left on the disk that the store does not know.
    let reopened = disk.open(OPTIONS).await;
    assert_eq!(reopened.stats().await.expect("stats"), after);
    assert_holds(&reopened, &two).await;

    collect(&reopened, &[]).await.expect("collected");
    assert_eq!(disk.names().await, [""; 0]);
}

#[tokio::test]
async fn packs_that_are_mostly_waste_are_copied_into_few() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    // Of each pack of three chunks, the second version needs one.
    let all: Vec<u8> = (0..18).collect();
    let some: Vec<u8> = (0..18).step_by(3).collect();
    publish(&store, &all).await.expect("published");
    let kept = publish(&store, &some).await.expect("published");
    assert_eq!(disk.pack_names().await.len(), 6);
    let collected = collect(&store, &[kept]).await.expect("collected");
    assert_eq!((collected.removed_packs, collected.rewritten_packs), (0, 6), "{collected:?}");
    assert_eq!(disk.pack_names().await.len(), 2);
    assert_eq!(store.stats().await.expect("stats").chunks, 6);
    assert_holds(&store, &some).await;
    assert!(store.unproved(&ids(&some), Timestamp(0)).is_empty(), "copies were read back");
    assert_holds(&disk.open(OPTIONS).await, &some).await;
    assert_eq!(collect(&store, &[kept]).await.expect("collected"), Collected::default());
}

#[tokio::test]
async fn what_a_capture_was_told_is_there_stays_until_its_version_is_listed_or_it_ends() {
    let store = Disk::default().open(OPTIONS).await;
    put(&store, &[1, 2, 3, 4, 5, 6]).await.expect("left by a capture that ended");
    let capture = store.intake();
    assert_eq!(capture.missing(&ids(&[2, 7])).await.expect("asked"), ids(&[7]));
    // Bringing a chunk that is there already relies on it just the same.
    capture.put(vec![seal(&content(5))]).await.expect("taken");
    collect(&store, &[]).await.expect("collected");
    assert_eq!(store.missing(&ids(&[1, 2, 3, 4, 5, 6])), ids(&[1, 3, 4, 6]));
    // What is not there any more is asked for, and what was brought meanwhile stays too.
    assert_eq!(capture.missing(&ids(&[3])).await.expect("asked"), ids(&[3]));
    capture.put([3, 7].map(|number| seal(&content(number))).into()).await.expect("taken");
    capture.finish().await.expect("finished");
    collect(&store, &[]).await.expect("collected");
    let root = store.put_manifest(&manifest(&[2, 3, 5, 7])).await.expect("written");
    collect(&store, &[]).await.expect("it is not listed yet");
    assert_holds(&store, &[2, 3, 5, 7]).await;
    collect(&store, &[root]).await.expect("it is listed");
    drop(capture);
    collect(&store, &[root]).await.expect("listed, and the capture has ended");
    assert_holds(&store, &[2, 3, 5, 7]).await;
    collect(&store, &[]).await.expect("it was removed");
    assert_eq!(store.stats().await.expect("stats").packs, 0);
}

#[tokio::test]
async fn a_version_that_is_listed_while_a_collection_marks_is_not_collected() {
    let store = Disk::default().open(OPTIONS).await;
    let hold = store.hold();
    let collection = store.begin_collection().expect("nobody else collects");
    // The collection has listed the versions by now, without this one; its capture ends before the sweep.
    let root = publish(&store, &[1, 2, 3]).await.expect("published");
    assert!(hold.missing(&ids(&[1, 2, 3])).is_empty());
    drop(hold);
    collection.sweep(SWEEP, &|_| ()).await.expect("swept");
    assert_holds(&store, &[1, 2, 3]).await;
    collect(&store, &[root]).await.expect("collected");
    assert_holds(&store, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_pack_that_is_brought_again_while_it_is_removed_stays() {
    let disk = PowerDisk::default();
    let store = disk.open(OPTIONS).await.expect("store opens");
    for round in 0..40 {
        publish(&store, &[1, 2, 3]).await.expect("published");
        // The same chunks in the same order make a pack of the same name.
        let capture = async {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            let intake = store.intake();
            intake.put([1, 2, 3].map(|number| seal(&content(number))).into()).await.expect("taken");
            intake.finish().await.expect("finished");
            intake
        };
        let (collected, intake) = tokio::join!(collect(&store, &[]), capture);
        collected.expect("collected");
        assert!(intake.missing(&ids(&[1, 2, 3])).await.expect("asked").is_empty(), "round {round}");
        let found = store.verify(&ids(&[1, 2, 3]), &|_| ()).await.expect("verified");
        assert_eq!(found.proved_chunks, 3, "round {round}: {found:?}");
        drop(intake);
        collect(&store, &[]).await.expect("collected");
    }
}

/// What the test above seldom meets: the pack was brought again before its old self is removed.
#[tokio::test]
async fn what_the_store_knows_is_not_removed_by_name() {
    let store = Disk::default().open(OPTIONS).await;
    let hold = store.hold();
    let root = publish(&store, &[1, 2, 3]).await.expect("published");
    let pack = store.pack_names().remove(0);
    assert!(!store.remove_pack(pack).await.expect("asked"), "it is in the index");
    let floor = store.index_mut().begin_collection();
    assert!(!store.remove_manifest(root, floor).await.expect("asked"), "it was put by one who holds");
    assert_holds(&store, &[1, 2, 3]).await;
    drop(hold);
    let floor = store.index_mut().begin_collection();
    assert!(store.remove_manifest(root, floor).await.expect("asked"));
}
#[tokio::test]
async fn packs_that_were_promised_whole_meanwhile_are_not_copied() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let all: Vec<u8> = (0..18).collect();
    publish(&store, &all).await.expect("published");
    let root = publish(&store, &[3, 6, 9, 12, 15]).await.expect("published");
    let mut collection = store.begin_collection().expect("nobody else collects");
    collection.mark(root).await.expect("marked");
    // The first pack is all waste; once it is gone a capture is told that the others are here.
    let capture = store.hold();
    let told = |_| drop(capture.missing(&ids(&all[3..])));
    let collected = collection.sweep(SWEEP, &told).await.expect("swept");
    assert_eq!((collected.removed_packs, collected.rewritten_packs), (1, 0), "{collected:?}");
    assert_eq!(capture.missing(&ids(&all)), ids(&all[..3]));
    assert_eq!(disk.pack_names().await.len(), 5);
}
