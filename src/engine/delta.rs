//! Whether it pays to read what a target holds before it is written.
//!
//! A chunk that is in place already needs neither to be fetched nor to be written; to know that, it has to be read. Reading
//! runs beside fetching, and before writing on the same disk. So of a stretch of which the share `s` is in place, each byte
//! takes, in nanoseconds,
//!
//! ```text
//! written in full:  max(fetch, write)
//! read first:       max((1 - s) × fetch, read + (1 - s) × write + turns)
//! ```
//!
//! | | read | write | turns |
//! |---|---|---|---|
//! | solid state (SATA, the slowest of its kind: 500 and 450 MB/s) | 2.0 | 2.2 | none |
//! | rotational (150 MB/s, the mean over its platters) | 6.7 | 6.7 | 24 ms for each batch of 8 MiB that is read and then written: twice 8 ms for the arm and 4 ms for half a turn |
//!
//! What fetching takes is measured, for it differs a hundredfold: 1 ns from a store on the same machine, 4.5 ns for one
//! computer alone on a gigabit line (content compressed to a half), 135 ns for each of thirty that share it.
//!
//! What that makes of it: a solid-state disk is read first wherever the line is slower than it is, whatever is in place, and
//! from a store on the same machine if two thirds are. A rotational disk alone on a gigabit line is read first only if nearly
//! all of it is in place; in a full room already if a few per cent are.
//!
//! The share differs along a disk: an interrupted deploy left everything up to a point and nothing behind it. So it is that of
//! the last batches that counts, and where nothing is read any more a batch is looked at now and then. Nothing here reads a
//! clock or a disk.

use std::time::Duration;

/// What a byte of the target's disk takes, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DiskCosts {
    read: f64,
    write: f64,
    /// For a batch that is read and then written.
    turns: f64,
}

impl DiskCosts {
    pub(crate) const SOLID_STATE: Self = Self { read: 2.0, write: 2.2, turns: 0.0 };
    pub(crate) const ROTATIONAL: Self = Self { read: 6.7, write: 6.7, turns: 24e6 / (8 << 20) as f64 };
}

/// What fetching is taken to cost until it was measured: one computer alone on a gigabit line.
const FETCH_ASSUMED: f64 = 4.5;
/// A request for less says more about the way to the server and back than about the line.
const FETCH_COUNTED_MIN: u64 = 2 << 20;
/// So much is fetched before the measurement counts; after four times as much, what is older counts half.
const FETCH_TRUSTED_FROM: u64 = 16 << 20;

/// How much longer reading first may take than a full write before it is given up: what is left alone spares the line for
/// the others in the room, the server, and the cells of a solid-state disk.
const PREFERENCE: f64 = 1.25;
/// With less than one chunk of a batch in place, reading first saves nothing worth the name.
const SHARE_MIN: f64 = 1.0 / 64.0;
/// Of the last batch that was compared, so much goes into the share: after 15 batches (120 MiB) in which nothing agreed, what
/// was before is forgotten.
const SHARE_OF_LAST: f64 = 0.25;
/// How many batches are written without a look, at first and at most: 128 MiB and 2 GiB. Each look that finds nothing doubles
/// it, so that on a disk that holds nothing more, less than a hundredth is read in vain.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 256;

/// The most chunks of a batch, each of which may make it one that is written.
const BATCH_CHUNKS: f64 = 64.0;

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approach {
    /// Read what the target holds, and write what differs.
    Compare,
    /// The same, and tell at once what some of its chunks say.
    Probe,
    /// Write all of it.
    Write,
}

/// What is known of a target that holds some of the master.
#[derive(Debug)]
pub(crate) struct Delta {
    costs: DiskCosts,
    /// How many requests are under way at once.
    requests: f64,
    fetched_bytes: f64,
    fetched_ns: f64,
    /// The share that is in place, here.
    share: f64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Comparing,
    /// For `left` more batches, of the `pause` that was meant.
    Writing {
        left: u32,
        pause: u32,
    },
}

impl Delta {
    /// For a disk of which `share` is in place as far as samples tell, and a server that is asked by so many at once.
    pub(crate) fn new(costs: DiskCosts, share: f64, requests: usize) -> Self {
        let mut delta = Self {
            costs,
            requests: requests.max(1) as f64,
            fetched_bytes: 0.0,
            fetched_ns: 0.0,
            share,
            state: State::Comparing,
        };
        delta.weigh();
        delta
    }

    /// What to do with the next batch. A probe is followed by [`Delta::probed`].
    pub(crate) fn next(&mut self) -> Approach {
        match &mut self.state {
            State::Comparing => Approach::Compare,
            State::Writing { left: 0, .. } => Approach::Probe,
            State::Writing { left, .. } => {
                *left -= 1;
                Approach::Write
            }
        }
    }

