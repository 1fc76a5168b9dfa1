//! The chunk store on real disks: one that is full, a server that is killed, a folder in use.

#[path = "store/killed.rs"]
mod killed;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, SealedChunk, open, seal},
    disk::table::{PartitionTable, Scheme},
    manifest::{Content, DiskGeometry, Manifest, ManifestRoot, Region, RegionKind, Run, SignedManifest},
    units::{Extent, SectorSize},
};
use mimeo_server::imaging::store::{
    Store, StoreOptions,
    backend::Backend,
    collect::{Collected, Sweep},
    error::StoreError,
    pace::Pace,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn options(pack_bytes: u32, reserve_bytes: u64) -> StoreOptions {
    StoreOptions {
        pack_bytes,
        intake_bytes: 64 << 20,
        reserve_bytes,
        hashers: NonZeroUsize::new(2).expect("two"),
    }
}

/// A chunk of 64 KiB of noise, told from others by its number.
fn chunk(number: u32) -> SealedChunk {
    seal(&content(number))
}

fn content(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<ChunkId> {
    numbers.into_iter().map(|number| ChunkId::of(&content(number))).collect()
}

async fn open_store(folder: &Path, options: StoreOptions) -> Result<Store, StoreError> {
    Store::open(Backend::folder(folder)?, options).await
}

async fn put(store: &Store, numbers: impl IntoIterator<Item = u32>) -> Result<(), StoreError> {
    let intake = store.intake();
    for number in numbers {
        intake.put(vec![chunk(number)]).await?;
    }
    intake.finish().await.map(drop)
}

/// A manifest that names these chunks; the store does not look at what else it says.
fn manifest(numbers: impl IntoIterator<Item = u32>) -> SignedManifest {
    manifest_of(ids(numbers))
}

fn manifest_of(ids: Vec<ChunkId>) -> SignedManifest {
    let length_bytes = ids.len() as u64 * ChunkSize::DEFAULT.bytes();
    let (logical_sector, physical_sector) = (SectorSize::B512, SectorSize::B512);
    let manifest = Manifest {
        disk: DiskGeometry { size_bytes: length_bytes, logical_sector, physical_sector },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(ids)],
        }],
        unread: vec![],
    };
    SignedManifest::sign(&manifest, &SigningKey::from_bytes(&[3; 32]))
}

/// Collects with these versions listed.
async fn collect(store: &Store, listed: &[ManifestRoot]) -> Result<Collected, StoreError> {
    let mut collection = store.begin_collection()?;
    for &root in listed {
        collection.mark(root).await?;
    }
    collection.sweep(Sweep { dry_run: false, recompress: false, pace: Pace::UNLIMITED }, &|_| ()).await
}

async fn assert_holds(store: &Store, numbers: impl IntoIterator<Item = u32> + Clone) {
    let found = store.verify(&ids(numbers.clone()), &|_| ()).await.expect("the disk answers");
    assert_eq!((found.damaged, found.missing), (vec![], vec![]));
    for number in numbers {
        let sealed = store.read(ids([number])[0]).await.expect("chunk is there");
        assert_eq!(open(&sealed), Ok(content(number)));
    }
}

fn assert_nothing_half_written(store: &Path) {
    assert_eq!(fs::read_dir(store.join("incoming")).expect("folder").count(), 0);
}

