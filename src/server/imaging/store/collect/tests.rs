//! Collections against a model: what is marked or held stays, whatever happens, and what is not goes in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, open, seal},
    disk::table::{PartitionTable, Scheme},
    manifest::{Content, DiskGeometry, Manifest, ManifestRoot, Region, RegionKind, Run, SignedManifest},
    units::{Extent, SectorSize},
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::{Collected, Sweep};
use crate::clock::Timestamp;
use crate::imaging::store::{
    Store, StoreOptions,
    error::StoreError,
    faulty::{Cut, Disk},
    hold::Hold,
    intake::Intake,
    pace::Pace,
    power::{Fault, OUTCOMES, Outcome, PowerDisk},
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
async fn a_deploy_reads_on_while_its_chunks_move() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let kept: Vec<u8> = (0..60).step_by(3).collect();
    publish(&store, &(0..60).collect::<Vec<u8>>()).await.expect("published");
    let root = publish(&store, &kept).await.expect("published");
    let reading = {
        let (store, kept) = (store.clone(), kept.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                let chunks = store.read_many(&ids(&kept)).await.expect("chunks are read");
                assert!(
                    kept.iter().zip(&chunks).all(|(&number, sealed)| open(sealed) == Ok(content(number)))
                );
                tokio::task::yield_now().await;
            }
        })
    };
    let collected = collect(&store, &[root]).await.expect("collected");
    assert_eq!(collected.rewritten_packs, 20);
    reading.await.expect("every read was right");
    assert_eq!(store.stats().await.expect("stats").damaged_chunks, 0, "a move is no damage");
}

/// Two captures that are listed and removed again, a deploy, and collections, for a while and all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn captures_a_deploy_and_collections_at_once_cost_no_needed_chunk() {
    let store = Disk::default().open(OPTIONS).await;
    let deployed: Vec<u8> = (0..40).step_by(2).collect();
    let root = publish(&store, &deployed).await.expect("published");
    let listed = Arc::new(Mutex::new(BTreeMap::from([(root.0, deployed.clone())])));
    let captures: Vec<_> = [3, 7]
        .into_iter()
        .map(|step: u8| {
            let (store, listed) = (store.clone(), listed.clone());
            tokio::spawn(async move {
                for round in 0..60u8 {
                    let numbers: Vec<u8> = (0..20).map(|at| (round + at * step) % 60).collect();
                    let mut capture = Capture::begin(&store, numbers.clone()).await;
                    while !capture.to_bring.is_empty() {
                        capture.bring(4).await;
                        tokio::task::yield_now().await;
                    }
                    capture.intake.finish().await.expect("finished");
                    assert_eq!(store.hold().missing(&ids(&numbers)), [], "what was promised is there");
                    let root = store.put_manifest(&manifest(&numbers)).await.expect("written");
                    listed.lock().expect("lock").insert(root.0, numbers.clone());
                    drop(capture);
                    check_holds(&store, &numbers).await.expect("what was listed is whole");
                    if round % 5 != 0 {
                        listed.lock().expect("lock").retain(|_, kept| *kept != numbers);
                    }
                }
            })
        })
        .collect();
    let reading = {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let chunks = store.read_many(&ids(&deployed)).await.expect("the deploy goes on");
                assert!(
                    deployed.iter().zip(&chunks).all(|(&number, sealed)| open(sealed) == Ok(content(number)))
                );
                tokio::task::yield_now().await;
            }
        })
    };
    let mut collections = 0;
    while captures.iter().any(|capture| !capture.is_finished()) || collections < 3 {
        let mut collection = store.begin_collection().expect("nobody else collects");
        let roots: Vec<_> = listed.lock().expect("lock").keys().map(|&root| ManifestRoot(root)).collect();
        for root in roots {
            collection.mark(root).await.expect("a listed version has its manifest");
        }
        collection.sweep(SWEEP, &|_| ()).await.expect("swept");
        collections += 1;
    }
    for capture in captures {
        capture.await.expect("no capture failed");
    }
    reading.await.expect("every read was right");
    let left = listed.lock().expect("lock").clone();
    for numbers in left.values() {
        assert_holds(&store, numbers).await;
    }
    assert_eq!(store.stats().await.expect("stats").damaged_chunks, 0);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_everything() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let root = publish(&store, &[1, 2, 3]).await.expect("published");
    publish(&store, &[4, 5, 6]).await.expect("published");
    disk.write(&format!("manifests/{root}.manifest"), vec![1; 90]).await;
    let error = collect(&store, &[root]).await.expect_err("nobody knows what it needs");
    assert!(matches!(error, StoreError::ManifestDamaged { .. }), "{error}");
    assert!(store.missing(&ids(&[1, 2, 3, 4, 5, 6])).is_empty());
    assert_eq!(disk.pack_names().await.len(), 2);
}

