use std::{collections::BTreeSet, num::NonZeroUsize, sync::Mutex};

use mimeo_core::{
    chunk::{ChunkId, Codec, OpenChunkError, SealedChunk, open, seal},
    manifest::{ManifestRoot, SignedManifest},
    messages::records::HEADER_BYTES,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use crate::clock::Timestamp;

use super::{
    Store, StoreOptions,
    backend::Backend,
    error::StoreError,
    faulty::{Cut, Disk},
    intake::Stored,
    pace::Pace,
    pack::{ENTRY_BYTES, PackName, TRAILER_BYTES},
    verify::VerifyProgress,
};

const NOW: Timestamp = Timestamp(0);

/// Small packs, so that a few chunks fill several.
const OPTIONS: StoreOptions = StoreOptions {
    pack_bytes: 4096,
    intake_bytes: 1 << 20,
    reserve_bytes: 0,
    hashers: NonZeroUsize::new(2).expect("two"),
};

/// Contents of many lengths, some that shrink and some that do not.
fn content(number: u8) -> Vec<u8> {
    let mut bytes = vec![number; 100 + usize::from(number) * 137 % 1900];
    if !number.is_multiple_of(3) {
        blake3::Hasher::new_derive_key("noise").update(&[number]).finalize_xof().fill(&mut bytes);
    }
    bytes
}

fn chunk(number: u8) -> SealedChunk {
    seal(&content(number))
}

fn ids(numbers: impl IntoIterator<Item = u8>) -> Vec<ChunkId> {
    numbers.into_iter().map(|number| ChunkId::of(&content(number))).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

async fn put_all(store: &Store, numbers: impl IntoIterator<Item = u8>) -> Stored {
    let intake = store.intake();
    intake.put(numbers.into_iter().map(chunk).collect()).await.expect("chunks are taken");
    intake.finish().await.expect("intake finishes")
}

async fn verify(store: &Store, ids: &[ChunkId]) -> super::verify::Verification {
    store.verify(ids, &|_| ()).await.expect("backend answers")
}

async fn assert_holds(store: &Store, numbers: impl IntoIterator<Item = u8> + Clone) {
    let chunks = store.read_many(&ids(numbers.clone())).await.expect("chunks are read");
    for (number, sealed) in numbers.into_iter().zip(chunks) {
        assert_eq!(open(&sealed), Ok(content(number)));
    }
}

#[tokio::test]
async fn what_was_finished_is_there_after_a_restart() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    assert_eq!(store.missing(&ids(0..40)), ids(0..40));
    let stored = put_all(&store, 0..40).await;
    assert_eq!(stored.chunks, 40);
    assert_holds(&store, 0..40).await;

    let reopened = disk.open(OPTIONS).await;
    assert_eq!(reopened.missing(&ids(0..41)), ids([40]));
    // Any order, also twice the same.
    assert_holds(&reopened, [39, 0, 7, 8, 9, 7]).await;
    assert_eq!(reopened.plain_bytes(ids([5])[0]), Some(content(5).len() as u32));
    let stats = reopened.stats().await.expect("stats");
    assert_eq!((stats.chunks, stats.damaged_chunks, stats.unreadable_packs), (40, 0, vec![]));
    assert_eq!(stats.packs as usize, disk.pack_names().await.len());
    assert!(stats.packs > 5, "{} packs", stats.packs);
}

#[tokio::test]
async fn a_chunk_is_stored_once_whoever_brings_it() {
    let store = Store::open(Backend::in_memory(), OPTIONS).await.expect("store opens");
    assert_eq!(put_all(&store, [1, 2, 1, 3]).await.chunks, 3);
    assert_eq!(put_all(&store, [3, 1, 4]).await.chunks, 1);
    assert_eq!(put_all(&store, [1, 2, 3, 4]).await, Stored::default());
    assert_eq!(store.stats().await.expect("stats").chunks, 4);
}

#[tokio::test]
async fn captures_that_bring_the_same_chunks_at_once_all_finish() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let captures: Vec<_> = (0..4)
        .map(|offset| {
            let store = store.clone();
            tokio::spawn(
                async move { put_all(&store, (0..30).map(|number| (number + offset * 7) % 30)).await },
            )
        })
        .collect();
    for capture in captures {
        capture.await.expect("capture ends");
    }
    assert_holds(&store, 0..30).await;
    assert_holds(&disk.open(OPTIONS).await, 0..30).await;
}