/// A file system of its own, in memory, that can fill up.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some(options))
            .expect("mounting a tmpfs needs root");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.folder.path(), MntFlags::MNT_DETACH).expect("the tmpfs is unmounted");
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_capture_and_leaves_the_store_sound() {
    let disk = SmallDisk::new("size=16m");
    let options = options(MIB as u32, 0);
    let store = open_store(disk.path(), options).await.expect("store opens");
    put(&store, 0..64).await.expect("4 MiB fit");
    let manifest = mimeo_core::manifest::SignedManifest { encoded: vec![1; 100], signature: [0; 64] };
    let root = store.put_manifest(&manifest).await.expect("so does a manifest");

    // Somebody else fills the disk behind the store's back, so that writing itself fails.
    let ballast = disk.path().join("ballast");
    let free_bytes = store.stats().await.expect("stats").free_bytes.expect("a disk has a limit");
    fs::write(&ballast, vec![0; (free_bytes - 3 * MIB) as usize]).expect("ballast fits");
    let error = put(&store, 100..200).await.expect_err("6 MiB do not fit");
    let StoreError::Full { needed_bytes, free_bytes, .. } = error else { panic!("{error}") };
    assert!(needed_bytes > free_bytes && needed_bytes <= 2 * MIB, "{needed_bytes} and {free_bytes} bytes");

    // What was there can be deployed, without and with a restart; nothing is half there.
    assert_holds(&store, 0..64).await;
    drop(store);
    assert_nothing_half_written(disk.path());
    let store = open_store(disk.path(), options).await.expect("store opens on a full disk");
    assert_eq!(store.stats().await.expect("stats").unreadable_packs, []);
    assert_holds(&store, 0..64).await;
    assert_eq!(store.read_manifest(root).await.expect("manifest is there"), manifest);

    // With room again, the same capture completes.
    fs::remove_file(ballast).expect("ballast is removed");
    put(&store, 100..200).await.expect("now they fit");
    assert_holds(&store, (0..64).chain(100..200)).await;
}

#[tokio::test]
async fn two_captures_that_fill_the_disk_together_leave_nothing_half_written() {
    let disk = SmallDisk::new("size=4m");
    let store = open_store(disk.path(), options(8 << 20, 0)).await.expect("store opens");
    // Each finds room for its 3 MiB as long as the other has not begun to write.
    let finished = tokio::join!(put(&store, 0..50), put(&store, 50..100));
    let finished: Vec<_> = [finished.0, finished.1].into_iter().enumerate().collect();
    assert!(finished.iter().any(|(_, result)| result.is_err()), "6 MiB fit into 4");
    for (number, result) in finished {
        let chunks = number as u32 * 50..number as u32 * 50 + 50;
        match result {
            Ok(()) => assert_holds(&store, chunks).await,
            Err(StoreError::Full { .. }) => assert_eq!(store.missing(&ids(chunks)).len(), 50),
            Err(error) => panic!("{error}"),
        }
    }
    assert_nothing_half_written(disk.path());
}

#[tokio::test]
async fn a_disk_that_says_itself_that_it_is_full_is_believed() {
    let disk = SmallDisk::new("size=16m,nr_inodes=16");
    let store = open_store(disk.path(), options(MIB as u32, 0)).await.expect("store opens");
    // No files can be made any more, though there is room for bytes: measuring did not see it.
    let ballast =
        (0..).take_while(|number| fs::write(disk.path().join(format!("ballast-{number}")), []).is_ok());
    assert!(ballast.count() > 0);
    let error = put(&store, 0..1).await.expect_err("there is no file to be had");
    let StoreError::Full { needed_bytes, free_bytes, .. } = error else { panic!("{error}") };
    assert!(needed_bytes < free_bytes, "{needed_bytes} of {free_bytes} bytes");
    fs::remove_file(disk.path().join("ballast-0")).expect("ballast is removed");
    put(&store, 0..1).await.expect("one file is enough");
    assert_nothing_half_written(disk.path());
}

#[tokio::test]
async fn the_reserve_is_kept_for_the_database() {
    let disk = SmallDisk::new("size=16m");
    let store = open_store(disk.path(), options(MIB as u32, 12 * MIB)).await.expect("store opens");
    store.check_room(3 * MIB).await.expect("3 of 4 MiB");
    let error = store.check_room(5 * MIB).await.expect_err("5 of 4 MiB");
    assert!(matches!(error, StoreError::Full { needed_bytes, reserve_bytes, .. }
        if (needed_bytes, reserve_bytes) == (5 * MIB, 12 * MIB)));
    let error = put(&store, 0..128).await.expect_err("8 MiB");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let free_bytes = store.stats().await.expect("stats").free_bytes.expect("a disk has a limit");
    assert!(free_bytes >= 12 * MIB, "{free_bytes} bytes are free");
    assert!(!store.missing(&ids(0..128)).is_empty());
}

