//! What was told already, so that nothing is told more often than a person wants to read it.

use std::{collections::HashSet, hash::Hash, time::Duration};

use crate::clock::Timestamp;

/// After this time everything may be told again.
const TELL_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Facts that are told in that time: one of each machine of a large site. A flood of invented machines invents facts
/// too, and fills no log with them.
const FACTS_MAX: usize = 1024;

/// The facts of one kind told lately.
#[derive(Debug)]
pub(super) struct Told<Fact> {
    facts: HashSet<Fact>,
    since: Timestamp,
}

impl<Fact> Default for Told<Fact> {
    fn default() -> Self {
        Self { facts: HashSet::new(), since: Timestamp(0) }
    }
}

impl<Fact: Eq + Hash> Told<Fact> {
    /// Whether the fact is to be told now; if so, it counts as told.
    pub(super) fn is_news(&mut self, fact: Fact, now: Timestamp) -> bool {
        if now.since(self.since) >= TELL_AGAIN {
            self.facts.clear();
            self.since = now;
        }
        self.facts.len() < FACTS_MAX && self.facts.insert(fact)
    }
}

#[cfg(test)]
mod tests {
    use super::{FACTS_MAX, TELL_AGAIN, Told};
    use crate::clock::Timestamp;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_fact_is_told_again_only_after_a_while() {
        let mut told = Told::default();
        assert!(told.is_news("a", NOW));
        assert!(told.is_news("b", NOW));
        assert!(!told.is_news("a", NOW), "even though another was told in between");
        assert!(told.is_news("a", NOW.plus(TELL_AGAIN)));
    }

    #[test]
    fn a_flood_of_facts_is_told_in_bounded_number() {
        let mut told = Told::default();
        let count = (0..10 * FACTS_MAX).filter(|fact| told.is_news(*fact, NOW)).count();
        assert_eq!(count, FACTS_MAX);
        assert!(told.is_news(0, NOW.plus(TELL_AGAIN)), "and it goes on afterwards");
    }
}
