use std::{num::NonZeroUsize, panic::AssertUnwindSafe, sync::Mutex};

use ed25519_dalek::SigningKey;
use futures_util::FutureExt;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, SealedChunk, open, seal},
    disk::table::{PartitionTable, Scheme},
    ids::{ComputerId, SessionId},
    manifest::{Content, DiskGeometry, Manifest, Region, RegionKind, Run},
    units::{Extent, SectorSize},
};
use sqlx::SqlitePool;

use super::{Origin, Publication, PublishError, publish_version};
use crate::{
    clock::Timestamp,
    db,
    imaging::{
        keys::load_signing_key,
        master::{self, MasterRef},
        store::{
            Store, StoreOptions,
            error::StoreError,
            faulty::{Cut, Disk},
        },
    },
};

mod power;

const OPTIONS: StoreOptions = StoreOptions {
    pack_bytes: 400_000,
    intake_bytes: 4_000_000,
    reserve_bytes: 0,
    hashers: NonZeroUsize::new(2).expect("two"),
};
const CHUNK: u64 = 65_536;
const NOW: Timestamp = Timestamp(1_000);

/// A chunk of noise, told from others by its number.
fn content(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK as usize];
    blake3::Hasher::new_derive_key("noise").update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

fn chunks(numbers: &[u8]) -> Vec<SealedChunk> {
    numbers.iter().map(|&number| seal(&content(number))).collect()
}

/// A disk of one region that holds these chunks one after the other.
fn manifest(numbers: &[u8]) -> Manifest {
    let length_bytes = numbers.len() as u64 * CHUNK;
    Manifest {
        disk: DiskGeometry {
            size_bytes: length_bytes + CHUNK,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
        },
        chunk_size: ChunkSize::new(CHUNK as u32).expect("a size"),
        table: PartitionTable {
            scheme: Scheme::Gpt { disk_guid: [7; 16], entry_count: 128, entry_bytes: 128 },
            partitions: vec![],
        },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(numbers.iter().map(|&number| ChunkId::of(&content(number))).collect())],
        }],
        unread: vec![],
    }
}

fn origin(master: &str, session: i64) -> Origin {
    Origin {
        master: master.parse().expect("a name"),
        description: String::new(),
        computer: Some(ComputerId(1)),
        session: Some(SessionId(session)),
        stored_bytes: 0,
        provenance: None,
    }
}

/// An appliance's database and key; its disk is apart, because it can lose its power.
struct Appliance {
    db: SqlitePool,
    key: SigningKey,
}

impl Appliance {
    async fn new() -> Self {
        let db = db::open_in_memory().await.expect("database opens");
        let key = load_signing_key(&db).await.expect("key is made");
        Self { db, key }
    }

    async fn publish(
        &self,
        store: &Store,
        numbers: &[u8],
        origin: &Origin,
    ) -> Result<Publication, PublishError> {
        publish_version(store, &self.db, &self.key, &manifest(numbers), origin, NOW, &|_| ()).await
    }

    /// Hands in chunks and publishes, as a session does.
    async fn capture(
        &self,
        store: &Store,
        numbers: &[u8],
        origin: &Origin,
    ) -> Result<Publication, PublishError> {
        let intake = store.intake();
        intake.put(chunks(numbers)).await?;
        let stored_bytes = intake.finish().await?.bytes;
        self.publish(store, numbers, &Origin { stored_bytes, ..origin.clone() }).await
    }

    async fn listed(&self) -> Vec<String> {
        let masters = master::list(&self.db).await.expect("masters are listed");
        masters.iter().map(|master| format!("{}@{}", master.name, master.latest)).collect()
    }

    /// Every listed version reads back as the disk it was made of.
    async fn assert_deploys(&self, store: &Store, wanted: &str, numbers: &[u8]) {
        self.check_deploys(store, wanted, numbers).await.expect("the version is whole");
    }

    async fn check_deploys(&self, store: &Store, wanted: &str, numbers: &[u8]) -> Result<(), StoreError> {
        let wanted: MasterRef = wanted.parse().expect("a reference");
        let (_, version) = master::load_version(&self.db, &wanted).await.expect("it is listed");
        let signed = store.read_manifest(version.manifest_root).await?;
        let opened =
            signed.open(version.manifest_root, &self.key.verifying_key()).expect("manifest is signed");
        assert_eq!(opened, manifest(numbers));
        for (&number, (_, id)) in numbers.iter().zip(opened.data_chunks()) {
            assert_eq!(open(&store.read(id).await?), Ok(content(number)));
        }
        Ok(())
    }
}

