//! What is sent again: parity symbols that nobody has seen yet, for as many as the one who lacks most lacks.
//!
//! A report tells how things stood when its last packet had arrived. What was sent from that packet on counts as having
//! arrived until a later report says otherwise; so no gap is answered twice because two reports crossed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use mimeo_core::multicast::{
    block::{BlockNumber, PARITY_MOST, SourceCount, SymbolNumber},
    control::DEAD_AFTER,
};

use super::carousel::SETTLE;

/// How many blocks back it is remembered how much parity they took.
const SAMPLES: usize = 64;
/// Parity goes out unasked once nine tenths of the blocks took some for so long.
const PERSISTS: Duration = Duration::from_secs(1);

/// A block of which something was sent lately.
#[derive(Debug, Clone, Default)]
struct Flight {
    /// The sequence numbers of what was sent, ascending.
    sequences: Vec<u64>,
    queued: u16,
    /// Parity sent since the block's sweep, and all that anybody was found to need.
    parity: u16,
    wanted: u16,
    last_at: Duration,
    /// It had parity beyond what was asked for because the line had nothing better to do.
    topped_up: bool,
}

/// What a receiver asks for of a block.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// So many symbols, as of when it had heard everything before `reach`.
    pub missing: u16,
    pub reach: u64,
    /// So many on top, where the line is free.
    pub spare: u16,
}

/// All blocks in flight, and what waits to be sent again.
#[derive(Debug, Clone, Default)]
pub struct Repairs {
    flights: BTreeMap<BlockNumber, Flight>,
    /// Blocks with something queued, each once; those that wait take turns, so that a burst of losses falls on many.
    queue: VecDeque<BlockNumber>,
    /// For each block that had parity since its sweep, how much.
    next: BTreeMap<BlockNumber, u16>,
    samples: VecDeque<u16>,
    persists_since: Option<Duration>,
}

impl Repairs {
    /// A sweep of the block begins.
    pub fn swept(&mut self, block: BlockNumber) {
        let flight = self.flights.entry(block).or_default();
        (flight.parity, flight.wanted, flight.topped_up) = (0, 0, false);
        // Whoever begins with this sweep has seen no parity of it, and whoever had some gets the sources now.
        self.next.remove(&block);
    }

    /// Whether all of the block's parity went out since its sweep. More would be what everybody has seen: who still lacks
    /// something is better served by another sweep, in which every symbol is that he may lack.
    pub fn exhausted(&self, block: BlockNumber) -> bool {
        self.next.get(&block).is_some_and(|next| *next >= PARITY_MOST)
    }

    /// A symbol of the block went out.
    pub fn sent(&mut self, block: BlockNumber, sequence: u64, parity: bool, now: Duration) {
        let flight = self.flights.entry(block).or_default();
        flight.sequences.push(sequence);
        flight.last_at = now;
        flight.parity = flight.parity.saturating_add(u16::from(parity));
    }

    /// Somebody lacks symbols of the block, of which `coming` will be sent anyway. How many are queued more for its sake.
    pub fn asked(&mut self, block: BlockNumber, asked: Asked, coming: u16, now: Duration) -> u16 {
        let Asked { missing, reach, spare } = asked;
        let flight = self.flights.entry(block).or_default();
        let mut under_way =
            flight.sequences.len() - flight.sequences.partition_point(|sequence| *sequence < reach);
        // What went out so long ago has come or never will, although nothing later came to show it.
        if now.saturating_sub(flight.last_at) >= SETTLE {
            under_way = 0;
        }
        let under_way = u16::try_from(under_way).unwrap_or(u16::MAX).saturating_add(coming);
        let lacks = missing.saturating_sub(under_way);
        flight.wanted = flight.wanted.max(flight.parity.saturating_add(lacks));
        if lacks <= flight.queued {
            return 0;
        }
        if flight.queued == 0 {
            self.queue.push_back(block);
        }
        let more = (lacks + spare).min(SourceCount::MOST) - flight.queued;
        flight.queued += more;
        more
    }