#[tokio::test]
async fn chunks_in_hand_are_not_asked_for_again_by_their_own_capture() {
    let store = Store::open(Backend::in_memory(), OPTIONS).await.expect("store opens");
    let (one, other) = (store.intake(), store.intake());
    one.put(vec![chunk(1)]).await.expect("taken");
    assert_eq!(one.missing(&ids([1, 2])).await.expect("asked"), ids([2]));
    // The other capture cannot count on the first to finish, nor can a manifest.
    assert_eq!(other.missing(&ids([1, 2])).await.expect("asked"), ids([1, 2]));
    assert_eq!(store.missing(&ids([1])), ids([1]));
    one.finish().await.expect("finished");
    assert_eq!(other.missing(&ids([1, 2])).await.expect("asked"), ids([2]));
}

#[tokio::test]
async fn a_chunk_that_is_not_what_it_says_is_refused_and_the_capture_goes_on() {
    let store = Store::open(Backend::in_memory(), OPTIONS).await.expect("store opens");
    let intake = store.intake();
    let mut wrong = chunk(1);
    wrong.id = ids([2])[0];
    let error = intake.put(vec![chunk(5), wrong]).await.expect_err("a wrong name");
    assert!(matches!(error, StoreError::Refused(OpenChunkError::WrongContent { .. })), "{error}");
    // zstd skips frames of padding: a small chunk could be made to fill the disk.
    let mut padded = chunk(3);
    assert_eq!(padded.codec, Codec::Zstd);
    padded.frame.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
    padded.frame.extend_from_slice(&(2_u32 << 20).to_le_bytes());
    padded.frame.resize(padded.frame.len() + (2 << 20), 0);
    let error = intake.put(vec![padded]).await.expect_err("a padded frame");
    assert!(matches!(error, StoreError::Refused(OpenChunkError::TooLarge { .. })), "{error}");

    intake.put(vec![chunk(1)]).await.expect("a right one");
    assert_eq!(intake.finish().await.expect("finished").chunks, 1);
    assert_eq!(store.missing(&ids([1, 2, 3, 5])), ids([2, 3, 5]));
}

#[tokio::test]
async fn a_pack_that_cannot_be_written_fails_its_capture_for_good_and_no_other() {
    let disk = Disk::default();
    let backend = disk.with_cut(2, Cut::Before); // after the two listings at the start
    let store = Store::open(backend, OPTIONS).await.expect("store opens");
    let intake = store.intake();
    intake.put(vec![chunk(1)]).await.expect("taken");
    for _ in 0..2 {
        let error = intake.finish().await.expect_err("no power");
        assert!(matches!(error, StoreError::Backend { doing: "writing", .. }), "{error}");
    }
    assert!(intake.put(vec![chunk(2)]).await.is_err());
    assert_eq!(store.missing(&ids([1])), ids([1]));
    put_all(&disk.open(OPTIONS).await, [1, 2]).await;
}

