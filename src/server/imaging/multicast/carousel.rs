//! The sweep: blocks in the order of the disk, those that somebody needs, round and round.
//!
//! [`WEAVE`] blocks go out side by side, a symbol of each in turn: a burst of losses, which is what a full switch makes,
//! takes a little of each and not all of one, and a repair mends as many of them at once as there are receivers.

use std::time::Duration;

use mimeo_core::multicast::block::{BlockNumber, SourceCount, SymbolNumber};

use super::need::BlockSet;

/// Blocks that are sent side by side: 3 MiB that the sender reads and a receiver keeps open. With bursts of 45 packets, 8
/// take a third of the repairs that 1 takes.
pub const WEAVE: usize = 8;

/// After this somebody who was sent a block and does not speak of it has not heard of it: two reports and their way. Until
/// then it is not swept again.
pub const SETTLE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Of the first packet of the last sweep.
    begin: u64,
    last: u64,
    at: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    sources: SourceCount,
    /// Receivers that need it, and those among them that have begun it and get repairs.
    need: u16,
    open: u16,
    sent: Option<Sent>,
}

/// One block of those that go out side by side.
#[derive(Debug, Clone, Copy)]
struct Strand {
    block: BlockNumber,
    next: u16,
    end: u16,
}

/// What the sweep has for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Source(BlockNumber, SymbolNumber),
    /// Parity of the block that goes out unasked.
    Parity(BlockNumber),
}

/// All blocks of a channel and where the sweep is.
#[derive(Debug, Clone)]
pub struct Carousel {
    blocks: Vec<Block>,
    needed: BlockSet,
    table: u32,
    cursor: u32,
    lap: u32,
    group: Vec<Strand>,
    turn: usize,
}

impl Carousel {
    /// The first `table` blocks hold the table of the others and go before them for whoever lacks them.
    pub fn new(sources: &[SourceCount], table: u32) -> Self {
        let block = |sources: &SourceCount| Block { sources: *sources, need: 0, open: 0, sent: None };
        let needed = BlockSet::empty(u32::try_from(sources.len()).unwrap_or(u32::MAX));
        let blocks = sources.iter().map(block).collect();
        Self { blocks, needed, table, cursor: 0, lap: 0, group: Vec::new(), turn: 0 }
    }

    pub fn lap(&self) -> u32 {
        self.lap
    }

    /// How far the sweep is in this lap.
    pub fn head(&self) -> BlockNumber {
        BlockNumber(self.cursor)
    }

    pub fn sources(&self, block: BlockNumber) -> Option<SourceCount> {
        self.blocks.get(block.0 as usize).map(|block| block.sources)
    }

    /// Blocks that anybody needs.
    pub fn needed(&self) -> &BlockSet {
        &self.needed
    }

    /// Somebody more needs the block.
    pub fn need(&mut self, block: BlockNumber) {
        if let Some(state) = self.blocks.get_mut(block.0 as usize) {
            state.need = state.need.saturating_add(1);
            self.needed.insert(block);
        }
    }

    /// Somebody does no longer. True where he was the last.
    pub fn need_no_more(&mut self, block: BlockNumber) -> bool {
        let Some(state) = self.blocks.get_mut(block.0 as usize) else { return false };
        state.need = state.need.saturating_sub(1);
        state.need == 0 && self.needed.remove(block)
    }

    /// Somebody who needs the block has begun it and gets what it lacks as repairs, or does so no longer.
    pub fn open(&mut self, block: BlockNumber, is: bool) {
        if let Some(state) = self.blocks.get_mut(block.0 as usize) {
            state.open = if is { state.open.saturating_add(1) } else { state.open.saturating_sub(1) };
        }
    }

    /// The sequence number at which the block's last sweep began.
    pub fn begun_at(&self, block: BlockNumber) -> Option<u64> {
        Some(self.blocks.get(block.0 as usize)?.sent?.begin)
    }