    /// What a probe found: so many chunks in place of those that were looked at.
    pub(crate) fn probed(&mut self, in_place: usize, of: usize) {
        let State::Writing { pause, .. } = self.state else { return };
        if of == 0 {
            self.state = State::Writing { left: PAUSE_MIN, pause };
            return;
        }
        self.share = in_place as f64 / of as f64;
        self.state = if self.pays() {
            State::Comparing
        } else {
            let pause = (pause * 2).min(PAUSE_MAX);
            State::Writing { left: pause, pause }
        };
    }

    /// What comparing a batch found.
    pub(crate) fn compared(&mut self, in_place_bytes: u64, of_bytes: u64) {
        // Those that were under way when reading was given up tell of what lies behind.
        if of_bytes > 0 && self.state == State::Comparing {
            self.share += SHARE_OF_LAST * (in_place_bytes as f64 / of_bytes as f64 - self.share);
            self.weigh();
        }
    }

    /// How long one request took, which brought so much content.
    pub(crate) fn fetched(&mut self, bytes: u64, took: Duration) {
        if bytes < FETCH_COUNTED_MIN {
            return;
        }
        if self.fetched_bytes > 4.0 * FETCH_TRUSTED_FROM as f64 {
            self.fetched_bytes /= 2.0;
            self.fetched_ns /= 2.0;
        }
        self.fetched_bytes += bytes as f64;
        self.fetched_ns += took.as_nanos() as f64 / self.requests;
    }

    fn weigh(&mut self) {
        if !self.pays() {
            self.state = State::Writing { left: PAUSE_MIN, pause: PAUSE_MIN };
        }
    }

    fn fetch_cost(&self) -> f64 {
        if self.fetched_bytes < FETCH_TRUSTED_FROM as f64 {
            FETCH_ASSUMED
        } else {
            self.fetched_ns / self.fetched_bytes
        }
    }

    fn pays(&self) -> bool {
        pays(self.costs, self.fetch_cost(), self.share)
    }
}

/// Whether a stretch is to be read first of which `share` is in place, where fetching a byte takes `fetch` nanoseconds.
fn pays(costs: DiskCosts, fetch: f64, share: f64) -> bool {
    let in_full = fetch.max(costs.write);
    share >= SHARE_MIN && read_first(costs, fetch, share) <= PREFERENCE * in_full
}