#[tokio::test]
async fn verification_tells_its_progress_and_finds_what_is_lost() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    put_all(&store, 0..20).await;
    let seen = Mutex::new(vec![]);
    let all = [ids(0..20), ids([77])].concat();
    assert_eq!(store.unproved(&all, NOW), ids([77]), "each pack is read back as soon as it is written");
    let store = disk.open(OPTIONS).await;
    assert_eq!(store.unproved(&all, NOW).len(), 21, "what was proved before a restart is to be proved again");
    let note = |progress: VerifyProgress| seen.lock().expect("lock").push(progress);
    let result = store.verify(&all, &note).await.expect("verified");
    assert_eq!((result.proved_chunks, result.damaged, result.missing), (20, vec![], ids([77])));
    let seen = seen.into_inner().expect("lock");
    assert!(seen.is_sorted_by_key(|progress| progress.done_chunks), "{seen:?}");
    assert_eq!(seen.last(), Some(&VerifyProgress { done_chunks: 21, total_chunks: 21 }));
    assert_eq!(store.unproved(&all, NOW), ids([77]));
}

/// One bit in a record, in the footer and in the trailer.
#[tokio::test]
async fn a_pack_that_reads_back_otherwise_than_it_was_written_is_not_kept() {
    for from_end in [200, 60, 1] {
        let disk = Disk::default();
        put_all(&disk.open(OPTIONS).await, [1]).await;
        let pack = disk.pack_names().await.remove(0);
        let byte = disk.read(&pack).await.len() - from_end;

        let store = Store::open(disk.with_spoiled(byte), OPTIONS).await.expect("store opens");
        let intake = store.intake();
        intake.put(vec![chunk(2)]).await.expect("taken");
        let error = intake.finish().await.expect_err("it reads back otherwise");
        assert!(matches!(error, StoreError::ReadBackDiffers { .. }), "{error}");
        assert_eq!(store.missing(&ids([1, 2])), ids([2]));
        assert_eq!(disk.pack_names().await, std::slice::from_ref(&pack));

        // A sound pack stays as it is where one of its name is brought again, for its chunk was taken for damaged.
        let sound = disk.read(&pack).await;
        let located = store.index().locate(ids([1])[0]).expect("it is here");
        store.note_damage(&located, "an error of the disk that passes".into()).expect("it was here");
        let intake = store.intake();
        intake.put(vec![chunk(1)]).await.expect("taken");
        intake.finish().await.expect_err("it reads back otherwise");
        assert!(disk.read(&pack).await == sound, "a sound pack was overwritten");
        assert_holds(&disk.open(OPTIONS).await, [1]).await;

        // Nothing is promised of one whose name is free.
        let intake = store.intake();
        disk.remove(&pack).await;
        verify(&store, &ids([1])).await;
        intake.put(vec![chunk(1)]).await.expect("taken");
        intake.finish().await.expect_err("it reads back otherwise");
        assert_eq!(store.missing(&ids([1])), ids([1]));
        assert_eq!(disk.names().await, [""; 0], "nothing is left of what was not kept");
        let store = disk.open(OPTIONS).await;
        put_all(&store, [1, 2]).await;
        assert_holds(&store, [1, 2]).await;
    }
}

#[tokio::test]
async fn a_damaged_chunk_is_named_with_its_pack_and_the_next_capture_brings_it_again() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    put_all(&store, [1]).await;
    let pack = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&pack).await;
    bytes[60] ^= 1; // in the frame, behind the record's header
    disk.write(&pack, bytes).await;

    // The header agrees, so it is read; whoever opens it notices.
    let sealed = store.read(ids([1])[0]).await.expect("read");
    assert!(open(&sealed).is_err());
    let result = verify(&store, &ids([1])).await;
    assert_eq!(result.proved_chunks, 0);
    let [damage] = result.damaged.as_slice() else { panic!("one is damaged: {result:?}") };
    assert_eq!(damage.chunk, ids([1])[0]);
    assert!(pack.contains(&damage.pack.to_string()));
    let error = store.read(ids([1])[0]).await.expect_err("known as damaged");
    assert!(matches!(&error, StoreError::Damaged(found) if found == damage), "{error}");

    assert_eq!(store.missing(&ids([1])), ids([1]));
    put_all(&store, [1]).await;
    assert_holds(&store, [1]).await;
    assert_eq!(verify(&store, &ids([1])).await.proved_chunks, 1);
}

