//! The life of a store against a model: the versions that are listed, and what the running capture was told.

use std::collections::{BTreeMap, BTreeSet};

use mimeo_core::manifest::ManifestRoot;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::{Capture, OPTIONS, check_holds, collect, ids, manifest};
use crate::imaging::store::{
    Store,
    faulty::Cut,
    hold::Hold,
    power::{Fault, OUTCOMES, PowerDisk},
};

/// What may happen to a store in its life.
#[derive(Debug, Clone)]
enum Op {
    /// A capture learns what is missing of its disk, and brings that later.
    Ask(Vec<u8>),
    /// It brings some of what it lacks.
    Bring(usize),
    /// It brings the rest, hands in its manifest, and is listed.
    Publish,
    /// It dies.
    Abandon,
    /// The version of this place in the list is removed.
    Remove(prop::sample::Index),
    Collect,
    /// A collection is dropped after so many turns.
    CollectABit(u8),
    /// A collection during which the power goes.
    CollectWithCut(u64, bool, prop::sample::Index),
    Kill,
}

fn any_op() -> impl Strategy<Value = Op> {
    let numbers = || prop::collection::vec(0u8..30, 1..12);
    prop_oneof![
        4 => numbers().prop_map(Op::Ask),
        3 => (1usize..6).prop_map(Op::Bring),
        5 => Just(Op::Publish),
        1 => Just(Op::Abandon),
        4 => any::<prop::sample::Index>().prop_map(Op::Remove),
        4 => Just(Op::Collect),
        1 => (1u8..30).prop_map(Op::CollectABit),
        2 => (0u64..20, any::<bool>(), any::<prop::sample::Index>())
            .prop_map(|(write, after, left)| Op::CollectWithCut(write, after, left)),
        1 => Just(Op::Kill),
    ]
}
struct House {
    disk: PowerDisk,
    store: Store,
    capture: Option<Capture>,
    listed: BTreeMap<[u8; 32], Vec<u8>>,
}

impl House {
    async fn restart(&mut self, disk: PowerDisk) {
        self.capture = None;
        self.store = disk.open(OPTIONS).await.expect("store opens");
        self.disk = disk;
        assert_eq!(self.store.stats().await.expect("stats").unreadable_packs, []);
    }

    async fn publish(&mut self) {
        let Some(mut capture) = self.capture.take() else { return };
        capture.bring(usize::MAX).await;
        capture.intake.finish().await.expect("finished");
        let hold: Hold = self.store.hold();
        // The promise: whatever was collected meanwhile, nothing that the capture was told is there.
        assert_eq!(hold.missing(&ids(&capture.numbers)), []);
        let root = self.store.put_manifest(&manifest(&capture.numbers)).await.expect("written");
        self.listed.insert(root.0, capture.numbers);
    }

    fn roots(&self) -> Vec<ManifestRoot> {
        self.listed.keys().map(|&root| ManifestRoot(root)).collect()
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Ask(numbers) => self.capture = Some(Capture::begin(&self.store, numbers).await),
            Op::Bring(count) => {
                if let Some(capture) = &mut self.capture {
                    capture.bring(count).await;
                }
            }
            Op::Publish => self.publish().await,
            Op::Abandon => self.capture = None,
            Op::Remove(which) if !self.listed.is_empty() => {
                let root = *which.get(&self.roots());
                self.listed.remove(&root.0);
            }
            Op::Remove(_) => {}
            Op::Collect => {
                collect(&self.store, &self.roots()).await.expect("collected");
            }
            Op::CollectABit(turns) => {
                let roots = self.roots();
                let collecting = collect(&self.store, &roots);
                let few = async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    _ = collecting => {}
                    () = few => {}
                }
            }
            Op::CollectWithCut(write, after, left) => {
                let cut = if after { Cut::After } else { Cut::Before };
                self.disk.fail_at(write, Fault::PowerCut(cut));
                let _ended = collect(&self.store, &self.roots()).await;
                let outcome = *left.get(&OUTCOMES);
                let disk = self.disk.after_power_cut(outcome).await;
                self.restart(disk).await;
            }
            Op::Kill => {
                let disk = self.disk.after_kill().await;
                self.restart(disk).await;
            }
        }
    }

    async fn check(&self) {
        for numbers in self.listed.values() {
            check_holds(&self.store, numbers).await.expect("every listed version is whole");
        }
    }
}

/// Plays a life against a model: the versions that are listed, and what the running capture was told.
async fn play(ops: Vec<Op>) {
    let disk = PowerDisk::default();
    let store = disk.open(OPTIONS).await.expect("store opens");
    let mut house = House { disk, store, capture: None, listed: BTreeMap::new() };
    for op in ops {
        house.run(op).await;
        house.check().await;
    }
    // In the end nothing is left but what is needed, give or take a fifth.
    house.capture = None;
    let disk = house.disk.after_kill().await;
    house.restart(disk).await;
    for _ in 0..2 {
        collect(&house.store, &house.roots()).await.expect("collected");
    }
    house.check().await;
    let needed: BTreeSet<u8> = house.listed.values().flatten().copied().collect();
    let stats = house.store.stats().await.expect("stats");
    let least = needed.len() as u64 * (1024 + 48 + 44);
    assert!(stats.pack_bytes <= least * 5 / 4 + 64 * stats.packs, "{stats:?} for {} chunks", needed.len());
    let manifests = house.disk.names().into_iter().filter(|name| name.starts_with("manifests/")).count();
    assert_eq!(manifests, house.listed.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn captures_removals_collections_and_crashes_never_cost_a_needed_chunk(
        ops in prop::collection::vec(any_op(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(play(ops));
    }
}
