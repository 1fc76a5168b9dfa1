//! Collections that end in the middle: by a power cut, for want of room, or because nobody waits for them any more.

use std::time::Duration;

use super::{OPTIONS, assert_holds, check_holds, collect, publish};
use crate::imaging::store::{
    Store,
    faulty::Cut,
    pack::PackName,
    power::{Fault, OUTCOMES, Outcome, PowerDisk},
};

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

/// How long what a dropped collection has under way may take to end.
const SETTLES: Duration = Duration::from_secs(10);

/// Waits until the disk holds the packs that the store knows, and nothing half written.
async fn settled(disk: &PowerDisk, store: &Store) {
    loop {
        let known: Vec<String> = store.pack_names().into_iter().map(PackName::object).collect();
        let names = disk.names();
        let there: Vec<String> =
            names.iter().filter(|name| !name.starts_with("manifests/")).cloned().collect();
        if there == known {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_collection_that_is_dropped_at_any_write_leaves_nothing_that_the_store_does_not_know() {
    for write in 1.. {
        let disk = PowerDisk::default();
        let store = disk.open(OPTIONS).await.expect("store opens");
        publish(&store, &(0..18).collect::<Vec<u8>>()).await.expect("published");
        let root = publish(&store, &KEPT).await.expect("published");
        let last = disk.writes() + write;
        let reached = async {
            while disk.writes() < last {
                tokio::task::yield_now().await;
            }
        };
        let listed = [root];
        let ended = tokio::select! {
            biased;
            () = reached => None,
            collected = collect(&store, &listed) => Some(collected.expect("collected")),
        };
        let settling = tokio::time::timeout(SETTLES, settled(&disk, &store)).await;
        settling.unwrap_or_else(|_| panic!("dropped at write {write}, there are {:?}", disk.names()));
        assert_holds(&store, &KEPT).await;
        if ended.is_some() {
            assert!(write >= 12, "the collection took {write} writes");
            return;
        }
    }
}