/// Each region of a pack in turn, damaged while the store is open and while it is not. Damage to a record costs its chunk,
/// damage to the footer costs nothing: it is written anew.
#[tokio::test]
async fn damage_in_every_region_of_a_pack_is_found_and_named_or_mended() {
    let disk = Disk::default();
    put_all(&disk.open(OPTIONS).await, 0..3).await;
    let object = disk.pack_names().await.remove(0);
    let pack = PackName::of_object(&object).expect("a pack");
    let sound = disk.read(&object).await;
    let (end, footer) = (sound.len(), sound.len() - TRAILER_BYTES - 3 * ENTRY_BYTES);
    let regions = [
        ("magic of a record", 1),
        ("id in a record", 20),
        ("frame", HEADER_BYTES + 10),
        ("last byte of the records", footer - 1),
        ("id in the footer", footer + 3),
        ("offset in the footer", footer + 33),
        ("length in the footer", footer + 41),
        ("magic of the trailer", end - TRAILER_BYTES),
        ("format version", end - TRAILER_BYTES + 8),
        ("number of records", end - TRAILER_BYTES + 12),
        ("hash", end - 1),
    ];
    for (region, at) in regions {
        let open = disk.open(OPTIONS).await;
        let mut damaged = sound.clone();
        damaged[at] ^= 0x20;
        disk.write(&object, damaged.clone()).await;
        let opened_after = disk.open(OPTIONS).await;
        let in_records = at < footer;
        for (store, was_open) in [(open, true), (opened_after, false)] {
            let case = format!("{region}, open {was_open}");
            disk.write(&object, damaged.clone()).await;
            let unreadable = store.stats().await.expect("stats").unreadable_packs;
            let named = unreadable.iter().any(|unreadable| unreadable.pack == pack);
            assert_eq!(named, !was_open && !in_records, "{case}");
            assert_eq!(store.packs_without_footer().len(), usize::from(named), "{case}");
            assert_eq!(store.missing(&ids(0..3)), [], "{case}: nothing was read back yet");
            let found = store.verify_pack(pack, Pace::UNLIMITED).await.expect("read");
            assert!(found.damaged.iter().all(|damage| damage.pack == pack), "{case}");
            let lost = usize::from(in_records);
            let expected = (3 - lost as u64, lost, !in_records);
            assert_eq!((found.proved_chunks, found.damaged.len(), found.rewritten), expected, "{case}");
            let missing = store.missing(&ids(0..3));
            assert_eq!(missing.len(), lost, "{case}");
            for id in missing {
                let error = store.read(id).await.expect_err("it is damaged");
                assert!(matches!(error, StoreError::Damaged(damage) if damage.pack == pack), "{case}");
            }
            if !in_records {
                assert!(disk.read(&object).await == sound, "{case}: it is as it was");
                assert_eq!(store.stats().await.expect("stats").unreadable_packs, [], "{case}");
                assert!(store.unproved(&ids(0..3), NOW).is_empty(), "{case}");
            }
        }
        disk.write(&object, sound.clone()).await;
    }
}

/// What is known of a pack while the store is open needs no footer, but the next start does.
#[tokio::test]
async fn what_is_left_of_a_pack_without_a_footer_is_written_anew_beside_what_is_lost() {
    for reopen in [false, true] {
        let disk = Disk::default();
        let mut store = disk.open(OPTIONS).await;
        put_all(&store, 0..3).await;
        let object = disk.pack_names().await.remove(0);
        let mut bytes = disk.read(&object).await;
        bytes[HEADER_BYTES + 10] ^= 1;
        bytes.pop();
        disk.write(&object, bytes).await;
        if reopen {
            store = disk.open(OPTIONS).await;
        }
        let found = verify(&store, &ids(0..3)).await;
        assert_eq!((found.proved_chunks, found.damaged.len()), (2, 1), "reopened {reopen}");
        assert_eq!(disk.pack_names().await.len(), 2, "somebody may still get something from the old one");
        // It is written anew once, and found again by every start.
        for _ in 0..2 {
            assert_eq!(verify(&store, &ids(0..3)).await.proved_chunks, 2);
            assert_eq!(disk.pack_names().await.len(), 2);
            store = disk.open(OPTIONS).await;
            assert_holds(&store, 1..3).await;
            assert_eq!(store.missing(&ids(0..3)), ids([0]));
            assert_eq!(store.packs_without_footer(), [], "everything lies in packs with footers");
        }
    }
}

