//! Intakes that share too little memory.

use std::{num::NonZeroUsize, time::Duration};

use futures_util::future::join_all;
use mimeo_core::chunk::{ChunkId, SealedChunk, open, seal};

use super::Intake;
use crate::imaging::store::{Store, StoreOptions, backend::Backend};

const CHUNK_BYTES: usize = 1500;
/// A chunk in memory: its record, in whole pieces.
const HELD_BYTES: usize = 2048;
const QUIET: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

/// A store in whose memory there is room for so many chunks, in packs of eight.
async fn store(chunks: usize) -> Store {
    let options = StoreOptions {
        pack_bytes: 8 * HELD_BYTES as u32,
        intake_bytes: chunks * HELD_BYTES,
        reserve_bytes: 0,
        hashers: NonZeroUsize::new(2).expect("two"),
    };
    Store::open(Backend::in_memory(), options).await.expect("a store")
}

fn content(number: u16) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK_BYTES];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn chunk(number: u16) -> SealedChunk {
    seal(&content(number))
}

async fn put(intake: &Intake, numbers: impl IntoIterator<Item = u16>) {
    intake.put(numbers.into_iter().map(chunk).collect()).await.expect("taken");
}

async fn put_within(intake: &Intake, number: u16, within: Duration) -> bool {
    tokio::time::timeout(within, put(intake, [number])).await.is_ok()
}

async fn assert_holds(store: &Store, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        let sealed = store.read(ChunkId::of(&content(number))).await.expect("it is there");
        assert_eq!(open(&sealed), Ok(content(number)));
    }
}

#[tokio::test]
async fn memory_that_a_quiet_capture_holds_is_written_for_those_who_wait() {
    let store = store(4).await;
    let (quiet, other) = (store.intake(), store.intake());
    put(&quiet, 0..4).await;
    assert!(!put_within(&other, 10, SHORT).await, "four are all that there is room for");
    quiet.settle_after(LONG).await;
    assert!(!put_within(&other, 10, SHORT).await, "it was not quiet for long");
    quiet.settle_after(QUIET).await;
    assert!(put_within(&other, 10, LONG).await);
    // Its client was not gone after all.
    put(&quiet, [4]).await;
    assert_eq!(quiet.finish().await.expect("finished").chunks, 5);
    assert_eq!(other.finish().await.expect("finished").chunks, 1);
    assert_holds(&store, [0, 1, 2, 3, 4, 10]).await;
}

#[tokio::test]
async fn a_capture_that_has_memory_filled_writes_it_before_it_waits_for_more() {
    let store = store(4).await;
    let intake = store.intake();
    put(&intake, 0..4).await;
    assert!(put_within(&intake, 4, LONG).await);
    // Not more than there is room for at all is needed by anybody.
    put(&intake, 5..25).await;
    assert_eq!(intake.finish().await.expect("finished").chunks, 25);
    assert_holds(&store, 0..25).await;
}

#[tokio::test]
async fn memory_that_is_plenty_makes_no_short_packs() {
    let store = store(64).await;
    let intake = store.intake();
    put(&intake, 0..4).await;
    intake.settle_after(QUIET).await;
    put(&intake, 4..8).await;
    intake.finish().await.expect("finished");
    assert_eq!(store.stats().await.expect("stats").packs, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn captures_beyond_what_there_is_memory_for_all_finish() {
    let store = store(6).await;
    let captures = (0..40).map(|capture: u16| {
        let store = store.clone();
        tokio::spawn(async move {
            let intake = store.intake();
            for number in 0..20 {
                // Some chunks are brought by several of them.
                put(&intake, [capture * 15 + number, 5000 + number]).await;
            }
            intake.finish().await.expect("finished");
        })
    });
    let all = tokio::time::timeout(LONG, join_all(captures)).await.expect("nobody waits for ever");
    assert!(all.iter().all(Result::is_ok));
    assert_holds(&store, (0..39 * 15 + 20).chain(5000..5020)).await;
    let free = store.shared.intake_room.free_bytes();
    assert_eq!(free, 6 * HELD_BYTES, "all of it was given back");
}
