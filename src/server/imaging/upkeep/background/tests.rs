use std::{num::NonZeroUsize, time::Duration};

use futures_util::FutureExt;
use mimeo_core::{
    chunk::{ChunkSize, seal},
    disk::table::{PartitionTable, Scheme},
    ids::{SessionId, VersionNumber},
    manifest::{DiskGeometry, Manifest, ManifestRoot, SignedManifest},
    units::SectorSize,
};
use sqlx::SqlitePool;
use tokio::time::Instant;

use super::{
    AFTER_REMOVAL, AFTER_START, Background, COLLECT_EVERY, Ended, IDLE_AFTER, LOOK_AGAIN, Position,
    READ_BACK_EVERY, Rules, SETTING, disturbed, due_after_removal, idle, keep, load, next_pack, session,
    until_next, until_next_collection,
};
use crate::{
    clock::Timestamp,
    db,
    events::{Event, Events},
    imaging::{
        master::{NewVersion, insert_version},
        store::{Store, StoreOptions, faulty::Disk, pack::PackName},
        upkeep::retention::Retention,
    },
};

const OPTIONS: StoreOptions = StoreOptions {
    pack_bytes: 4096,
    reserve_bytes: 0,
    hashers: NonZeroUsize::new(2).expect("two"),
    intake_bytes: 4 << 20,
};

const RULES: Rules =
    Rules { retention: Retention { keep_versions: None, keep_days: None }, recompress: false };

async fn put(store: &Store, count: u8) {
    let intake = store.intake();
    let noise = |number: u8| {
        let mut bytes = vec![0; 1024];
        blake3::Hasher::new_derive_key("noise").update(&[number]).finalize_xof().fill(&mut bytes);
        seal(&bytes)
    };
    intake.put((0..count).map(noise).collect()).await.expect("taken");
    intake.finish().await.expect("finished");
}

#[test]
fn a_removal_brings_the_next_collection_near_but_not_into_the_first_hour() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(due_after_removal(start, at(3600), at(60)), start + AFTER_START);
    let due = at(7200) + COLLECT_EVERY;
    assert_eq!(due_after_removal(start, due, at(8000)), at(8000) + AFTER_REMOVAL);
    let soon = at(8000) + AFTER_REMOVAL;
    assert_eq!(due_after_removal(start, soon, at(8100)), soon, "a row of removals does not put it off");
}

#[test]
fn a_collection_that_met_another_does_not_wait_a_day() {
    assert_eq!(until_next_collection(Some(Ended::MetAnother)), AFTER_REMOVAL);
    assert_eq!(until_next_collection(Some(Ended::ByItself)), COLLECT_EVERY);
    assert_eq!(until_next_collection(None), COLLECT_EVERY);
}

#[test]
fn rounds_begin_four_weeks_apart_whatever_the_clock_does() {
    let day = 24 * 3600 * 1000;
    assert_eq!(until_next(0, Timestamp(21 * day)), Duration::from_secs(7 * 24 * 3600));
    assert_eq!(until_next(0, Timestamp(50 * day)), LOOK_AGAIN);
    assert_eq!(until_next(900 * day, Timestamp(0)), READ_BACK_EVERY);
    assert_eq!(until_next(i64::MAX, Timestamp(i64::MIN)), READ_BACK_EVERY);
}

#[test]
fn packs_are_taken_by_name_and_those_that_went_are_passed_by() {
    let names = [PackName([1; 32]), PackName([5; 32]), PackName([9; 32])];
    assert_eq!(next_pack(&names, None), Some(names[0]));
    assert_eq!(next_pack(&names, Some(&names[0].to_string())), Some(names[1]));
    assert_eq!(next_pack(&names, Some(&PackName([6; 32]).to_string())), Some(names[2]));
    assert_eq!(next_pack(&names, Some(&names[2].to_string())), None);
}

#[tokio::test]
async fn the_position_of_a_scrub_outlives_the_server() {
    let pool = db::open_in_memory().await.expect("a database");
    assert_eq!(load(&pool).await.expect("read"), None);
    for after in [None, Some(PackName([7; 32]).to_string())] {
        let position = Position { began_ms: 5, after, manifests: false };
        keep(&pool, &position).await.expect("kept");
        assert_eq!(load(&pool).await.expect("read"), Some(position));
    }
    sqlx::query("UPDATE setting SET value = x'00' WHERE name = ?1")
        .bind(SETTING)
        .execute(&pool)
        .await
        .expect("spoiled");
    assert_eq!(load(&pool).await.expect("read"), None, "it begins anew");
}

/// Hears of the one damaged chunk that a scrub from this position on meets.
async fn damage_found_from(position: &Position, store: &Store, pool: &SqlitePool) -> String {
    keep(pool, position).await.expect("kept");
    let events = Events::new();
    let mut heard = events.listen();
    let background = Background::new(store.clone(), pool.clone(), events, RULES);
    let scrubbing = tokio::spawn(async move { background.keep().await });
    let told = heard.recv().await.expect("damage is told");
    scrubbing.abort();
    let Event::ChunkFoundDamaged { detail, .. } = told else { panic!("{told:?}") };
    detail
}

