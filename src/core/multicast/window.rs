//! What the numbers of the packets say: which came before, and how many never came.

use super::packet::Sequence;

/// How far behind the newest packet another may be and still be told from a repeated one. At 1 Gbit/s that is 12 ms: longer
/// than a switch holds a packet back. An older one is refused, which costs one packet.
pub const WINDOW: u64 = 1024;

/// How far behind the newest a number counts as lost if it has not come. Ports that are bundled bring packets in another
/// order, by a few dozen at worst; at 100 Mbit/s 128 numbers pass in 15 ms, so a report is not late by much.
pub const REORDERED_MOST: u64 = 128;

const WORDS: usize = (WINDOW / 64) as usize;

/// What has come of a channel since the first packet that was heard of it.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// One bit for each of the last [`WINDOW`] numbers, at its remainder: whether it came.
    came: [u64; WORDS],
    /// The first number that is not judged yet, and the newest that came. `None` until something came.
    range: Option<(u64, u64)>,
    reception: Reception,
}

/// What came and what did not, since the last time that somebody asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reception {
    /// Packets that came, each once.
    pub came: u64,
    /// Numbers that did not come although [`REORDERED_MOST`] others came or were sent since.
    pub lost: u64,
    /// Packets that came after they had been counted as lost, perhaps in an earlier reception.
    pub late: u64,
    /// Packets refused because they came before, or are too old to tell.
    pub stale: u64,
}

impl Reception {
    /// How much of what was sent did not come, in parts of a million. Nothing sent is nothing lost.
    pub fn lost_per_million(&self) -> u32 {
        let lost = self.lost.saturating_sub(self.late);
        // Each packet that came late is among those that came.
        let sent = self.came.saturating_sub(self.late).saturating_add(self.lost.max(self.late));
        let share = u128::from(lost) * 1_000_000 / u128::from(sent.max(1));
        u32::try_from(share).unwrap_or(1_000_000)
    }
}

impl Window {
    fn check(&self, sequence: Sequence) -> Result<(), Stale> {
        let number = sequence.get();
        match self.range {
            Some((_, newest)) if newest.saturating_sub(number) >= WINDOW => Err(Stale { sequence, newest }),
            Some((_, newest)) if number <= newest && self.bit(number) => Err(Stale { sequence, newest }),
            _ => Ok(()),
        }
    }

    /// Notes a packet that was proved; it must be proved, for one of a far number makes those before it lost. An error says
    /// that it is to be dropped.
    pub fn accept(&mut self, sequence: Sequence) -> Result<(), Stale> {
        if let Err(stale) = self.check(sequence) {
            self.reception.stale += 1;
            return Err(stale);
        }
        self.reception.came += 1;
        let number = sequence.get();
        match self.range {
            // Whatever was sent before was not meant for us yet.
            None => {
                self.came = [u64::MAX; WORDS];
                self.range = Some((number, number));
            }
            Some((unjudged, newest)) if number <= newest => {
                self.reception.late += u64::from(number < unjudged);
                self.set(number);
            }
            Some((unjudged, newest)) => {
                let unjudged = self.judge(unjudged, newest, number);
                self.move_on(newest, number);
                self.range = Some((unjudged, number));
            }
        }
        Ok(())
    }

    /// What came and was lost since the last call.
    pub fn take_reception(&mut self) -> Reception {
        std::mem::take(&mut self.reception)
    }

    /// Counts what is too far behind `number` to be only out of order, and gives what is to be judged next.
    fn judge(&mut self, unjudged: u64, newest: u64, number: u64) -> u64 {
        let end = (number + 1).saturating_sub(REORDERED_MOST).max(unjudged);
        // Of what is not judged, all but `REORDERED_MOST` numbers are newer than the newest: this walks over few.
        let known = (unjudged..end.min(newest + 1)).filter(|&past| !self.bit(past)).count() as u64;
        let never_seen = end.saturating_sub(unjudged.max(newest + 1));
        self.reception.lost += known + never_seen;
        end
    }

    /// Makes room for the numbers behind `newest`, of which only the last came.
    fn move_on(&mut self, newest: u64, number: u64) {
        if number - newest >= WINDOW {
            self.came = [0; WORDS];
        } else {
            for skipped in newest + 1..number {
                let (word, mask) = place(skipped);
                self.came[word] &= !mask;
            }
        }
        self.set(number);
    }