#[tokio::test]
async fn the_only_damaged_copy_of_a_needed_chunk_stays_until_it_is_brought_again() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let root = publish(&store, &[1, 8]).await.expect("published");
    put(&store, &[2, 3, 4, 5, 6]).await.expect("taken");
    let harmed = rot(&disk, 1).await.pop().expect("one pack has it");
    assert_eq!(store.verify(&ids(&[1]), &|_| ()).await.expect("verified").damaged.len(), 1);
    let collected = collect(&store, &[root]).await.expect("collected");
    assert_eq!(collected.lost_chunks, 1);
    assert_eq!(disk.pack_names().await, std::slice::from_ref(&harmed));
    put(&store, &[1]).await.expect("brought again");
    assert_eq!(collect(&store, &[root]).await.expect("collected").lost_chunks, 0);
    assert!(!disk.pack_names().await.contains(&harmed));
    assert_holds(&disk.open(OPTIONS).await, &[1, 8]).await;
}

/// Changes a byte in the record of this chunk, in each pack that begins with it, and gives the names of those packs.
async fn rot(disk: &Disk, number: u8) -> Vec<String> {
    let mut harmed = Vec::new();
    for name in disk.pack_names().await {
        let mut bytes = disk.read(&name).await;
        if bytes[48..].starts_with(&content(number)) {
            bytes[60] ^= 1;
            disk.write(&name, bytes).await;
            harmed.push(name);
        }
    }
    harmed
}

#[tokio::test]
async fn the_last_copy_of_a_chunk_that_was_condemned_after_it_was_marked_stays() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    publish(&store, &[1, 2, 3]).await.expect("published");
    let root = publish(&store, &[1]).await.expect("published");
    let pack = disk.pack_names().await.remove(0);
    let mut collection = store.begin_collection().expect("nobody else collects");
    collection.mark(root).await.expect("marked");
    // A scrub meets an error of the disk that passes.
    let located = store.index().locate(ids(&[1])[0]).expect("it is here");
    store.note_damage(&located, "an error of the disk".into()).expect("it was here");
    collection.sweep(SWEEP, &|_| ()).await.expect("swept");
    assert_eq!(disk.pack_names().await, [pack]);
    assert!(
        matches!(store.read_many(&ids(&[1])).await, Err(StoreError::Damaged(_))),
        "it is still known as lost"
    );
    assert_eq!(collect(&store, &[root]).await.expect("collected").lost_chunks, 1);
    assert_holds(&disk.open(OPTIONS).await, &[1]).await;
}

/// A store with chunk 1 at the beginning of two packs, and the names of their objects: that from which it is read, and
/// the other.
async fn with_a_spare(disk: &Disk) -> (Store, String, String) {
    for numbers in [[1, 2, 3], [1, 4, 5]] {
        let other = Disk::default();
        put(&other.open(OPTIONS).await, &numbers).await.expect("taken");
        let name = other.pack_names().await.remove(0);
        disk.write(&name, other.read(&name).await).await;
    }
    let store = disk.open(OPTIONS).await;
    let main = store.index().locate(ids(&[1])[0]).expect("it is here").pack.object();
    let spare = disk.pack_names().await.into_iter().find(|name| *name != main).expect("there are two");
    (store, main, spare)
}

async fn harm(disk: &Disk, name: &str) {
    let mut bytes = disk.read(name).await;
    bytes[60] ^= 1;
    disk.write(name, bytes).await;
}

#[tokio::test]
async fn a_good_spare_stays_where_what_was_proved_long_ago_has_rotted() {
    let disk = Disk::default();
    let (store, main, _) = with_a_spare(&disk).await;
    let root = publish(&store, &[1]).await.expect("published");
    assert_eq!(store.verify(&ids(&[1]), &|_| ()).await.expect("verified").proved_chunks, 1);
    harm(&disk, &main).await;
    collect(&store, &[root]).await.expect("collected");
    assert_holds(&store, &[1]).await;
    assert_holds(&disk.open(OPTIONS).await, &[1]).await;
}

