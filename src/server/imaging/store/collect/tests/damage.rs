//! What a collection does where something is damaged: nothing that somebody may still need goes.

use super::{OPTIONS, SWEEP, assert_holds, collect, content, ids, publish, put};
use crate::imaging::store::{Store, error::StoreError, faulty::Disk, pace::Pace, pack::PackName};

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

/// Puts a pack with just these chunks on a disk, and gives the name of its object.
async fn add_pack_of(disk: &Disk, numbers: &[u8]) -> String {
    let other = Disk::default();
    put(&other.open(OPTIONS).await, numbers).await.expect("taken");
    let name = other.pack_names().await.remove(0);
    disk.write(&name, other.read(&name).await).await;
    name
}

/// A store with chunk 1 at the beginning of two packs, and the names of their objects: that from which it is read, and
/// the other.
async fn with_a_spare(disk: &Disk) -> (Store, String, String) {
    for numbers in [[1, 2, 3], [1, 4, 5]] {
        add_pack_of(disk, &numbers).await;
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
async fn a_spare_without_a_footer_serves_where_the_other_copy_has_rotted() {
    let disk = Disk::default();
    let (store, main, spare) = with_a_spare(&disk).await;
    let root = publish(&store, &[1]).await.expect("published");
    harm(&disk, &main).await;
    let mut bytes = disk.read(&spare).await;
    bytes.pop();
    disk.write(&spare, bytes).await;
    collect(&store, &[root]).await.expect("collected");
    assert_holds(&store, &[1]).await;
    assert_holds(&disk.open(OPTIONS).await, &[1]).await;
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

/// Spoils each record of a pack of three chunks of a kilobyte, and its footer.
async fn wreck(disk: &Disk, name: &str) {
    let mut bytes = disk.read(name).await;
    for record in 0..3 {
        bytes[record * (48 + 1024) + 60] ^= 1;
    }
    bytes.pop();
    disk.write(name, bytes).await;
}

#[tokio::test]
async fn a_chunk_that_three_versions_lack_is_one_lost_chunk() {
    let disk = Disk::default();
    let store = disk.open(OPTIONS).await;
    let mut roots = Vec::new();
    for numbers in [[1, 2], [1, 3], [1, 4]] {
        roots.push(publish(&store, &numbers).await.expect("published"));
    }
    rot(&disk, 1).await;
    assert_eq!(store.verify(&ids(&[1]), &|_| ()).await.expect("verified").damaged.len(), 1);
    assert_eq!(collect(&store, &roots).await.expect("collected").lost_chunks, 1);
}

#[tokio::test]
async fn a_pack_without_a_footer_goes_when_every_version_has_its_chunks_elsewhere() {
    let disk = Disk::default();
    let root = publish(&disk.open(OPTIONS).await, &[1, 2, 3]).await.expect("published");
    let pack = disk.pack_names().await.remove(0);
    wreck(&disk, &pack).await;
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
    wreck(&disk, &pack).await;
    let store = disk.open(OPTIONS).await;
    put(&store, &[3, 2, 1]).await.expect("brought again");
    let again = disk.pack_names().await.into_iter().find(|name| *name != pack).expect("there are two");
    harm(&disk, &again).await;
    let collected = collect(&store, &[root]).await.expect("collected");
    assert_eq!(collected.damaged.len(), 1, "{collected:?}");
    assert_eq!(disk.pack_names().await.len(), 2);
}

#[tokio::test]
async fn a_copy_that_reads_back_otherwise_costs_no_sound_pack_of_its_name() {
    let mut met = 0;
    for number in 0..20 {
        let disk = Disk::default();
        // What is left of the first pack is one chunk, which makes a pack of the second one's name.
        let broken = add_pack_of(&disk, &[number, 100, 101]).await;
        let same = add_pack_of(&disk, &[number]).await;
        let sound = disk.read(&same).await;
        let store = Store::open(disk.with_spoiled(60), OPTIONS).await.expect("store opens");
        if store.index().locate(ids(&[number])[0]).expect("it is here").pack.object() != broken {
            continue;
        }
        met += 1;
        let mut bytes = disk.read(&broken).await;
        for record in 1..3 {
            bytes[record * (48 + 1024) + 60] ^= 1;
        }
        bytes.pop();
        disk.write(&broken, bytes).await;
        let [broken, same_name] = [&broken, &same].map(|name| PackName::of_object(name).expect("a pack"));
        let found = store.verify_pack(broken, Pace::UNLIMITED).await.expect("read");
        assert_eq!((found.proved_chunks, found.damaged.len(), found.rewritten), (1, 2, false));
        assert!(disk.read(&same).await == sound, "a sound pack was overwritten");
        let found = store.verify_pack(same_name, Pace::UNLIMITED).await.expect("read");
        assert_eq!((found.proved_chunks, found.damaged), (1, vec![]));
        for store in [store, disk.open(OPTIONS).await] {
            let sealed = store.read(ids(&[number])[0]).await.expect("it is there");
            assert_eq!(mimeo_core::chunk::open(&sealed), Ok(content(number)));
        }
    }
    assert!(met > 0, "no chunk was read from the broken pack");
}
