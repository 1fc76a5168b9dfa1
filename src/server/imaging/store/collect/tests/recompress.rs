//! Compressing the store again.

use mimeo_core::chunk::{ChunkId, open, seal};

use super::{OPTIONS, SWEEP, content};
use crate::imaging::store::{
    collect::{Collected, Sweep},
    faulty::Disk,
};

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
