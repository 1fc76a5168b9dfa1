//! A server that is killed while it does everything at once: captures that are listed and removed, a deploy, collections
//! and recompressions on one store. Whenever that is, no version that is listed has lost anything.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    ops::Range,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mimeo_core::{
    chunk::{ChunkId, SealedChunk, open, seal},
    manifest::ManifestRoot,
};
use mimeo_server::imaging::store::{Store, collect::Sweep, error::StoreError, pace::Pace};

use super::{CHILD_FOLDER, assert_nothing_half_written, manifest_of, open_store, options};

/// The versions that are listed when the child starts, as numbers with commas between.
const CHILD_LISTED: &str = "MIMEO_TEST_STORE_LISTED";

/// How long the whole takes at most, and how many kills are enough.
const BUDGET: Duration = Duration::from_secs(45);
const KILLS: u32 = 60;

/// The kill comes so long after the child's first word at most: some rounds of all that it does.
const LATEST: Duration = Duration::from_millis(200);

/// Chosen once; another one meets other moments.
const SEED: u64 = 3;

/// Small packs, so that each version lies in several.
const PACK_BYTES: u32 = 64 << 10;

/// What is deployed all the time, and never removed.
const DEPLOYED: u32 = 0;

/// Eight kilobytes: of even numbers noise, of odd ones text that shrinks, and shrinks more when it is given time.
fn content(number: u32) -> Vec<u8> {
    let mut noise = vec![0; 8 << 10];
    blake3::Hasher::new_derive_key("killed").update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
    if number.is_multiple_of(2) {
        return noise;
    }
    noise.iter().take(2 << 10).flat_map(|byte| format!("{:03}_", byte % 40).into_bytes()).collect()
}

fn chunk(number: u32) -> SealedChunk {
    seal(&content(number))
}

fn ids(numbers: Range<u32>) -> Vec<ChunkId> {
    numbers.map(|number| ChunkId::of(&content(number))).collect()
}

/// What a version needs: two thirds of it shared with the one before. The one that is deployed shares with nobody.
fn of_version(version: u32) -> Range<u32> {
    match version {
        DEPLOYED => 0..40,
        _ => 100 + version * 10..130 + version * 10,
    }
}

fn root_of(version: u32) -> ManifestRoot {
    manifest_of(ids(of_version(version))).root()
}

/// Everything of a version reads back.
async fn assert_whole(store: &Store, version: u32) {
    let wanted = ids(of_version(version));
    let found = store.verify(&wanted, &|_| ()).await.expect("the disk answers");
    assert_eq!((found.damaged, found.missing), (vec![], vec![]), "version {version}");
    for (number, sealed) in of_version(version).zip(store.read_many(&wanted).await.expect("chunks are there"))
    {
        assert_eq!(open(&sealed), Ok(content(number)), "version {version}");
    }
    store.read_manifest(root_of(version)).await.expect("the manifest is there");
}

async fn publish(store: &Store, version: u32) -> Result<(), StoreError> {
    let intake = store.intake();
    for number in of_version(version) {
        if !intake.missing(&ids(number..number + 1)).await?.is_empty() {
            intake.put(vec![chunk(number)]).await?;
        }
    }
    intake.finish().await?;
    store.put_manifest(&manifest_of(ids(of_version(version)))).await?;
    say(&format!("listed {version}"));
    Ok(())
}

/// Says something to the test. What stands in the pipe outlives the kill.
fn say(word: &str) {
    writeln!(std::io::stdout(), "\n{word}").expect("the test listens");
}