#[tokio::test]
async fn masters_share_chunks_and_pay_for_them_once() {
    let (appliance, disk) = (Appliance::new().await, Disk::default());
    let store = disk.open(OPTIONS).await;
    let publish = async |numbers: &[u8], origin: Origin| match appliance
        .capture(&store, numbers, &origin)
        .await
        .expect("published")
    {
        Publication::Published(version) => (version.number.0, version.stored_bytes),
        Publication::Missing(ids) => panic!("{ids:?} are missing"),
    };
    let record_bytes = CHUNK + 48;
    assert_eq!(publish(&[1, 2, 3, 1], origin("debian", 1)).await, (1, 3 * record_bytes));
    assert_eq!(publish(&[3, 2, 4], origin("windows", 2)).await, (1, record_bytes));
    assert_eq!(publish(&[1, 2, 5], origin("debian", 3)).await, (2, record_bytes));
    assert_eq!(appliance.listed().await, ["debian@2", "windows@1"]);
    let reopened = disk.open(OPTIONS).await;
    appliance.assert_deploys(&reopened, "debian@1", &[1, 2, 3, 1]).await;
    appliance.assert_deploys(&reopened, "debian", &[1, 2, 5]).await;
    appliance.assert_deploys(&reopened, "windows", &[3, 2, 4]).await;
}

#[tokio::test]
async fn a_manifest_with_missing_chunks_is_sent_back_with_their_list() {
    let (appliance, disk) = (Appliance::new().await, Disk::default());
    let store = disk.open(OPTIONS).await;
    let intake = store.intake();
    intake.put(chunks(&[1])).await.expect("taken");
    intake.finish().await.expect("finished");
    let missing = match appliance.publish(&store, &[1, 2, 3], &origin("debian", 1)).await {
        Ok(Publication::Missing(missing)) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing, [ChunkId::of(&content(2)), ChunkId::of(&content(3))]);
    assert_eq!(appliance.listed().await, [""; 0]);
    assert!(disk.names().await.iter().all(|name| !name.starts_with("manifests/")));
}

#[tokio::test]
async fn a_chunk_that_does_not_fill_its_place_is_refused() {
    let (appliance, store) = (Appliance::new().await, Disk::default().open(OPTIONS).await);
    let short = seal(b"short");
    let mut manifest = manifest(&[1]);
    manifest.regions[0].runs = vec![Run::Chunks(vec![short.id])];
    let intake = store.intake();
    intake.put(vec![short]).await.expect("taken");
    intake.finish().await.expect("finished");
    let origin = origin("debian", 1);
    let error = publish_version(&store, &appliance.db, &appliance.key, &manifest, &origin, NOW, &|_| ())
        .await
        .expect_err("a hole");
    assert!(matches!(error, PublishError::WrongLength { actual: 5, .. }), "{error}");
}

#[tokio::test]
async fn what_reads_back_damaged_is_never_published_and_is_asked_for_again() {
    let (appliance, disk) = (Appliance::new().await, Disk::default());
    let store = disk.open(OPTIONS).await;
    let intake = store.intake();
    intake.put(chunks(&[1, 2])).await.expect("taken");
    intake.finish().await.expect("finished");
    let pack = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&pack).await;
    bytes[1000] ^= 1;
    disk.write(&pack, bytes).await;
    // What was read back before a restart is read back again.
    let store = disk.open(OPTIONS).await;

    let origin = origin("debian", 1);
    let error = appliance.publish(&store, &[1, 2], &origin).await.expect_err("damaged");
    let PublishError::Damaged { first, count: 1 } = error else { panic!("{error}") };
    assert_eq!(first.chunk, ChunkId::of(&content(1)));
    assert_eq!(appliance.listed().await, [""; 0]);
    let again = appliance.publish(&store, &[1, 2], &origin).await.expect("asked for");
    assert_eq!(again, Publication::Missing(vec![first.chunk]));
    appliance.capture(&store, &[1, 2], &origin).await.expect("mended and published");
    appliance.assert_deploys(&store, "debian", &[1, 2]).await;
}