fn read_first(costs: DiskCosts, fetch: f64, share: f64) -> f64 {
    let rest = 1.0 - share;
    // At worst, each chunk that differs lies in a batch of its own.
    let turns = costs.turns * (rest * BATCH_CHUNKS).min(1.0);
    (rest * fetch).max(costs.read + rest * costs.write + turns)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Strategy, prop, proptest};

    use super::{Approach, Delta, DiskCosts, PAUSE_MAX, PAUSE_MIN, pays, read_first};

    const SOLID: DiskCosts = DiskCosts::SOLID_STATE;
    const ROTATIONAL: DiskCosts = DiskCosts::ROTATIONAL;
    /// Nanoseconds a byte: the same machine, a gigabit line alone, thirty on one.
    const LOCAL: f64 = 1.0;
    const ALONE: f64 = 4.5;
    const ROOM: f64 = 135.0;
    const BATCH: u64 = 8 << 20;

    #[test]
    fn what_pays_depends_on_the_disk_the_line_and_the_share() {
        for (costs, fetch, share, expect) in [
            (SOLID, ALONE, 0.02, true),
            (SOLID, ALONE, 0.0, false),
            (SOLID, LOCAL, 0.7, true),
            (SOLID, LOCAL, 0.6, false),
            (SOLID, ROOM, 0.02, true),
            (ROTATIONAL, ALONE, 1.0, true),
            (ROTATIONAL, ALONE, 0.97, false),
            (ROTATIONAL, ALONE, 0.5, false),
            (ROTATIONAL, LOCAL, 1.0, true),
            (ROTATIONAL, LOCAL, 0.9, false),
            (ROTATIONAL, ROOM, 0.05, true),
            (ROTATIONAL, ROOM, 0.0, false),
        ] {
            assert_eq!(pays(costs, fetch, share), expect, "{costs:?} {fetch} {share}");
        }
    }

    #[test]
    fn a_stretch_in_which_nothing_agrees_ends_the_reading_and_a_look_that_agrees_begins_it_again() {
        let mut delta = Delta::new(SOLID, 1.0, 4);
        let mut compared = 0;
        while delta.next() == Approach::Compare {
            delta.compared(0, BATCH);
            compared += 1;
        }
        assert!((10..=16).contains(&compared), "{compared} batches were read in vain");
        // The first of them told that reading is over.
        for expect in [PAUSE_MIN - 1, 32, 64, 128, 256, 256] {
            for _ in 0..expect {
                assert_eq!(delta.next(), Approach::Write);
            }
            assert_eq!(delta.next(), Approach::Probe);
            delta.probed(0, 8);
        }
        for _ in 0..256 {
            assert_eq!(delta.next(), Approach::Write);
        }
        assert_eq!(delta.next(), Approach::Probe);
        delta.probed(6, 8);
        assert_eq!(delta.next(), Approach::Compare);
    }

    #[test]
    fn a_line_that_proves_slow_has_a_rotational_disk_read_and_one_that_proves_fast_does_not() {
        let mut delta = Delta::new(ROTATIONAL, 0.5, 4);
        assert_eq!(delta.next(), Approach::Write, "alone on a gigabit line");
        // Four at once, 8 MiB each, in 4 s: 8 MB/s.
        for _ in 0..4 {
            delta.fetched(BATCH, Duration::from_secs(4));
        }
        while delta.next() == Approach::Write {}
        delta.probed(4, 8);
        assert_eq!(delta.next(), Approach::Compare);
        for _ in 0..200 {
            delta.fetched(BATCH, Duration::from_millis(40));
        }
        delta.compared(BATCH / 2, BATCH);
        assert_eq!(delta.next(), Approach::Write);
    }

    #[test]
    fn small_requests_say_nothing_of_the_line() {
        let mut delta = Delta::new(ROTATIONAL, 0.9, 4);
        for _ in 0..1000 {
            delta.fetched(128 << 10, Duration::from_millis(50));
        }
        while delta.next() == Approach::Write {}
        delta.probed(7, 8);
        assert_eq!(delta.next(), Approach::Write);
    }

    /// What deploying a disk takes, batch by batch, with the answers as late as a pipeline has them.
    fn simulate(
        costs: DiskCosts,
        fetch: f64,
        shares: &[f64],
        approach: impl Fn(&mut Delta) -> Approach,
    ) -> f64 {
        const LATE: usize = 8;
        let mut delta = Delta::new(costs, shares[0], 1);
        let mut time = 0.0;
        let mut under_way = Vec::new();
        for &share in shares {
            let is_read = match approach(&mut delta) {
                Approach::Write => false,
                Approach::Compare => true,
                Approach::Probe => {
                    delta.probed((share * 8.0).round() as usize, 8);
                    true
                }
            };
            let rest = if is_read { 1.0 - share } else { 1.0 };
            time +=
                BATCH as f64 * if is_read { read_first(costs, fetch, share) } else { fetch.max(costs.write) };
            under_way.push((is_read, share, rest));
            if let Some(&(was_read, share, rest)) = under_way.iter().rev().nth(LATE) {
                let fetched = (rest * BATCH as f64) as u64;
                delta.fetched(fetched, Duration::from_nanos((fetched as f64 * fetch) as u64));
                if was_read {
                    delta.compared((share * BATCH as f64) as u64, BATCH);
                }
            }
        }
        time
    }

    /// Disks of some gigabytes that hold stretches of some of a master.
    fn disks() -> impl Strategy<Value = Vec<f64>> {
        let stretch = (prop::sample::select(vec![0.0, 0.1, 0.5, 0.9, 1.0]), 64..400usize);
        prop::collection::vec(stretch, 1..8).prop_map(|stretches| {
            stretches.into_iter().flat_map(|(share, batches)| vec![share; batches]).collect()
        })
    }

    proptest! {
        #[test]
        fn what_pays_pays_all_the_more_where_more_is_in_place(fetch in 0.1..200.0f64, share in 0.0..1.0f64, more in 0.0..1.0f64) {
            for costs in [SOLID, ROTATIONAL] {
                let larger = share + more * (1.0 - share);
                assert!(!pays(costs, fetch, share) || pays(costs, fetch, larger));
            }
        }

        #[test]
        fn whatever_a_disk_holds_it_takes_little_longer_than_the_better_of_always_and_never(
            disk in disks(),
            fetch in prop::sample::select(vec![LOCAL, ALONE, 20.0, ROOM]),
        ) {
            for costs in [SOLID, ROTATIONAL] {
                let adaptive = simulate(costs, fetch, &disk, |delta| delta.next());
                let always = simulate(costs, fetch, &disk, |_| Approach::Compare);
                let never = simulate(costs, fetch, &disk, |_| Approach::Write);
                let least = always.min(never);
                // The preference and the looks; a pause until the line is known, and one behind each change.
                let changes = disk.windows(2).filter(|pair| pair[0] != pair[1]).count();
                let batches = 2 * PAUSE_MIN as usize + changes * (PAUSE_MAX as usize + 16);
                let slowest = fetch.max(costs.read + costs.write + costs.turns);
                let slack = batches.min(disk.len()) as f64 * BATCH as f64 * slowest;
                assert!(adaptive <= least * 1.35 + slack, "{costs:?}, {fetch}: {adaptive} against {least}");
            }
        }
    }
}