fn start(folder: &Path, listed: &BTreeSet<u32>) -> Child {
    let listed: Vec<String> = listed.iter().map(u32::to_string).collect();
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "store::killed::the_child_that_does_everything", "--ignored", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .env(CHILD_LISTED, listed.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts")
}

/// Notes what the child says was listed or removed; says whether it was one of these.
fn note(listed: &mut BTreeSet<u32>, line: &str) -> bool {
    match line.split_once(' ') {
        Some(("listed", version)) => listed.insert(version.parse().expect("a number")),
        Some(("removed", version)) => listed.remove(&version.parse().expect("a number")),
        _ => false,
    }
}

/// When the kill comes, after the child's first word.
fn moment_of(kill: u32) -> Duration {
    let hash = blake3::hash(&[SEED.to_le_bytes(), u64::from(kill).to_le_bytes()].concat());
    let random = u32::from_le_bytes(*hash.as_bytes().first_chunk().expect("four bytes"));
    LATEST.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_does_everything_at_once_keeps_every_listed_version() {
    let folder = tempfile::tempdir().expect("folder");
    let began = Instant::now();
    let (mut listed, mut kills, mut heard) = (BTreeSet::new(), 0, 0);
    while kills < KILLS && began.elapsed() < BUDGET {
        let mut child = start(folder.path(), &listed);
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        // Also what it says before it is ready.
        let mut heard_first = Vec::new();
        let is_ready =
            lines.by_ref().inspect(|line| heard_first.push(line.clone())).any(|line| line == "ready");
        assert!(is_ready, "the child never began: {heard_first:?}");
        std::thread::sleep(moment_of(kills));
        child.kill().expect("the child is killed");
        let status = child.wait().expect("the child ended");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "kill {kills}: the child ended by itself: {status}");
        heard += heard_first.into_iter().chain(lines).filter(|line| note(&mut listed, line)).count();
        kills += 1;

        let store = open_store(folder.path(), options(PACK_BYTES, 0)).await.expect("store opens");
        assert_eq!(store.stats().await.expect("stats").unreadable_packs, [], "kill {kills}");
        assert_nothing_half_written(folder.path());
        for &version in &listed {
            assert_whole(&store, version).await;
        }
    }
    // On a busy machine there are few, but there are some.
    assert!(kills >= 5, "{kills} kills");
    assert!(heard >= kills as usize, "{heard} versions were listed or removed within {kills} kills");
}

/// Lists and removes versions, deploys one, collects and compresses again, all at once, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "runs inside a_server_that_is_killed_while_it_does_everything_at_once_keeps_every_listed_version"]
async fn the_child_that_does_everything() {
    let folder = std::env::var(CHILD_FOLDER).expect("started by its test");
    let given = std::env::var(CHILD_LISTED).expect("started by its test");
    let given =
        given.split(',').filter(|number| !number.is_empty()).map(|number| number.parse().expect("a number"));
    let listed: Arc<Mutex<BTreeSet<u32>>> = Arc::new(Mutex::new(given.collect()));
    let store = open_store(Path::new(&folder), options(PACK_BYTES, 0)).await.expect("store opens");
    if !listed.lock().expect("lock").contains(&DEPLOYED) {
        let hold = store.hold();
        publish(&store, DEPLOYED).await.expect("published");
        listed.lock().expect("lock").insert(DEPLOYED);
        drop(hold);
    }
    say("ready");
    let captures = [1, 2].map(|first| tokio::spawn(capture(store.clone(), listed.clone(), first)));
    let deploy = tokio::spawn(deploy(store.clone()));
    let collections = tokio::spawn(collect(store, listed));
    // None of them ends but by a failure.
    let [one, other] = captures;
    tokio::select! {
        ended = one => ended.expect("a capture"),
        ended = other => ended.expect("a capture"),
        ended = deploy => ended.expect("the deploy"),
        ended = collections => ended.expect("the collections"),
    }
    panic!("something ended");
}

/// Lists version after version, each second one by this capture, and removes older ones.
async fn capture(store: Store, listed: Arc<Mutex<BTreeSet<u32>>>, first: u32) {
    let last = listed.lock().expect("lock").last().copied().unwrap_or(0);
    let mut version = (last / 2 + 1) * 2 + first;
    loop {
        let hold = store.hold();
        publish(&store, version).await.expect("published");
        listed.lock().expect("lock").insert(version);
        drop(hold);
        let own = |other: &u32| *other != DEPLOYED && other % 2 == version % 2 && other + 4 < version;
        let old = listed.lock().expect("lock").iter().copied().find(own);
        if let Some(old) = old {
            // Said before it is done: from here on nobody owes it to anybody.
            say(&format!("removed {old}"));
            listed.lock().expect("lock").remove(&old);
        }
        version += 2;
    }
}

async fn deploy(store: Store) {
    let wanted = ids(of_version(DEPLOYED));
    loop {
        let chunks = store.read_many(&wanted).await.expect("the deploy goes on");
        for (number, sealed) in of_version(DEPLOYED).zip(&chunks) {
            assert_eq!(open(sealed), Ok(content(number)));
        }
    }
}

/// Every second collection compresses again.
async fn collect(store: Store, listed: Arc<Mutex<BTreeSet<u32>>>) {
    for round in 0_u64.. {
        let mut collection = store.begin_collection().expect("nobody else collects");
        let versions = listed.lock().expect("lock").clone();
        for version in versions {
            collection.mark(root_of(version)).await.expect("a listed version has its manifest");
        }
        let sweep = Sweep { dry_run: false, recompress: round % 2 == 1, pace: Pace::UNLIMITED };
        collection.sweep(sweep, &|_| ()).await.expect("swept");
    }
}