#[tokio::test]
async fn a_pack_without_a_footer_serves_on_where_it_cannot_be_written_anew() {
    let disk = Disk::default();
    put_all(&disk.open(OPTIONS).await, 0..3).await;
    let object = disk.pack_names().await.remove(0);
    let mut bytes = disk.read(&object).await;
    bytes.pop();
    disk.write(&object, bytes.clone()).await;
    let store = Store::open(disk.with_spoiled(60), OPTIONS).await.expect("store opens");
    for _ in 0..2 {
        assert_eq!(verify(&store, &ids(0..3)).await.proved_chunks, 3);
        assert_holds(&store, 0..3).await;
        let pack = PackName::of_object(&object).expect("a pack");
        let found = store.verify_pack(pack, Pace::UNLIMITED).await.expect("read");
        assert_eq!((found.proved_chunks, found.damaged.len(), found.rewritten), (3, 0, false));
        assert_eq!(store.packs_without_footer(), [pack]);
    }
    assert!(disk.read(&object).await == bytes);
    assert_holds(&disk.open(OPTIONS).await, 0..3).await;
}

#[tokio::test]
async fn the_loss_of_the_end_of_a_pack_costs_what_lay_there() {
    let disk = Disk::default();
    put_all(&disk.open(OPTIONS).await, 0..30).await;
    let packs = disk.pack_names().await;
    let mut shortened = disk.read(&packs[0]).await;
    let trailer = shortened.len() - TRAILER_BYTES;
    let count = u32::from_le_bytes(shortened[trailer + 12..trailer + 16].try_into().expect("four bytes"));
    // Its last record lacks a byte.
    shortened.truncate(trailer - count as usize * ENTRY_BYTES - 1);
    disk.write(&packs[0], shortened).await;
    disk.write("packs/README", b"a foreign file".to_vec()).await;

    let store = disk.open(OPTIONS).await;
    let stats = store.stats().await.expect("stats");
    assert_eq!(stats.unreadable_packs.len(), 1);
    assert_eq!(stats.packs as usize, packs.len(), "what is left of it is read");
    let lost = store.missing(&ids(0..30));
    assert_eq!((stats.damaged_chunks, lost.len()), (1, 1));
    for &id in &lost {
        let error = store.read(id).await.expect_err("its pack is unreadable");
        assert!(matches!(&error, StoreError::Damaged(damage) if packs[0].contains(&damage.pack.to_string())));
    }
    assert_holds(&store, (0..30).filter(|&number| !lost.contains(&ids([number])[0])).collect::<Vec<_>>())
        .await;
}

#[tokio::test]
async fn a_pack_that_vanishes_while_the_store_is_open_is_damage() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    put_all(&store, [1, 2]).await;
    disk.remove(&disk.pack_names().await[0]).await;
    let error = store.read_many(&ids([1, 2])).await.expect_err("the pack is gone");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert_eq!(verify(&store, &ids([1, 2])).await.damaged.len(), 2);
}