    fn bit(&self, number: u64) -> bool {
        let (word, mask) = place(number);
        self.came[word] & mask != 0
    }

    fn set(&mut self, number: u64) {
        let (word, mask) = place(number);
        self.came[word] |= mask;
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

/// A packet that came before, or that is too old to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("packet {sequence} came before or is too old, the newest is {newest}")]
pub struct Stale {
    pub sequence: Sequence,
    pub newest: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop, proptest};

    use super::{REORDERED_MOST, Reception, Sequence, WINDOW, Window};

    fn accept(window: &mut Window, number: u64) -> bool {
        window.accept(Sequence::new(number).unwrap()).is_ok()
    }

    #[test]
    fn each_number_comes_once() {
        let mut window = Window::default();
        assert!(accept(&mut window, 5000));
        // What was sent before we listened is neither wanted nor lost.
        assert!(!accept(&mut window, 4999) && !accept(&mut window, 5000) && !accept(&mut window, 0));
        assert!(accept(&mut window, 5002) && accept(&mut window, 5001) && !accept(&mut window, 5001));
        let expected = Reception { came: 3, stale: 4, ..Reception::default() };
        assert_eq!(window.take_reception(), expected);
        assert_eq!(window.take_reception(), Reception::default());
    }

    #[test]
    fn a_number_is_lost_once_it_is_too_late_and_found_again_if_it_comes() {
        let mut window = Window::default();
        let hole = 3;
        for number in (0..=hole + REORDERED_MOST - 1).filter(|&number| number != hole) {
            assert!(accept(&mut window, number));
        }
        assert_eq!(window.take_reception().lost, 0);
        assert!(accept(&mut window, hole + REORDERED_MOST));
        assert_eq!(window.take_reception(), Reception { came: 1, lost: 1, ..Reception::default() });
        assert!(accept(&mut window, hole));
        let late = window.take_reception();
        assert_eq!(late, Reception { came: 1, late: 1, ..Reception::default() });
        assert_eq!(late.lost_per_million(), 0);
        assert!(!accept(&mut window, hole));
    }

    #[test]
    fn a_silence_of_any_length_is_counted_at_once() {
        let mut window = Window::default();
        let far = Sequence::END - 1;
        assert!(accept(&mut window, 0) && accept(&mut window, far));
        let reception = window.take_reception();
        assert_eq!((reception.came, reception.lost), (2, far - REORDERED_MOST));
        assert_eq!(reception.lost_per_million(), 999_999);
        assert!(accept(&mut window, far - WINDOW + 1) && !accept(&mut window, far - WINDOW));
    }

    #[test]
    fn one_of_a_hundred_is_ten_thousand_parts() {
        let mut window = Window::default();
        for number in (0..100_000 + REORDERED_MOST).filter(|number| number % 100 != 50) {
            accept(&mut window, number);
        }
        let lost = window.take_reception().lost_per_million();
        assert!((9_980..=10_000).contains(&lost), "{lost}");
    }

    proptest! {
        /// Against a set of all that came.
        #[test]
        fn nothing_comes_twice_and_all_is_accounted_for(
            steps in prop::collection::vec((any::<bool>(), 0u64..300, 0u64..3000), 1..400),
        ) {
            let mut window = Window::default();
            let (mut came, mut newest, first) = (BTreeSet::new(), 4000, 4000);
            accept(&mut window, first);
            came.insert(first);
            let mut reception = window.take_reception();
            for (forward, small, large) in steps {
                let step = if small % 10 == 0 { large } else { small };
                let number: u64 = if forward { newest + step } else { newest.saturating_sub(step) };
                let new = number >= first && newest.saturating_sub(number) < WINDOW && !came.contains(&number);
                assert_eq!(accept(&mut window, number), new, "{number} after {newest}");
                if new {
                    came.insert(number);
                    newest = newest.max(number);
                }
                let more = window.take_reception();
                reception.came += more.came;
                reception.lost += more.lost;
                reception.late += more.late;
            }
            assert_eq!(reception.came, came.len() as u64);
            let judged_end = (newest + 1).saturating_sub(REORDERED_MOST).max(first);
            let missing = (first..judged_end).filter(|number| !came.contains(number)).count() as u64;
            assert_eq!(reception.lost - reception.late, missing);
        }
    }
}