    /// How many symbols of the block the sweep will still send.
    pub fn coming(&self, block: BlockNumber) -> u16 {
        self.group.iter().find(|strand| strand.block == block).map_or(0, |strand| strand.end - strand.next)
    }

    /// Whether something of the block was sent that not everybody could speak of yet.
    pub fn unsettled(&self, block: BlockNumber, settled: u64) -> bool {
        let sent = self.blocks.get(block.0 as usize).and_then(|state| state.sent);
        sent.is_some_and(|sent| sent.last >= settled)
    }

    /// A packet of the block went out.
    pub fn sent(&mut self, block: BlockNumber, sequence: u64, now: Duration) {
        if let Some(state) = self.blocks.get_mut(block.0 as usize) {
            let begin = state.sent.map_or(sequence, |sent| sent.begin);
            state.sent = Some(Sent { begin, last: sequence, at: now });
        }
    }

    /// Somebody needs the block who has nothing of it, and will not get it by what was sent already.
    fn eligible(&self, block: BlockNumber, settled: u64, now: Duration) -> bool {
        let Some(state) = self.blocks.get(block.0 as usize) else { return false };
        let heard = |sent: Sent| sent.last < settled || now.saturating_sub(sent.at) >= SETTLE;
        state.need > state.open && state.sent.is_none_or(heard)
    }

    /// The sweep's next packet. Everybody has said how he stands with what was sent before `settled`; blocks with
    /// something `queued` are in repair. `begun` is told each block whose sweep begins. `None` where nobody needs anything
    /// that is not under way.
    pub fn next(
        &mut self,
        settled: u64,
        sequence: u64,
        now: Duration,
        proactive: u16,
        queued: impl Fn(BlockNumber) -> bool,
        mut begun: impl FnMut(BlockNumber),
    ) -> Option<Pick> {
        loop {
            if self.turn >= self.group.len() {
                let needed = &self.needed;
                self.group.retain(|strand| strand.next < strand.end && needed.contains(strand.block));
                self.turn = 0;
                if self.group.is_empty() {
                    self.choose(settled, now, &queued);
                    for strand in &mut self.group {
                        let state = &mut self.blocks[strand.block.0 as usize];
                        strand.end = state.sources.get() + proactive;
                        state.sent = Some(Sent { begin: sequence, last: sequence, at: now });
                        begun(strand.block);
                    }
                }
            }
            let strand = self.group.get_mut(self.turn)?;
            self.turn += 1;
            if strand.next >= strand.end || !self.needed.contains(strand.block) {
                continue;
            }
            let symbol = strand.next;
            strand.next += 1;
            return match symbol < self.blocks[strand.block.0 as usize].sources.get() {
                true => Some(Pick::Source(strand.block, SymbolNumber(symbol))),
                false => Some(Pick::Parity(strand.block)),
            };
        }
    }