#[tokio::test]
async fn a_folder_serves_one_store_at_a_time() {
    let folder = tempfile::tempdir().expect("folder");
    let options = options(MIB as u32, 0);
    let store = open_store(folder.path(), options).await.expect("store opens");
    let error = open_store(folder.path(), options).await.expect_err("in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
    open_store(folder.path(), options).await.expect("free again");
}

#[tokio::test]
async fn a_damaged_sector_of_a_local_pack_is_named_with_its_chunk() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_store(folder.path(), options(MIB as u32, 0)).await.expect("store opens");
    put(&store, 0..3).await.expect("chunks are put");
    let pack =
        fs::read_dir(folder.path().join("packs")).expect("folder").next().expect("a pack").expect("entry");
    let mut bytes = fs::read(pack.path()).expect("pack is read");
    let second = 48 + (64 << 10) + 48;
    bytes[second..second + 512].fill(0);
    fs::write(pack.path(), bytes).expect("pack is written");
    let found = store.verify(&ids(0..3), &|_| ()).await.expect("the disk answers");
    assert_eq!((found.proved_chunks, found.damaged.len()), (2, 1));
    assert_eq!(found.damaged[0].chunk, ids([1])[0]);
    assert!(pack.path().to_string_lossy().contains(&found.damaged[0].pack.to_string()));
}

/// What the child is told by its environment: where its store is, and the first chunk to put.
const CHILD_FOLDER: &str = "MIMEO_TEST_STORE_FOLDER";
const CHILD_FIRST: &str = "MIMEO_TEST_STORE_FIRST";
/// How often the child is killed, each time a little later after its last word, so that the kill meets another
/// step of the next round.
const KILLS: u32 = 12;
const LATER: std::time::Duration = std::time::Duration::from_micros(1500);
const CHUNKS_A_ROUND: u32 = 20;

#[tokio::test]
async fn a_server_that_is_killed_while_it_writes_loses_nothing_that_it_called_durable() {
    let folder = tempfile::tempdir().expect("folder");
    let mut durable = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "store::the_child_that_is_killed", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .env(CHILD_FIRST, durable.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // Its word is what is owed to it. The pipe stays open, so that nothing but the kill stops it.
        for line in lines.by_ref().map_while(Result::ok) {
            let Some(count) = line.strip_prefix("durable ") else { continue };
            durable = count.parse().expect("a number");
            if durable >= (kill + 1) * 2 * CHUNKS_A_ROUND {
                break;
            }
        }
        std::thread::sleep(LATER * kill);
        child.kill().expect("the child is killed");
        let status = child.wait().expect("the child ended");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "the child ended by itself: {status}");

        let store = open_store(folder.path(), options(300_000, 0)).await.expect("store opens");
        assert_eq!(store.stats().await.expect("stats").unreadable_packs, []);
        assert_nothing_half_written(folder.path());
        assert_holds(&store, 0..durable).await;
    }
    assert!(durable >= KILLS * CHUNKS_A_ROUND, "{durable} chunks");
}

/// Stores chunk after chunk until it is killed. Only the test above starts it.
#[tokio::test]
#[ignore = "runs inside a_server_that_is_killed_while_it_writes_loses_nothing_that_it_called_durable"]
async fn the_child_that_is_killed() {
    let folder = std::env::var(CHILD_FOLDER).expect("started by its test");
    let mut next: u32 = std::env::var(CHILD_FIRST).expect("started by its test").parse().expect("a number");
    let store = open_store(Path::new(&folder), options(300_000, 0)).await.expect("store opens");
    loop {
        put(&store, next..next + CHUNKS_A_ROUND).await.expect("chunks are put");
        next += CHUNKS_A_ROUND;
        writeln!(std::io::stdout(), "\ndurable {next}").expect("the test listens");
    }
}

/// How often the collecting child is killed, each time a little later in its round.
const COLLECTION_KILLS: u32 = 40;

