//! Captures, deploys and collections at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mimeo_core::{chunk::open, manifest::ManifestRoot};

use super::{Capture, OPTIONS, SWEEP, assert_holds, check_holds, collect, content, ids, manifest, publish};
use crate::imaging::store::faulty::Disk;

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