#[tokio::test]
async fn manifests_are_what_their_name_says() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let manifest = SignedManifest { encoded: b"any bytes".to_vec(), signature: [7; 64] };
    let root = store.put_manifest(&manifest).await.expect("written");
    assert_eq!(disk.open(OPTIONS).await.read_manifest(root).await.expect("read"), manifest);

    let other = ManifestRoot([9; 32]);
    let error = store.read_manifest(other).await.expect_err("never written");
    assert!(matches!(error, StoreError::ManifestMissing { root } if root == other), "{error}");
    let name = format!("manifests/{root}.manifest");
    for damaged in [vec![], vec![1; 63], [manifest.to_bytes(), vec![0]].concat()] {
        disk.write(&name, damaged).await;
        let error = store.read_manifest(root).await.expect_err("damaged");
        assert!(matches!(error, StoreError::ManifestDamaged { .. }), "{error}");
    }
}

/// What may happen to a store in its life.
#[derive(Debug, Clone)]
enum Op {
    Put(Vec<u8>),
    Finish,
    Read(Vec<u8>),
    Verify(Vec<u8>),
    /// The server is killed now: what was not finished may be lost, the rest may not.
    Kill,
    /// The server is started with a disk whose power goes during one of the next operations.
    KillDuring(u64, bool),
}

fn any_op() -> impl Strategy<Value = Op> {
    let numbers = || prop::collection::vec(0u8..40, 1..8);
    prop_oneof![
        5 => numbers().prop_map(Op::Put),
        2 => Just(Op::Finish),
        2 => numbers().prop_map(Op::Read),
        1 => numbers().prop_map(Op::Verify),
        1 => Just(Op::Kill),
        1 => (1u64..8, any::<bool>()).prop_map(|(operation, after)| Op::KillDuring(operation, after)),
    ]
}

/// Reads against the model; `false` where the backend failed.
async fn read_agrees(store: &Store, numbers: &[u8], durable: &BTreeSet<u8>) -> bool {
    let missing = store.missing(&ids(numbers.iter().copied()));
    assert!(numbers.iter().all(|number| !durable.contains(number) || !missing.contains(&ids([*number])[0])));
    match store.read_many(&ids(numbers.iter().copied())).await {
        Ok(chunks) => {
            assert!(missing.is_empty());
            for (&number, sealed) in numbers.iter().zip(&chunks) {
                assert_eq!(open(sealed), Ok(content(number)));
            }
            true
        }
        Err(StoreError::Missing { chunk, .. }) => {
            assert!(missing.contains(&chunk));
            true
        }
        Err(_) => false,
    }
}

/// Plays a life against a model: the chunks that a finished intake vouches for.
async fn play(ops: Vec<Op>) {
    let disk = Disk::default();
    let mut store = disk.open(OPTIONS).await;
    let mut intake = store.intake();
    let mut put: Vec<u8> = vec![];
    let mut durable: BTreeSet<u8> = BTreeSet::new();
    for op in ops {
        let failed = match &op {
            Op::Put(numbers) => {
                put.extend(numbers);
                intake.put(numbers.iter().copied().map(chunk).collect()).await.is_err()
            }
            Op::Finish => match intake.finish().await {
                Ok(_) => {
                    durable.extend(put.drain(..));
                    false
                }
                Err(_) => true,
            },
            Op::Read(numbers) => !read_agrees(&store, numbers, &durable).await,
            Op::Verify(numbers) => match store.verify(&ids(numbers.iter().copied()), &|_| ()).await {
                Ok(result) => {
                    assert_eq!(result.damaged, []);
                    false
                }
                Err(_) => true,
            },
            Op::Kill => true,
            Op::KillDuring(operation, after) => {
                let cut = if *after { Cut::After } else { Cut::Before };
                let opened = Store::open(disk.with_cut(*operation, cut), OPTIONS).await;
                put.clear();
                if let Ok(opened) = opened {
                    store = opened;
                    intake = store.intake();
                    false
                } else {
                    true
                }
            }
        };
        if failed {
            put.clear();
            store = disk.open(OPTIONS).await;
            intake = store.intake();
            assert_eq!(store.stats().await.expect("stats").unreadable_packs, []);
            assert_holds(&store, durable.iter().copied().collect::<Vec<_>>()).await;
        }
    }
    assert_holds(&disk.open(OPTIONS).await, durable.iter().copied().collect::<Vec<_>>()).await;
}