/// What the version of a round needs: half of it shared with the round before.
fn of_round(round: u32) -> std::ops::Range<u32> {
    round * 10..round * 10 + 20
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_collects_keeps_every_chunk_of_what_is_listed() {
    let folder = tempfile::tempdir().expect("folder");
    let mut listed = 0;
    for kill in 0..COLLECTION_KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "store::the_child_that_is_killed_while_it_collects",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, folder.path())
            .env(CHILD_FIRST, listed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut heard = 0;
        for line in lines.by_ref().map_while(Result::ok) {
            let Some(round) = line.strip_prefix("listed ") else { continue };
            listed = round.parse().expect("a number");
            heard += 1;
            if heard == 2 {
                break;
            }
        }
        std::thread::sleep(LATER / 4 * kill);
        child.kill().expect("the child is killed");
        let status = child.wait().expect("the child ended");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "the child ended by itself: {status}");
        // What it listed after that counts too: the version before may be gone.
        for line in lines.map_while(Result::ok) {
            if let Some(round) = line.strip_prefix("listed ") {
                listed = round.parse().expect("a number");
            }
        }
        let store = open_store(folder.path(), options(300_000, 0)).await.expect("store opens");
        assert_eq!(store.stats().await.expect("stats").unreadable_packs, []);
        assert_nothing_half_written(folder.path());
        assert_holds(&store, of_round(listed)).await;
        store.read_manifest(manifest(of_round(listed)).root()).await.expect("the manifest is there");
    }
    assert!(listed >= 2 * COLLECTION_KILLS, "{listed} rounds");
    let store = open_store(folder.path(), options(300_000, 0)).await.expect("store opens");
    collect(&store, &[manifest(of_round(listed)).root()]).await.expect("collected");
    let left = store.stats().await.expect("stats").pack_bytes;
    assert!(left < 20 * (66 << 10) * 5 / 4, "{left} bytes are left for 20 chunks");
}

/// Lists version after version and collects the one before, until it is killed. Only the test above starts it.
#[tokio::test]
#[ignore = "runs inside a_server_that_is_killed_while_it_collects_keeps_every_chunk_of_what_is_listed"]
async fn the_child_that_is_killed_while_it_collects() {
    let folder = std::env::var(CHILD_FOLDER).expect("started by its test");
    let mut round: u32 = std::env::var(CHILD_FIRST).expect("started by its test").parse().expect("a number");
    let store = open_store(Path::new(&folder), options(300_000, 0)).await.expect("store opens");
    loop {
        round += 1;
        let hold = store.hold();
        put(&store, of_round(round)).await.expect("chunks are put");
        let root = store.put_manifest(&manifest(of_round(round))).await.expect("so is a manifest");
        writeln!(std::io::stdout(), "\nlisted {round}").expect("the test listens");
        drop(hold);
        collect(&store, &[root]).await.expect("collected");
    }
}

#[tokio::test]
async fn on_a_full_disk_a_version_can_be_removed_and_its_room_is_used_again() {
    let disk = SmallDisk::new("size=16m");
    let store = open_store(disk.path(), options(MIB as u32, 2 * MIB)).await.expect("store opens");
    put(&store, 0..128).await.expect("8 MiB fit");
    // Of the first version every third chunk is needed by the second.
    let shared: Vec<u32> = (0..128).step_by(3).collect();
    let second = manifest(shared.iter().copied());
    let kept = store.put_manifest(&second).await.expect("a manifest fits");
    let error = put(&store, 200..400).await.expect_err("12 MiB more do not");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    // Somebody else takes the rest, down to what a collection may still use of the reserve: less than a pack.
    let free_bytes = store.stats().await.expect("stats").free_bytes.expect("a disk has a limit");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; (free_bytes - 2 * MIB / 8 - 300_000) as usize]).expect("ballast fits");

    let collected = collect(&store, &[kept]).await.expect("a full disk is no reason to fail");
    assert!(collected.removed_packs > 0, "what the failed capture left goes first: {collected:?}");
    assert!(!collected.out_of_room && collected.rewritten_packs >= 8, "{collected:?}");
    assert_holds(&store, shared.iter().copied()).await;
    put(&store, 500..560).await.expect("there is room again");
    let reopened = {
        drop(store);
        open_store(disk.path(), options(MIB as u32, 2 * MIB)).await.expect("store opens")
    };
    assert_holds(&reopened, shared.into_iter().chain(500..560)).await;
    assert_nothing_half_written(disk.path());
}

#[tokio::test]
async fn the_bench_of_the_store_moves_what_it_measures() {
    let folder = tempfile::tempdir().expect("folder");
    let speed = mimeo_lab::store_bench::measure_store(folder.path(), 300).await.expect("measured");
    assert!((0.45..0.55).contains(&speed.stored_ratio), "{speed:?}");
    assert!(speed.intake > 1.0 && speed.verify > 1.0 && speed.read > 1.0, "{speed:?}");
}