    /// Takes the next blocks: of the table first, then from the cursor on, then from the beginning.
    fn choose(&mut self, settled: u64, now: Duration, queued: impl Fn(BlockNumber) -> bool) {
        let find = |from: u32, end: u32| {
            let mut found = Vec::new();
            let mut from = from;
            while let Some(block) = self.needed.next(from).filter(|block| block.0 < end) {
                if self.eligible(block, settled, now) && !queued(block) {
                    found.push(block);
                }
                if found.len() == WEAVE {
                    break;
                }
                from = block.0 + 1;
            }
            found
        };
        let end = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let mut found = find(0, self.table);
        if found.is_empty() {
            found = find(self.cursor.max(self.table), end);
            if found.is_empty() {
                found = find(self.table, self.cursor.max(self.table));
                self.lap += u32::from(!found.is_empty());
            }
            if let Some(last) = found.last() {
                self.cursor = last.0 + 1;
            }
        }
        self.group = found.into_iter().map(|block| Strand { block, next: 0, end: 0 }).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(blocks: usize, symbols: u16, table: u32) -> Carousel {
        Carousel::new(&vec![SourceCount::new(symbols).unwrap(); blocks], table)
    }

    /// Everything the sweep sends at one moment, as the blocks of its packets.
    fn sweep(carousel: &mut Carousel, settled: u64, sequence: &mut u64, now: Duration) -> Vec<u32> {
        let mut blocks = Vec::new();
        while let Some(pick) = carousel.next(settled, *sequence, now, 0, |_| false, |_| {}) {
            let Pick::Source(block, _) = pick else { panic!("parity that nobody asked for") };
            carousel.sent(block, *sequence, now);
            *sequence += 1;
            blocks.push(block.0);
        }
        blocks
    }

    fn all_needed(carousel: &mut Carousel, blocks: u32) {
        (0..blocks).for_each(|block| carousel.need(BlockNumber(block)));
    }

    #[test]
    fn the_table_goes_first_and_blocks_side_by_side_in_the_order_of_the_disk() {
        let mut carousel = of(12, 2, 1);
        all_needed(&mut carousel, 12);
        let mut sequence = 0;
        let sent = sweep(&mut carousel, 0, &mut sequence, Duration::ZERO);
        let order = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 9, 10, 11];
        assert_eq!(sent, order);
        assert_eq!(carousel.lap(), 0);
    }

    #[test]
    fn nothing_goes_out_again_before_everybody_could_speak_of_it() {
        let mut carousel = of(2, 3, 1);
        all_needed(&mut carousel, 2);
        let mut sequence = 0;
        assert_eq!(sweep(&mut carousel, 0, &mut sequence, Duration::ZERO).len(), 6);
        assert_eq!(sweep(&mut carousel, 5, &mut sequence, Duration::from_millis(100)), [0, 0, 0]);
        assert_eq!(sweep(&mut carousel, 5, &mut sequence, Duration::from_millis(499)), [0; 0]);
        assert_eq!(sweep(&mut carousel, 5, &mut sequence, Duration::from_millis(500)), [1, 1, 1]);
    }

    #[test]
    fn a_block_whose_needers_all_get_repairs_is_not_swept() {
        let mut carousel = of(2, 2, 1);
        all_needed(&mut carousel, 2);
        let mut sequence = 0;
        sweep(&mut carousel, 0, &mut sequence, Duration::ZERO);
        carousel.open(BlockNumber(0), true);
        let late = Duration::from_secs(1);
        assert_eq!(sweep(&mut carousel, 4, &mut sequence, late), [1, 1]);
        carousel.need(BlockNumber(0));
        assert_eq!(
            sweep(&mut carousel, 6, &mut sequence, late),
            [0, 0, 1, 1],
            "somebody else needs all of it"
        );
        assert_eq!(carousel.lap(), 2);
    }

    #[test]
    fn what_nobody_needs_any_more_is_left_in_the_middle() {
        let mut carousel = of(2, 4, 1);
        all_needed(&mut carousel, 2);
        let next = |carousel: &mut Carousel| carousel.next(0, 0, Duration::ZERO, 0, |_| false, |_| {});
        assert_eq!(next(&mut carousel), Some(Pick::Source(BlockNumber(0), SymbolNumber(0))));
        assert!(carousel.need_no_more(BlockNumber(0)));
        assert_eq!(next(&mut carousel), Some(Pick::Source(BlockNumber(1), SymbolNumber(0))));
        assert!(carousel.need_no_more(BlockNumber(1)));
        assert_eq!(next(&mut carousel), None);
    }

    #[test]
    fn parity_follows_where_it_goes_unasked() {
        let mut carousel = of(1, 2, 1);
        all_needed(&mut carousel, 1);
        let picks: Vec<_> =
            std::iter::from_fn(|| carousel.next(0, 0, Duration::ZERO, 1, |_| false, |_| {})).collect();
        assert_eq!(picks.last(), Some(&Pick::Parity(BlockNumber(0))));
        assert_eq!(picks.len(), 3);
    }
}