    /// Parity for the block that nobody asked for yet, once in a sweep. False where there was some.
    pub fn top_up(&mut self, block: BlockNumber, symbols: u16) -> bool {
        let Some(flight) = self.flights.get_mut(&block) else { return false };
        let more = symbols.saturating_sub(flight.parity);
        if flight.topped_up || flight.queued > 0 || more == 0 {
            return false;
        }
        flight.topped_up = true;
        flight.queued = more;
        self.queue.push_back(block);
        true
    }

    /// Nobody needs the block any more.
    pub fn complete(&mut self, block: BlockNumber) {
        self.queue.retain(|queued| *queued != block);
        if let Some(flight) = self.flights.remove(&block) {
            self.remember(&flight);
        }
    }

    fn remember(&mut self, flight: &Flight) {
        // Where parity was enough, it may have been one too many.
        let sample = if flight.wanted > 0 { flight.wanted } else { flight.parity.saturating_sub(1) };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Forgets what was sent so long ago that whoever has not reported since is dead.
    pub fn forget(&mut self, now: Duration) {
        let old = |flight: &Flight| flight.queued == 0 && now.saturating_sub(flight.last_at) >= DEAD_AFTER;
        let gone: Vec<BlockNumber> =
            self.flights.iter().filter(|(_, flight)| old(flight)).map(|(block, _)| *block).collect();
        for block in gone {
            if let Some(flight) = self.flights.remove(&block) {
                self.remember(&flight);
            }
        }
        match self.quantile(0.9) > 0 {
            true => {
                self.persists_since.get_or_insert(now);
            }
            false => self.persists_since = None,
        }
    }

    pub fn queued(&self, block: BlockNumber) -> bool {
        self.flights.get(&block).is_some_and(|flight| flight.queued > 0)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many sequence numbers are remembered, which is what these take in memory.
    pub fn remembered(&self) -> usize {
        self.flights.values().map(|flight| flight.sequences.len()).sum()
    }

    pub fn in_flight(&self) -> impl Iterator<Item = BlockNumber> {
        self.flights.keys().copied()
    }

    /// The next symbol to be sent again, of the blocks in turn.
    pub fn next(
        &mut self,
        sources: impl Fn(BlockNumber) -> Option<SourceCount>,
    ) -> Option<(BlockNumber, SymbolNumber)> {
        let block = self.queue.pop_front()?;
        let flight = self.flights.get_mut(&block)?;
        flight.queued = flight.queued.saturating_sub(1);
        if flight.queued > 0 {
            self.queue.push_back(block);
        }
        Some((block, self.fresh(block, sources(block)?)))
    }

    /// The block's next parity symbol; after the last one comes the first again.
    pub fn fresh(&mut self, block: BlockNumber, sources: SourceCount) -> SymbolNumber {
        let next = self.next.entry(block).or_insert(0);
        let symbol = sources.get() + *next % PARITY_MOST;
        *next = next.saturating_add(1);
        SymbolNumber(symbol)
    }

    /// How much parity goes out with each block unasked: what three quarters of the blocks took lately, once loss persists.
    /// It spares them a report, and hardly ever is too much.
    pub fn proactive(&self, now: Duration) -> u16 {
        let persists = self.persists_since.is_some_and(|since| now.saturating_sub(since) >= PERSISTS);
        if persists { self.quantile(0.25).min(PARITY_MOST) } else { 0 }
    }

    /// Where the line has nothing else to do, as much as nine tenths of the blocks took, and one more.
    pub fn generous(&self) -> u16 {
        match self.quantile(0.9) {
            0 => 0,
            some => (some + 1).min(PARITY_MOST),
        }
    }

    fn quantile(&self, part: f64) -> u16 {
        let mut sorted: Vec<u16> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let index = (part * sorted.len().saturating_sub(1) as f64) as usize;
        sorted.get(index).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: BlockNumber = BlockNumber(3);

    fn sources() -> SourceCount {
        SourceCount::new(10).unwrap()
    }

    fn swept() -> Repairs {
        let mut repairs = Repairs::default();
        repairs.swept(B);
        (100..110).for_each(|sequence| repairs.sent(B, sequence, false, Duration::ZERO));
        repairs
    }

    fn of(missing: u16, reach: u64) -> Asked {
        Asked { missing, reach, spare: 0 }
    }

    fn drain(repairs: &mut Repairs, sequence: &mut u64) -> Vec<u16> {
        let mut symbols = Vec::new();
        while let Some((block, symbol)) = repairs.next(|_| Some(sources())) {
            repairs.sent(block, *sequence, true, Duration::ZERO);
            *sequence += 1;
            symbols.push(symbol.0);
        }
        symbols
    }

    #[test]
    fn the_one_who_lacks_most_is_answered_and_the_others_with_it() {
        let mut repairs = swept();
        let mut sequence = 110;
        assert_eq!(repairs.asked(B, of(2, 110), 0, Duration::ZERO), 2);
        assert_eq!(repairs.asked(B, of(5, 110), 0, Duration::ZERO), 3);
        assert_eq!(repairs.asked(B, of(4, 110), 0, Duration::ZERO), 0);
        assert_eq!(drain(&mut repairs, &mut sequence), [10, 11, 12, 13, 14]);
    }

    #[test]
    fn a_gap_is_not_answered_again_by_a_report_that_crossed_the_answer() {
        let mut repairs = swept();
        let mut sequence = 110;
        repairs.asked(B, of(5, 110), 0, Duration::ZERO);
        drain(&mut repairs, &mut sequence);
        assert_eq!(repairs.asked(B, of(5, 110), 0, Duration::ZERO), 0);
        assert_eq!(
            repairs.asked(B, of(3, 113), 0, Duration::ZERO),
            1,
            "one of the three it should have heard was lost"
        );
        assert_eq!(drain(&mut repairs, &mut sequence), [15]);
    }

    #[test]
    fn what_nothing_later_shows_to_be_lost_is_lost_after_a_while() {
        let mut repairs = swept();
        assert_eq!(repairs.asked(B, of(1, 109), 0, SETTLE - Duration::from_millis(1)), 0);
        assert_eq!(repairs.asked(B, of(1, 109), 0, SETTLE), 1);
    }

    #[test]
    fn what_the_sweep_will_still_bring_is_not_sent_again() {
        let mut repairs = Repairs::default();
        repairs.swept(B);
        (100..104).for_each(|sequence| repairs.sent(B, sequence, false, Duration::ZERO));
        assert_eq!(repairs.asked(B, of(8, 102), 6, Duration::ZERO), 0, "two under way, six to come");
        assert_eq!(repairs.asked(B, of(9, 102), 6, Duration::ZERO), 1);
    }

    #[test]
    fn parity_begins_anew_with_each_sweep_and_is_exhausted_once() {
        let mut repairs = Repairs::default();
        let symbols: Vec<u16> = (0..PARITY_MOST).map(|_| repairs.fresh(B, sources()).0).collect();
        assert_eq!(symbols, (10..138).collect::<Vec<u16>>());
        assert!(repairs.exhausted(B));
        assert_eq!(repairs.fresh(B, sources()).0, 10);
        repairs.swept(B);
        assert!(!repairs.exhausted(B));
        assert_eq!(repairs.fresh(B, sources()).0, 10);
    }

    #[test]
    fn parity_goes_out_unasked_once_loss_persists() {
        let mut repairs = Repairs::default();
        let mut sequence = 0;
        for block in 0..64 {
            let block = BlockNumber(block);
            repairs.swept(block);
            repairs.asked(block, of(4 + (block.0 % 4) as u16, 0), 0, Duration::ZERO);
            drain(&mut repairs, &mut sequence);
            repairs.complete(block);
        }
        repairs.forget(Duration::from_secs(10));
        assert_eq!(repairs.proactive(Duration::from_secs(10)), 0);
        assert_eq!(repairs.proactive(Duration::from_secs(11)), 4);
        assert_eq!(repairs.generous(), 8);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut repairs = swept();
        assert_eq!(repairs.remembered(), 10);
        repairs.forget(DEAD_AFTER);
        assert_eq!(repairs.remembered(), 0);
    }
}