/// The power goes during each operation of the store in turn, before and after its effect, until a run needs no
/// more of them than were left.
#[tokio::test]
async fn after_a_power_cut_at_any_point_nothing_half_is_listed_and_the_same_capture_completes() {
    let numbers: Vec<u8> = (1..=12).collect();
    let origin = origin("debian", 2);
    for cut in [Cut::Before, Cut::After] {
        let mut windows = 0;
        for operation in 0.. {
            let (appliance, disk) = (Appliance::new().await, Disk::default());
            appliance
                .capture(&disk.open(OPTIONS).await, &[1, 2, 99], &self::origin("debian", 1))
                .await
                .expect("first");
            let result = match Store::open(disk.with_cut(operation, cut), OPTIONS).await {
                Ok(store) => appliance.capture(&store, &numbers, &origin).await,
                Err(error) => Err(error.into()),
            };
            let survived = result.is_ok();
            assert_eq!(appliance.listed().await, [if survived { "debian@2" } else { "debian@1" }]);

            let store = disk.open(OPTIONS).await;
            assert_eq!(store.stats().await.expect("stats").unreadable_packs, []);
            appliance.assert_deploys(&store, "debian@1", &[1, 2, 99]).await;
            let again = appliance.capture(&store, &numbers, &origin).await.expect("completes");
            assert!(matches!(again, Publication::Published(version) if version.number.0 == 2));
            appliance.assert_deploys(&store, "debian@2", &numbers).await;
            if survived {
                break;
            }
            windows += 1;
        }
        // Listing, two footers, three packs, their reading back, the manifest.
        assert!(windows >= 8, "{windows} operations were cut");
    }
}

#[tokio::test]
async fn a_crash_between_the_manifest_and_its_row_lists_nothing() {
    let disk = Disk::default();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("mimeo.db");
    let db = db::open(&path).await.expect("database opens");
    let mut appliance = Appliance { key: load_signing_key(&db).await.expect("key is made"), db };
    let store = disk.open(OPTIONS).await;
    let origin = origin("debian", 1);
    appliance.db.close().await;
    let error = appliance.capture(&store, &[1, 2], &origin).await.expect_err("the database is gone");
    assert!(matches!(error, PublishError::Master(_)), "{error}");
    assert!(disk.names().await.iter().any(|name| name.starts_with("manifests/")));

    appliance.db = db::open(&path).await.expect("database opens");
    assert_eq!(appliance.listed().await, [""; 0]);
    appliance.capture(&disk.open(OPTIONS).await, &[1, 2], &origin).await.expect("completes");
    appliance.assert_deploys(&store, "debian@1", &[1, 2]).await;
}

#[tokio::test]
async fn a_session_whose_answer_was_lost_gets_the_version_it_made() {
    let (appliance, store) = (Appliance::new().await, Disk::default().open(OPTIONS).await);
    let first = appliance.capture(&store, &[1, 2], &origin("debian", 1)).await.expect("published");
    let Publication::Published(first) = first else { panic!("{first:?}") };
    // Its second intake has nothing to add, which changes nothing about what the first did.
    let again = appliance.capture(&store, &[1, 2], &origin("debian", 1)).await.expect("given again");
    assert_eq!(again, Publication::Published(first));
    assert_eq!(appliance.listed().await, ["debian@1"]);
}

#[tokio::test]
async fn a_publication_that_is_dropped_while_it_reads_back_lists_nothing() {
    let (appliance, disk) = (Appliance::new().await, Disk::default());
    let numbers: Vec<u8> = (0..200).collect();
    let intake = disk.open(OPTIONS).await.intake();
    intake.put(chunks(&numbers)).await.expect("taken");
    intake.finish().await.expect("finished");
    // Of which nothing is proved yet.
    let store = disk.open(OPTIONS).await;

    // The first progress that is told ends it there and then: whoever waits for the next poll may find everything read.
    struct Dropped;
    let seen = Mutex::new(vec![]);
    let note = |progress| {
        seen.lock().expect("lock").push(progress);
        std::panic::resume_unwind(Box::new(Dropped));
    };
    let (manifest, origin) = (manifest(&numbers), origin("debian", 1));
    let publishing = publish_version(&store, &appliance.db, &appliance.key, &manifest, &origin, NOW, &note);
    let ended = AssertUnwindSafe(publishing).catch_unwind().await;
    assert!(ended.is_err_and(|why| why.is::<Dropped>()), "it ended before it was dropped");
    assert!(seen.lock().expect("lock").iter().all(|progress| progress.done_chunks < progress.total_chunks));
    assert_eq!(appliance.listed().await, [""; 0]);
    let result = appliance.publish(&store, &numbers, &origin).await.expect("published");
    assert!(matches!(result, Publication::Published(_)));
}

#[tokio::test]
async fn a_full_store_is_named_as_such() {
    let error = PublishError::from(StoreError::Full { needed_bytes: 3, free_bytes: 2, reserve_bytes: 1 });
    assert_eq!(
        error.to_string(),
        "the store's disk is full: 3 bytes were to be written, 2 are free, of which 1 are kept back"
    );
}