#[tokio::test]
async fn a_scrub_goes_on_where_it_was_and_tells_of_damage() {
    let (disk, pool) = (Disk::default(), db::open_in_memory().await.expect("a database"));
    let store = disk.open(OPTIONS).await;
    put(&store, 12).await;
    let names = store.pack_names();
    assert!(names.len() >= 4, "{} packs", names.len());
    for name in [names[0], names[2]] {
        let object = format!("packs/{name}.pack");
        let mut bytes = disk.read(&object).await;
        bytes[60] ^= 1;
        disk.write(&object, bytes).await;
    }
    // Damage in a pack that a round has passed already is for the next round, damage behind it for this one.
    let after = Some(names[0].to_string());
    let mut position = Position { began_ms: Timestamp::now().0, after, manifests: false };
    let detail = damage_found_from(&position, &store, &pool).await;
    assert!(detail.contains(&names[2].to_string()), "{detail}");
    assert_eq!(store.stats().await.expect("stats").damaged_chunks, 1);
    position.after = None;
    let detail = damage_found_from(&position, &store, &pool).await;
    assert!(detail.contains(&names[0].to_string()), "{detail}");
}

async fn list(store: &Store, pool: &SqlitePool, master: &str, encoded: &[u8]) -> ManifestRoot {
    let signed = SignedManifest { encoded: encoded.to_vec(), signature: [0; 64] };
    let new = NewVersion {
        master: master.parse().expect("a name"),
        description: String::new(),
        manifest_root: store.put_manifest(&signed).await.expect("written"),
        disk_bytes: 1,
        carried_bytes: 0,
        stored_bytes: 0,
        unread_bytes: 0,
        unread_sectors: 0,
        computer: None,
        session: None,
        provenance: None,
        warnings: vec![],
    };
    insert_version(pool, &new, Timestamp(1)).await.expect("inserted");
    new.manifest_root
}

#[tokio::test]
async fn a_scrub_reads_the_manifests_too_and_tells_once_a_round_which_version_has_lost_its_own() {
    let (disk, pool) = (Disk::default(), db::open_in_memory().await.expect("a database"));
    let whole = disk.open(OPTIONS).await;
    let sound = Manifest {
        disk: DiskGeometry {
            size_bytes: 512,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: vec![] },
        regions: vec![],
        unread: vec![],
    };
    list(&whole, &pool, "sound", &sound.encode()).await;
    let rotten = list(&whole, &pool, "rotten", b"it was one").await;
    let sick = list(&whole, &pool, "sick", b"the disk gives it no more").await;
    disk.write(&format!("manifests/{rotten}.manifest"), vec![1; 90]).await;
    let backend = disk.with_unreadable(&format!("manifests/{sick}.manifest"));
    let store = Store::open(backend, OPTIONS).await.expect("store opens");

    let events = Events::new();
    let mut heard = events.listen();
    let background = Background::new(store, pool.clone(), events, RULES);
    let scrubbing = tokio::spawn(async move { background.keep().await });
    let mut told = Vec::new();
    for _ in 0..2 {
        let event = heard.recv().await.expect("damage is told");
        let Event::VersionFoundBroken { version, lost_chunks: 0 } = event else { panic!("{event:?}") };
        told.push(version);
    }
    told.sort();
    assert_eq!(told, ["rotten@1", "sick@1"]);
    // The round is kept as read, so that a server that starts does not tell again.
    while !load(&pool).await.expect("read").is_some_and(|position| position.manifests) {
        tokio::task::yield_now().await;
    }
    scrubbing.abort();
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn the_store_is_left_alone_while_sessions_move_and_for_what_is_no_session_it_is_not() {
    let events = Events::new();
    let mut heard = events.listen();
    let moved = |number| Event::SessionStarted { session: SessionId(number) };
    events.emit(Event::SetupCodeRenewed);
    assert!(session(&mut heard).now_or_never().is_none(), "no session moved");
    for number in 0..3 {
        events.emit(moved(number));
        events.emit(Event::SetupCodeRenewed);
    }
    session(&mut heard).await;
    idle(&mut heard, Duration::ZERO).await;
    assert!(heard.try_recv().is_err(), "idle began only after all that moved");
    assert!(idle(&mut heard, IDLE_AFTER).now_or_never().is_none(), "and takes its time");
}

#[tokio::test]
async fn compressing_again_ends_for_a_session_and_for_a_removal() {
    let events = Events::new();
    let mut heard = events.listen();
    let removed = Event::VersionRemoved { name: "debian".into(), version: VersionNumber(1) };
    for event in [Event::SessionStarted { session: SessionId(1) }, removed] {
        events.emit(Event::SetupCodeRenewed);
        assert!(disturbed(&mut heard).now_or_never().is_none(), "nobody wants the disk");
        events.emit(event);
        assert!(disturbed(&mut heard).now_or_never().is_some());
    }
}