/// What may happen to a pack on a disk.
#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Extend(Vec<u8>),
    Zero(prop::sample::Index, usize),
    /// The file system gave it another pack's content.
    Swap(prop::sample::Index),
    Remove,
}

fn any_harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, flip)| Harm::Flip(at, flip)),
        2 => any::<prop::sample::Index>().prop_map(Harm::Truncate),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(Harm::Extend),
        1 => (any::<prop::sample::Index>(), 1usize..600).prop_map(|(at, length)| Harm::Zero(at, length)),
        1 => any::<prop::sample::Index>().prop_map(Harm::Swap),
        1 => Just(Harm::Remove),
    ]
}

async fn harm(disk: &Disk, victim: &prop::sample::Index, harm: &Harm) {
    let packs = disk.pack_names().await;
    if packs.is_empty() {
        return;
    }
    let name: &String = victim.get(&packs);
    let mut bytes = disk.read(name).await;
    match harm {
        Harm::Flip(at, flip) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        Harm::Truncate(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
        Harm::Flip(..) | Harm::Truncate(_) => {}
        Harm::Extend(more) => bytes.extend_from_slice(more),
        Harm::Zero(at, length) => {
            let start = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            bytes.iter_mut().skip(start).take(*length).for_each(|byte| *byte = 0);
        }
        Harm::Swap(other) => bytes = disk.read(other.get::<String>(&packs)).await,
        Harm::Remove => return disk.remove(name).await,
    }
    disk.write(name, bytes).await;
}

/// Harms packs, while the store is open or closed; then every chunk is right, or known to be lost, and one more
/// capture mends everything.
async fn play_harm(harms: Vec<(prop::sample::Index, Harm)>, reopen: bool) {
    const NUMBERS: std::ops::Range<u8> = 0..12;
    let disk = Disk::default();
    let mut store = disk.open(OPTIONS).await;
    put_all(&store, NUMBERS).await;
    for (victim, what) in &harms {
        harm(&disk, victim, what).await;
    }
    if reopen {
        store = disk.open(OPTIONS).await;
    }
    for number in NUMBERS {
        match store.read(ids([number])[0]).await {
            Ok(sealed) => assert!(open(&sealed).map_or(true, |plain| plain == content(number))),
            Err(StoreError::Damaged(_) | StoreError::Missing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let result = verify(&store, &ids(NUMBERS)).await;
    let lost = store.missing(&ids(NUMBERS));
    assert_eq!(lost.len(), result.damaged.len() + result.missing.len());
    assert_eq!(result.proved_chunks as usize + lost.len(), NUMBERS.len());
    put_all(&store, NUMBERS).await;
    assert_holds(&store, NUMBERS).await;
    assert_eq!(verify(&store, &ids(NUMBERS)).await.proved_chunks as usize, NUMBERS.len());
    // Also after the next start, where old damage may be met again: it is found and passed by.
    let reopened = disk.open(OPTIONS).await;
    assert_eq!(verify(&reopened, &ids(NUMBERS)).await.proved_chunks as usize, NUMBERS.len());
    assert_holds(&reopened, NUMBERS).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_durable_outlives_kills_and_power_cuts(ops in prop::collection::vec(any_op(), 1..40)) {
        runtime().block_on(play(ops));
    }

    #[test]
    fn harmed_packs_never_give_wrong_bytes_and_one_capture_mends_them(
        harms in prop::collection::vec((any::<prop::sample::Index>(), any_harm()), 1..4),
        reopen in any::<bool>(),
    ) {
        runtime().block_on(play_harm(harms, reopen));
    }
}
