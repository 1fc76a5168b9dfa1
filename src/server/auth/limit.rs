//! How often somebody may guess.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use crate::clock::Timestamp;

/// How many guessers are remembered. The one with the fewest recent guesses makes room, so a flood of invented
/// names cannot wash out the one that is being guessed at.
const GUESSERS_MAX: usize = 4096;

/// How many of those who came in are remembered: an administrator has a few addresses. The first makes room.
const PROVEN_MAX: usize = 64;

/// So many guesses at once, and then one per interval.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    pub burst: u32,
    pub interval: Duration,
}

/// Guesses by guesser: the generic cell rate algorithm, which needs one moment per guesser.
#[derive(Debug)]
pub struct Attempts<K> {
    allowance: Allowance,
    /// When the guesser will have its whole burst again.
    rested_at: HashMap<K, Timestamp>,
}

impl<K: Eq + Hash + Clone> Attempts<K> {
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, rested_at: HashMap::new() }
    }

    /// Counts one guess, or says how long to wait before the next.
    pub fn take(&mut self, guesser: &K, now: Timestamp) -> Result<(), Duration> {
        let Allowance { burst, interval } = self.allowance;
        let exhausted = interval * burst;
        // A clock that was set back must not lock anybody out for longer than the allowance does.
        let rested_at = self.rested_at.get(guesser).copied().unwrap_or(now).clamp(now, now.plus(exhausted));
        let after = rested_at.plus(interval);
        if after > now.plus(exhausted) {
            return Err(after.since(now.plus(exhausted)));
        }
        if !self.rested_at.contains_key(guesser) {
            self.make_room(now);
        }
        self.rested_at.insert(guesser.clone(), after);
        Ok(())
    }

    /// Forgets the guesses of one who turned out to know.
    pub fn forgive(&mut self, guesser: &K) {
        self.rested_at.remove(guesser);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.rested_at.len() < GUESSERS_MAX {
            return;
        }
        self.rested_at.retain(|_, rested_at| *rested_at > now);
        if self.rested_at.len() >= GUESSERS_MAX {
            let least =
                self.rested_at.iter().min_by_key(|(_, rested_at)| **rested_at).map(|(key, _)| key.clone());
            if let Some(least) = least {
                self.rested_at.remove(&least);
            }
        }
    }
}

/// Those who came in last.
#[derive(Debug)]
pub struct Proven<K>(VecDeque<K>);

impl<K: Eq> Proven<K> {
    pub fn add(&mut self, one: K) {
        self.0.retain(|known| *known != one);
        if self.0.len() >= PROVEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(one);
    }

    pub fn contains(&self, one: &K) -> bool {
        self.0.contains(one)
    }
}

impl<K> Default for Proven<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Allowance, Attempts, GUESSERS_MAX, PROVEN_MAX, Proven};
    use crate::clock::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);
    const START: Timestamp = Timestamp(1_000_000);

    fn attempts() -> Attempts<u32> {
        Attempts::new(Allowance { burst: 3, interval: SECOND * 10 })
    }

    fn at(seconds: u32) -> Timestamp {
        START.plus(SECOND * seconds)
    }

    #[test]
    fn a_burst_is_free_and_then_the_interval_counts() {
        let mut attempts = attempts();
        for (when, expect) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(SECOND * 10)),
            (4, Err(SECOND * 6)),
            (10, Ok(())),
            (10, Err(SECOND * 10)),
            (60, Ok(())),
            (60, Ok(())),
            (60, Ok(())),
            (60, Err(SECOND * 10)),
        ] {
            assert_eq!(attempts.take(&1, at(when)), expect, "at {when} s");
        }
        assert_eq!(attempts.take(&2, at(60)), Ok(()), "another guesser is not held back");
        attempts.forgive(&1);
        assert_eq!(attempts.take(&1, at(60)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_long() {
        let mut attempts = attempts();
        while attempts.take(&1, at(1_000_000)).is_ok() {}
        assert_eq!(attempts.take(&1, START), Err(SECOND * 10));
        assert_eq!(attempts.take(&1, at(10)), Err(SECOND * 10), "nothing was taken, so time alone decides");
    }

    #[test]
    fn a_flood_of_guessers_keeps_memory_bounded_and_the_worst_remembered() {
        let mut attempts = attempts();
        while attempts.take(&0, START).is_ok() {}
        for guesser in 1..2 * GUESSERS_MAX as u32 {
            assert_eq!(attempts.take(&guesser, START), Ok(()));
        }
        assert!(attempts.rested_at.len() <= GUESSERS_MAX);
        assert!(attempts.take(&0, START).is_err());
    }

    #[test]
    fn those_who_came_in_are_remembered_until_many_others_did() {
        let mut proven = Proven::default();
        proven.add(0);
        for one in 1..PROVEN_MAX {
            proven.add(one);
            proven.add(0);
        }
        assert!(proven.contains(&0) && proven.contains(&1));
        proven.add(PROVEN_MAX);
        assert!(proven.contains(&0) && !proven.contains(&1), "the one who came in longest ago made room");
    }
}