#[tokio::test]
async fn a_spare_without_a_footer_stays_where_the_other_copy_has_rotted() {
    let disk = Disk::default();
    let (store, main, spare) = with_a_spare(&disk).await;
    let root = publish(&store, &[1]).await.expect("published");
    harm(&disk, &main).await;
    let mut bytes = disk.read(&spare).await;
    bytes.pop();
    disk.write(&spare, bytes).await;
    collect(&store, &[root]).await.expect("collected");
    assert!(disk.pack_names().await.contains(&spare), "somebody may still get the chunk from it");
    assert!(matches!(store.read_many(&ids(&[1])).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn what_proves_damaged_while_it_is_copied_is_told_and_its_pack_stays() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    publish(&store, &[1, 2, 3]).await.expect("published");
    let root = publish(&store, &[1, 3]).await.expect("published");
    let pack = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&pack).await;
    bytes[60] ^= 1;
    disk.write(&pack, bytes).await;
    let collected = collect(&store, &[root]).await.expect("collected");
    let [damage] = collected.damaged.as_slice() else { panic!("one is damaged: {collected:?}") };
    assert_eq!(damage.chunk, ids(&[1])[0]);
    assert!(disk.pack_names().await.contains(&pack));
    let found = store.verify(&ids(&[1, 3]), &|_| ()).await.expect("verified");
    assert_eq!((found.proved_chunks, found.damaged.len()), (1, 1));
}

#[tokio::test]
async fn a_pack_without_a_footer_goes_when_every_version_has_its_chunks_elsewhere() {
    let disk = Disk::default();
    let root = publish(&disk.open(OPTIONS).await, &[1, 2, 3]).await.expect("published");
    let pack = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&pack).await;
    bytes.pop();
    disk.write(&pack, bytes).await;
    let store = disk.open(OPTIONS).await;
    assert_eq!(collect(&store, &[root]).await.expect("collected").lost_chunks, 3);
    assert_eq!(disk.pack_names().await.len(), 1, "somebody may still get something from it");
    put(&store, &[3, 2, 1]).await.expect("brought again");
    assert_eq!(collect(&store, &[root]).await.expect("collected").removed_packs, 1);
    assert!(!disk.pack_names().await.contains(&pack));
    assert_holds(&disk.open(OPTIONS).await, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_pack_without_a_footer_stays_where_what_was_brought_again_has_rotted() {
    let disk = Disk::default();
    let root = publish(&disk.open(OPTIONS).await, &[1, 2, 3]).await.expect("published");
    let pack = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&pack).await;
    bytes.pop();
    disk.write(&pack, bytes).await;
    let store = disk.open(OPTIONS).await;
    put(&store, &[3, 2, 1]).await.expect("brought again");
    let again = disk.pack_names().await.into_iter().find(|name| *name != pack).expect("there are two");
    harm(&disk, &again).await;
    let collected = collect(&store, &[root]).await.expect("collected");
    assert_eq!(collected.damaged.len(), 1, "{collected:?}");
    assert_eq!(disk.pack_names().await.len(), 2);
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

const KEPT: [u8; 8] = [0, 3, 4, 5, 6, 9, 12, 13];

/// Collects on a disk that fails at one write, and looks at what the next server finds. Gives whether the collection
/// had ended before.
async fn collect_failing(write: u64, fault: Fault, outcome: Outcome) -> Result<bool, String> {
    let disk = PowerDisk::default();
    let store = disk.open(OPTIONS).await.expect("store opens");
    publish(&store, &(0..18).collect::<Vec<u8>>()).await.expect("published");
    let root = publish(&store, &KEPT).await.expect("published");
    disk.fail_at(write, fault);
    let result = collect(&store, &[root]).await;
    let survived = result.as_ref().is_ok_and(|collected| !collected.out_of_room);
    if let (Err(error), Fault::NoRoom) = (&result, fault) {
        return Err(format!("a full disk fails a collection: {error}"));
    }
    if fault == Fault::NoRoom {
        check_holds(&store, &KEPT).await?;
        disk.make_room();
    }
    let disk = disk.after_power_cut(outcome).await;
    let store = disk.open(OPTIONS).await.map_err(|error| error.to_string())?;
    let stats = store.stats().await.map_err(|error| error.to_string())?;
    if !stats.unreadable_packs.is_empty() {
        return Err(format!("{:?}", stats.unreadable_packs));
    }
    check_holds(&store, &KEPT).await?;
    // The next collection takes what this one left, and nothing else.
    collect(&store, &[root]).await.map_err(|error| error.to_string())?;
    check_holds(&store, &KEPT).await?;
    let store = disk.open(OPTIONS).await.map_err(|error| error.to_string())?;
    check_holds(&store, &KEPT).await?;
    let stats = store.stats().await.map_err(|error| error.to_string())?;
    let least = KEPT.len() as u64 * (1024 + 48 + 44);
    if stats.pack_bytes > least * 5 / 4 + 64 * stats.packs {
        return Err(format!("{} bytes are left for {least}", stats.pack_bytes));
    }
    Ok(survived)
}

/// Every write of a collection in turn: of each copy its writing, its synchronising, its move and the folder's
/// synchronising, and each removal.
#[tokio::test]
async fn after_a_power_cut_at_any_step_of_a_collection_no_version_lacks_a_chunk() {
    for fault in [Fault::PowerCut(Cut::Before), Fault::PowerCut(Cut::After)] {
        for outcome in OUTCOMES {
            let mut write = 0;
            while !collect_failing(write, fault, outcome)
                .await
                .unwrap_or_else(|wrong| panic!("write {write}, {fault:?}, left {outcome:?}: {wrong}"))
            {
                write += 1;
            }
            // One manifest, one pack that is all waste, two copies of four steps, five packs.
            assert!(write >= 12, "the power was cut at {write} writes");
        }
    }
}

#[tokio::test]
async fn a_full_disk_at_any_step_of_a_collection_costs_nothing_but_what_it_would_have_freed() {
    let mut write = 0;
    while !collect_failing(write, Fault::NoRoom, Outcome::Nothing)
        .await
        .unwrap_or_else(|wrong| panic!("write {write}: {wrong}"))
    {
        write += 1;
    }
    assert!(write >= 4, "{write} writes found no room");
}

/// What may happen to a store in its life.
#[derive(Debug, Clone)]
enum Op {
    /// A capture learns what is missing of its disk, and brings that later.
    Ask(Vec<u8>),
    /// It brings some of what it lacks.
    Bring(usize),
    /// It brings the rest, hands in its manifest, and is listed.
    Publish,
    /// It dies.
    Abandon,
    /// The version of this place in the list is removed.
    Remove(prop::sample::Index),
    Collect,
    /// A collection is dropped after so many turns.
    CollectABit(u8),
    /// A collection during which the power goes.
    CollectWithCut(u64, bool, prop::sample::Index),
    Kill,
}

fn any_op() -> impl Strategy<Value = Op> {
    let numbers = || prop::collection::vec(0u8..30, 1..12);
    prop_oneof![
        4 => numbers().prop_map(Op::Ask),
        3 => (1usize..6).prop_map(Op::Bring),
        5 => Just(Op::Publish),
        1 => Just(Op::Abandon),
        4 => any::<prop::sample::Index>().prop_map(Op::Remove),
        4 => Just(Op::Collect),
        1 => (1u8..30).prop_map(Op::CollectABit),
        2 => (0u64..20, any::<bool>(), any::<prop::sample::Index>())
            .prop_map(|(write, after, left)| Op::CollectWithCut(write, after, left)),
        1 => Just(Op::Kill),
    ]
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

struct House {
    disk: PowerDisk,
    store: Store,
    capture: Option<Capture>,
    listed: BTreeMap<[u8; 32], Vec<u8>>,
}

impl House {
    async fn restart(&mut self, disk: PowerDisk) {
        self.capture = None;
        self.store = disk.open(OPTIONS).await.expect("store opens");
        self.disk = disk;
        assert_eq!(self.store.stats().await.expect("stats").unreadable_packs, []);
    }

    async fn publish(&mut self) {
        let Some(mut capture) = self.capture.take() else { return };
        capture.bring(usize::MAX).await;
        capture.intake.finish().await.expect("finished");
        let hold: Hold = self.store.hold();
        // The promise: whatever was collected meanwhile, nothing that the capture was told is there.
        assert_eq!(hold.missing(&ids(&capture.numbers)), []);
        let root = self.store.put_manifest(&manifest(&capture.numbers)).await.expect("written");
        self.listed.insert(root.0, capture.numbers);
    }

    fn roots(&self) -> Vec<ManifestRoot> {
        self.listed.keys().map(|&root| ManifestRoot(root)).collect()
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Ask(numbers) => self.capture = Some(Capture::begin(&self.store, numbers).await),
            Op::Bring(count) => {
                if let Some(capture) = &mut self.capture {
                    capture.bring(count).await;
                }
            }
            Op::Publish => self.publish().await,
            Op::Abandon => self.capture = None,
            Op::Remove(which) if !self.listed.is_empty() => {
                let root = *which.get(&self.roots());
                self.listed.remove(&root.0);
            }
            Op::Remove(_) => {}
            Op::Collect => {
                collect(&self.store, &self.roots()).await.expect("collected");
            }
            Op::CollectABit(turns) => {
                let roots = self.roots();
                let collecting = collect(&self.store, &roots);
                let few = async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    _ = collecting => {}
                    () = few => {}
                }
            }
            Op::CollectWithCut(write, after, left) => {
                let cut = if after { Cut::After } else { Cut::Before };
                self.disk.fail_at(write, Fault::PowerCut(cut));
                let _ended = collect(&self.store, &self.roots()).await;
                let outcome = *left.get(&OUTCOMES);
                let disk = self.disk.after_power_cut(outcome).await;
                self.restart(disk).await;
            }
            Op::Kill => {
                let disk = self.disk.clone();
                self.restart(disk).await;
            }
        }
    }

    async fn check(&self) {
        for numbers in self.listed.values() {
            check_holds(&self.store, numbers).await.expect("every listed version is whole");
        }
    }
}

/// Plays a life against a model: the versions that are listed, and what the running capture was told.
async fn play(ops: Vec<Op>) {
    let disk = PowerDisk::default();
    let store = disk.open(OPTIONS).await.expect("store opens");
    let mut house = House { disk, store, capture: None, listed: BTreeMap::new() };
    for op in ops {
        house.run(op).await;
        house.check().await;
    }
    // In the end nothing is left but what is needed, give or take a fifth.
    house.capture = None;
    let disk = house.disk.clone();
    house.restart(disk).await;
    for _ in 0..2 {
        collect(&house.store, &house.roots()).await.expect("collected");
    }
    house.check().await;
    let needed: BTreeSet<u8> = house.listed.values().flatten().copied().collect();
    let stats = house.store.stats().await.expect("stats");
    let least = needed.len() as u64 * (1024 + 48 + 44);
    assert!(stats.pack_bytes <= least * 5 / 4 + 64 * stats.packs, "{stats:?} for {} chunks", needed.len());
    let manifests = house.disk.names().into_iter().filter(|name| name.starts_with("manifests/")).count();
    assert_eq!(manifests, house.listed.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn captures_removals_collections_and_crashes_never_cost_a_needed_chunk(
        ops in prop::collection::vec(any_op(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(play(ops));
    }
}

/// Text of two kilobytes that shrinks, and shrinks more when it is given time.
fn text(number: u32) -> Vec<u8> {
    let word = |at: u32| format!("word{} ", (number * 1000 + at).wrapping_mul(0x9E37_79B1) >> 23);
    (0..250).flat_map(|at| word(at).into_bytes()).collect()
}

#[tokio::test]
async fn recompression_keeps_every_chunk_and_is_done_once() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let intake = store.intake();
    // Chunks of noise lie among them, and stay as they are.
    let all: Vec<Vec<u8>> = (0..40).map(text).chain((0..4).map(content)).collect();
    intake.put(all.iter().map(|plain| seal(plain)).collect()).await.expect("taken");
    intake.finish().await.expect("finished");
    let before = store.stats().await.expect("counted");
    assert!(store.may_shrink());

    let sweep = Sweep { recompress: true, ..SWEEP };
    let collected = store.begin_collection().expect("begun").sweep(sweep, &|_| ()).await.expect("swept");
    let after = store.stats().await.expect("counted");
    assert_eq!(collected.freed_bytes, before.pack_bytes - after.pack_bytes);
    assert!(after.pack_bytes < before.pack_bytes, "{after:?} after {before:?}");
    assert_eq!(after.chunks, before.chunks);
    assert!(!store.may_shrink(), "nothing is left that may shrink");

    let again = store.begin_collection().expect("begun").sweep(sweep, &|_| ()).await.expect("swept");
    assert_eq!(again, Collected::default());
    for store in [store.clone(), disk.open(OPTIONS).await] {
        assert!(!store.may_shrink());
        for plain in &all {
            let sealed = store.read(ChunkId::of(plain)).await.expect("it is there");
            assert_eq!(open(&sealed).as_ref(), Ok(plain));
        }
    }
    drop(intake);
}
