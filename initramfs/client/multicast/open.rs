//! Blocks that are begun, in a room of fixed size. Where there is no room, a block is left to the next lap; the sender is
//! never held up.

use std::{collections::BTreeMap, time::Duration};

use mimeo_core::multicast::block::{BlockNumber, PARITY_MOST, SourceCount, SymbolNumber};

/// An incomplete block of which nothing came for so long gives way to a new one: two reports would have brought what it
/// lacked.
const STALE_AFTER: Duration = Duration::from_millis(500);

/// A block that found no room at its first symbol is left alone until it is swept again, which its symbols show by beginning
/// anew, or until none of it came for so long. Begun in its middle it would ask for the first half to be sent again.
const LEFT_FOR: Duration = Duration::from_secs(1);

/// Room for 16 of the largest blocks, 16 MiB: those that a sender sends side by side, and as many that wait for repairs or for
/// the disk. With less, every lap would leave blocks behind.
pub const ROOM_LEAST: u32 = 16 * SourceCount::MOST as u32;

const WORDS: usize = (SourceCount::MOST + PARITY_MOST).div_ceil(64) as usize;

#[derive(Debug, Clone)]
struct Open {
    seen: [u64; WORDS],
    symbols: u16,
    sources: SourceCount,
    last_at: Duration,
    complete: bool,
}

impl Open {
    /// What is reserved for it, in symbols.
    fn room(&self) -> u32 {
        u32::from(self.sources.get())
    }

    fn missing(&self) -> u16 {
        self.sources.get().saturating_sub(self.symbols)
    }
}

/// What became of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Yes,
    /// As many as the block needs are here now.
    Complete,
    /// It is here already, or the block is complete.
    Again,
    /// No room.
    No,
}

/// The room for blocks, in symbols.
#[derive(Debug, Clone)]
pub struct OpenBlocks {
    open: BTreeMap<BlockNumber, Open>,
    /// Blocks that found no room: the last symbol that came of each, and when.
    left: BTreeMap<BlockNumber, (SymbolNumber, Duration)>,
    room: u32,
    used: u32,
    dropped: u32,
}

impl OpenBlocks {
    /// Room for `symbols`, and [`ROOM_LEAST`] at least.
    pub fn new(symbols: u32) -> Self {
        Self::with_room(symbols.max(ROOM_LEAST))
    }

    fn with_room(room: u32) -> Self {
        Self { open: BTreeMap::new(), left: BTreeMap::new(), room, used: 0, dropped: 0 }
    }

    pub fn used(&self) -> u32 {
        self.used
    }

    pub fn room(&self) -> u32 {
        self.room
    }

    /// Blocks given up for want of room, so far.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Part of the room that complete blocks take, in percent.
    pub fn waiting_percent(&self) -> u8 {
        let waiting: u32 = self.open.values().filter(|open| open.complete).map(Open::room).sum();
        (u64::from(waiting) * 100 / u64::from(self.room)) as u8
    }

    /// A symbol of a block of so many sources came. What had to be given up for it is added to `gone`.
    pub fn symbol(
        &mut self,
        block: BlockNumber,
        symbol: SymbolNumber,
        sources: SourceCount,
        now: Duration,
        gone: &mut Vec<BlockNumber>,
    ) -> Kept {
        if symbol.0 >= sources.symbols() || !self.begin(block, symbol, sources, now, gone) {
            return Kept::No;
        }
        let Some(open) = self.open.get_mut(&block) else { return Kept::No };
        let (word, bit) = (usize::from(symbol.0 / 64), 1 << (symbol.0 % 64));
        if open.complete || open.seen[word] & bit != 0 {
            return Kept::Again;
        }
        open.seen[word] |= bit;
        open.symbols += 1;
        open.last_at = now;
        open.complete = open.symbols >= open.sources.get();
        if open.complete { Kept::Complete } else { Kept::Yes }
    }

