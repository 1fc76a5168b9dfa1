//! How packets arrive: how far, how many, how fast, and whether at all.

use std::{collections::VecDeque, time::Duration};

use mimeo_core::multicast::{
    control::{PROBE_PACKETS, PROBE_TIME},
    report::{TRAIN_PACKETS, Unheard},
};

/// A packet that is overtaken by others comes within this; before, it is not missed.
pub const REORDERED_WITHIN: Duration = Duration::from_millis(8);
/// Moments that are remembered for that: no more than one a millisecond.
const MOMENT: Duration = Duration::from_millis(1);

/// A speed is told from so many packets on.
const SPEED_PACKETS: u32 = 32;

/// Silence that long, while the sender went on by so many packets, is no chance: the membership is gone.
const CEASED_AFTER: Duration = Duration::from_secs(3);
const CEASED_PACKETS: u64 = 1000;

/// The last packets before a silence may be lost as well, which only the sender's word shows. More than this is no end of
/// a transmission but an interruption.
const TAIL_PACKETS: u64 = 256;

/// How far and how much was heard at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// The sequence number after the highest.
    pub reach: u64,
    /// Packets since joining.
    pub received: u64,
}

/// The packets of one membership.
#[derive(Debug, Clone)]
pub struct Arrivals {
    joined_at: Duration,
    joined: u64,
    /// The sender's next sequence number, as it said last, and when it said so first.
    sender_at: u64,
    sender_said: Duration,
    now: Heard,
    last_at: Option<Duration>,
    /// Earlier states, oldest first; the first is old enough to be reported.
    before: VecDeque<(Duration, Heard)>,
    foreign: bool,
    /// The first packets since the last report, and when the first and the last of them came.
    counted: u32,
    counted_from: Duration,
    counted_to: Duration,
}

impl Arrivals {
    pub fn new(joined: u64, now: Duration) -> Self {
        Self {
            joined_at: now,
            joined,
            sender_at: joined,
            sender_said: now,
            now: Heard::default(),
            last_at: None,
            before: VecDeque::new(),
            foreign: false,
            counted: 0,
            counted_from: now,
            counted_to: now,
        }
    }

    /// A packet of the channel that was not there before.
    pub fn packet(&mut self, sequence: u64, now: Duration) {
        if self.before.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= MOMENT) {
            self.before.push_back((now, self.now));
            self.let_go(now);
        }
        self.now.reach = self.now.reach.max(sequence + 1);
        // What was sent before it joined is no part of what it should have heard.
        self.now.received += u64::from(sequence >= self.joined);
        self.last_at = Some(now);
        if self.counted == 0 {
            self.counted_from = now;
        }
        if self.counted < TRAIN_PACKETS {
            self.counted += 1;
            self.counted_to = now;
        }
    }

    /// A packet that is not the channel's.
    pub fn foreign(&mut self) {
        self.foreign = true;
    }

    pub fn sender_is_at(&mut self, sequence: u64, now: Duration) {
        if sequence > self.sender_at {
            (self.sender_at, self.sender_said) = (sequence, now);
        }
    }

    /// Keeps one state that is old enough, and all that are younger.
    fn let_go(&mut self, now: Duration) {
        let old = |at: Duration| now.saturating_sub(at) >= REORDERED_WITHIN;
        while self.before.get(1).is_some_and(|(at, _)| old(*at)) {
            self.before.pop_front();
        }
    }

    /// How far was heard so long ago that nothing is on its way any more.
    pub fn settled(&mut self, now: Duration) -> Heard {
        let old = |at: Duration| now.saturating_sub(at) >= REORDERED_WITHIN;
        let Some(last_at) = self.last_at else { return Heard::default() };
        if old(last_at) {
            let tail = self.sender_at.saturating_sub(self.now.reach);
            let lost = (1..=TAIL_PACKETS).contains(&tail) && old(self.sender_said);
            return Heard { reach: if lost { self.sender_at } else { self.now.reach }, ..self.now };
        }
        self.let_go(now);
        self.before.front().filter(|(at, _)| old(*at)).map_or(Heard::default(), |(_, heard)| *heard)
    }

    pub fn last_at(&self) -> Option<Duration> {
        self.last_at
    }

    /// Packets per second, of the first that came since this was asked last.
    pub fn speed(&mut self) -> u32 {
        let counted = std::mem::take(&mut self.counted);
        let span = self.counted_to.saturating_sub(self.counted_from).as_secs_f64();
        if counted < SPEED_PACKETS || span <= 0.0 { 0 } else { (f64::from(counted - 1) / span) as u32 }
    }

    /// Why multicast does not reach this receiver, where that is clear by now.
    pub fn unheard(&self, now: Duration) -> Option<Unheard> {
        let sent = self.sender_at.saturating_sub(self.now.reach.max(self.joined));
        match self.last_at {
            None if now.saturating_sub(self.joined_at) >= PROBE_TIME && sent >= PROBE_PACKETS => {
                Some(if self.foreign { Unheard::Foreign } else { Unheard::Nothing })
            }
            Some(at) if now.saturating_sub(at) >= CEASED_AFTER && sent >= CEASED_PACKETS => {
                Some(Unheard::Ceased)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_may_have_been_overtaken_is_not_missed_yet() {
        let mut arrivals = Arrivals::new(0, ms(0));
        (0..10).for_each(|n| arrivals.packet(n, ms(n)));
        assert_eq!(arrivals.settled(ms(9)), Heard { reach: 1, received: 1 });
        assert_eq!(arrivals.settled(ms(17)), Heard { reach: 10, received: 10 });
    }

    #[test]
    fn the_last_packets_are_missed_when_the_sender_says_that_there_were_some() {
        let mut arrivals = Arrivals::new(0, ms(0));
        (0..10).for_each(|n| arrivals.packet(n, ms(n)));
        arrivals.sender_is_at(12, ms(12));
        assert_eq!(arrivals.settled(ms(19)).reach, 10);
        assert_eq!(arrivals.settled(ms(20)), Heard { reach: 12, received: 10 });
    }

    #[test]
    fn memory_of_moments_is_bounded_however_fast_packets_come() {
        let mut arrivals = Arrivals::new(0, ms(0));
        (0..100_000).for_each(|n| arrivals.packet(n, Duration::from_micros(n)));
        assert!(arrivals.before.len() <= 12, "{}", arrivals.before.len());
    }

    #[test]
    fn speed_is_that_of_the_packets_and_not_of_the_pause_before() {
        let mut arrivals = Arrivals::new(0, ms(0));
        (0..101).for_each(|n| arrivals.packet(n, ms(500 + n)));
        assert_eq!((arrivals.speed(), arrivals.speed()), (1000, 0));
    }

    #[test]
    fn a_second_decides_whether_multicast_arrives() {
        let mut arrivals = Arrivals::new(100, ms(0));
        assert_eq!(arrivals.unheard(ms(2000)), None, "the sender has sent nothing either");
        arrivals.sender_is_at(100 + PROBE_PACKETS, ms(0));
        assert_eq!(arrivals.unheard(ms(999)), None);
        assert_eq!(arrivals.unheard(ms(1000)), Some(Unheard::Nothing));
        arrivals.foreign();
        assert_eq!(arrivals.unheard(ms(1000)), Some(Unheard::Foreign));
        arrivals.packet(150, ms(1000));
        assert_eq!(arrivals.unheard(ms(9000)), None);
        arrivals.sender_is_at(2000, ms(3000));
        assert_eq!(arrivals.unheard(ms(4000)), Some(Unheard::Ceased));
    }
}
