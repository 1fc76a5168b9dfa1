//! What became of each block, and what of that the sender knows.

use std::collections::BTreeMap;

use mimeo_core::multicast::{
    block::BlockNumber,
    report::{BlockRun, Report},
};

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Wanted,
    /// All its symbols are here; it is restored, checked and written.
    Complete,
    /// It comes by unicast.
    Fetching,
    /// It is on the disk.
    Written,
}

/// A change that the sender may not know of: the first of the reports in a row that told of it. Whichever of them is heard,
/// it is known then.
type Told = Option<u32>;

/// All blocks of a channel.
#[derive(Debug, Clone)]
pub struct Progress {
    states: Vec<State>,
    written: u32,
    /// No block before this one is wanted.
    wanted_from: u32,
    /// Blocks whose need changed since the sender last confirmed it.
    changed: BTreeMap<BlockNumber, Told>,
}

impl Progress {
    pub fn new(blocks: u32) -> Self {
        Self {
            states: vec![State::Wanted; blocks as usize],
            written: 0,
            wanted_from: 0,
            changed: BTreeMap::new(),
        }
    }

    pub fn state(&self, block: BlockNumber) -> Option<State> {
        self.states.get(block.0 as usize).copied()
    }

    pub fn set(&mut self, block: BlockNumber, state: State) {
        let Some(old) = self.states.get_mut(block.0 as usize) else { return };
        let before = std::mem::replace(old, state);
        if (before == State::Wanted) != (state == State::Wanted) {
            self.changed.insert(block, None);
        }
        if state == State::Wanted {
            self.wanted_from = self.wanted_from.min(block.0);
        }
        self.written += u32::from(state == State::Written);
        self.written -= u32::from(before == State::Written);
    }

    pub fn written(&self) -> u32 {
        self.written
    }

    pub fn done(&self) -> bool {
        self.written as usize == self.states.len()
    }

    /// The first block that is wanted.
    pub fn first_wanted(&mut self) -> Option<BlockNumber> {
        while self.state(BlockNumber(self.wanted_from)).is_some_and(|state| state != State::Wanted) {
            self.wanted_from += 1;
        }
        self.state(BlockNumber(self.wanted_from)).map(|_| BlockNumber(self.wanted_from))
    }

    /// A sender that knows nothing of this receiver takes every block for wanted.
    pub fn tell_all(&mut self) {
        let others = self.states.iter().enumerate().filter(|(_, state)| **state != State::Wanted);
        self.changed = others.map(|(index, _)| (BlockNumber(index as u32), None)).collect();
    }

    /// The newest report that the sender has heard is `number`: what that told is known.
    pub fn heard(&mut self, number: u32) {
        self.changed.retain(|_, told| told.is_none_or(|first| first > number));
    }

    /// Adds to a report what the sender may not know, as far as there is room.
    pub fn tell(&mut self, report: &mut Report) {
        let mut told = Vec::new();
        for wanted in [true, false] {
            let runs = self.runs(wanted);
            for run in runs {
                let added = if wanted { report.add_wants(run) } else { report.add_has(run) };
                if !added {
                    break;
                }
                told.push(run);
            }
        }
        let before = self.changed.clone();
        self.changed.values_mut().for_each(|told| *told = None);
        for block in told.into_iter().flat_map(|run| run.blocks()) {
            let first = before.get(&block).copied().flatten().unwrap_or(report.counters.number);
            self.changed.insert(block, Some(first));
        }
    }

    /// Changed blocks that are wanted now, or that are not, as runs.
    fn runs(&self, wanted: bool) -> Vec<BlockRun> {
        let mut runs: Vec<BlockRun> = Vec::new();
        for block in self.changed.keys() {
            if (self.state(*block) == Some(State::Wanted)) != wanted {
                continue;
            }
            match runs.last_mut().filter(|run| run.end() == block.0) {
                Some(run) => run.count += 1,
                None => runs.push(BlockRun { first: *block, count: 1 }),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::multicast::report::{Counters, Member};

    use super::*;

    fn report(number: u32, progress: &mut Progress) -> Report {
        let mut report = Report::new(Counters {
            member: Member(0),
            number,
            reach: 0,
            received: 0,
            arriving: 0,
            queue_percent: 0,
            dropped: 0,
            written: 0,
            unheard: None,
        });
        progress.tell(&mut report);
        report
    }

    fn run(first: u32, count: u32) -> BlockRun {
        BlockRun { first: BlockNumber(first), count }
    }

    #[test]
    fn a_change_is_told_until_it_is_heard() {
        let mut progress = Progress::new(10);
        (2..5).for_each(|block| progress.set(BlockNumber(block), State::Complete));
        assert_eq!(report(1, &mut progress).has(), [run(2, 3)]);
        progress.set(BlockNumber(7), State::Written);
        assert_eq!(report(2, &mut progress).has(), [run(2, 3), run(7, 1)]);
        progress.heard(1);
        assert_eq!(report(3, &mut progress).has(), [run(7, 1)]);
        progress.heard(2);
        assert!(report(4, &mut progress).has().is_empty());
        progress.set(BlockNumber(3), State::Wanted);
        assert_eq!(report(5, &mut progress).wants(), [run(3, 1)]);
    }

    #[test]
    fn what_is_written_is_counted() {
        let mut progress = Progress::new(2);
        progress.set(BlockNumber(0), State::Written);
        progress.set(BlockNumber(1), State::Complete);
        assert_eq!((progress.written(), progress.done()), (1, false));
        progress.set(BlockNumber(1), State::Written);
        assert!(progress.done());
        progress.set(BlockNumber(9), State::Written);
        assert_eq!(progress.written(), 2);
    }

    #[test]
    fn a_sender_that_knows_nothing_is_told_all() {
        let mut progress = Progress::new(100);
        (0..100).step_by(2).for_each(|block| progress.set(BlockNumber(block), State::Written));
        report(1, &mut progress);
        progress.heard(1);
        progress.tell_all();
        assert_eq!(report(1, &mut progress).has().len(), 50);
    }
}