    /// Whether the block is open, or there is room to open it.
    fn begin(
        &mut self,
        block: BlockNumber,
        symbol: SymbolNumber,
        sources: SourceCount,
        now: Duration,
        gone: &mut Vec<BlockNumber>,
    ) -> bool {
        if let Some(open) = self.open.get(&block) {
            return open.sources == sources;
        }
        let room = u32::from(sources.get());
        let over = |at: Duration| now.saturating_sub(at) >= LEFT_FOR;
        let left = self.left.get(&block).is_some_and(|(last, at)| symbol >= *last && !over(*at));
        if left || !self.make_room(room, now, gone) {
            self.left.retain(|_, (_, at)| !over(*at));
            if self.left.insert(block, (symbol, now)).is_none() {
                self.dropped = self.dropped.saturating_add(1);
            }
            return false;
        }
        self.left.remove(&block);
        self.used += room;
        let open = Open { seen: [0; WORDS], symbols: 0, sources, last_at: now, complete: false };
        self.open.insert(block, open);
        true
    }

    /// Gives up stale blocks, those first that lack most, as far as that makes room.
    fn make_room(&mut self, room: u32, now: Duration, gone: &mut Vec<BlockNumber>) -> bool {
        while self.used + room > self.room {
            let stale = self
                .open
                .iter()
                .filter(|(_, open)| !open.complete && now.saturating_sub(open.last_at) >= STALE_AFTER);
            let worst = stale.max_by_key(|(_, open)| open.missing());
            let Some(block) = worst.map(|(block, _)| *block) else { return false };
            self.close(block);
            self.dropped = self.dropped.saturating_add(1);
            gone.push(block);
        }
        true
    }

    /// The block's room is free again.
    pub fn close(&mut self, block: BlockNumber) {
        if let Some(open) = self.open.remove(&block) {
            self.used -= open.room();
        }
    }

    /// Whether something of it is here.
    pub fn contains(&self, block: BlockNumber) -> bool {
        self.open.contains_key(&block)
    }

    /// Every incomplete block with how many symbols it lacks, in order.
    pub fn incomplete(&self) -> impl Iterator<Item = (BlockNumber, u16)> {
        self.open.iter().filter(|(_, open)| !open.complete).map(|(block, open)| (*block, open.missing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(symbols: u16) -> SourceCount {
        SourceCount::new(symbols).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn take(open: &mut OpenBlocks, block: u32, symbol: u16, now: Duration) -> (Kept, Vec<BlockNumber>) {
        let mut gone = Vec::new();
        let kept = open.symbol(BlockNumber(block), SymbolNumber(symbol), of(100), now, &mut gone);
        (kept, gone)
    }

    #[test]
    fn any_symbols_make_a_block_if_they_are_enough() {
        let mut open = OpenBlocks::with_room(1000);
        for symbol in (0..99).map(|n| n * 2) {
            assert_eq!(take(&mut open, 1, symbol, ms(0)).0, Kept::Yes);
            assert_eq!(take(&mut open, 1, symbol, ms(0)).0, Kept::Again);
        }
        assert_eq!(take(&mut open, 1, 227, ms(0)).0, Kept::Complete);
        assert_eq!(take(&mut open, 1, 226, ms(0)).0, Kept::Again);
        assert_eq!(take(&mut open, 1, 228, ms(0)).0, Kept::No, "no symbol has this number");
    }

    #[test]
    fn a_new_block_finds_room_only_where_an_old_one_waits_in_vain() {
        let mut open = OpenBlocks::with_room(300);
        (0..3).for_each(|block| {
            (0..=block as u16).for_each(|symbol| {
                take(&mut open, block, symbol, ms(u64::from(block)));
            })
        });
        assert_eq!(take(&mut open, 3, 0, ms(100)), (Kept::No, vec![]));
        assert_eq!(take(&mut open, 3, 1, ms(600)), (Kept::No, vec![]), "it is not begun in its middle");
        assert_eq!(take(&mut open, 4, 0, ms(600)), (Kept::Yes, vec![BlockNumber(0)]));
        assert_eq!(take(&mut open, 3, 0, ms(1700)), (Kept::Yes, vec![BlockNumber(4)]), "it lacks most");
        assert_eq!((open.used(), open.dropped()), (300, 3));
    }

    #[test]
    fn complete_blocks_never_give_way() {
        let mut open = OpenBlocks::with_room(300);
        (0..3).for_each(|block| {
            (0..100).for_each(|symbol| {
                take(&mut open, block, symbol, ms(0));
            })
        });
        assert_eq!((take(&mut open, 3, 0, ms(9000)), open.waiting_percent()), ((Kept::No, vec![]), 100));
    }
}
