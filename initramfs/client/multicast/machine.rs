//! The receiver: what becomes of each symbol, and what the sender is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mimeo_core::multicast::{
    block::{BlockNumber, SourceCount, SymbolNumber},
    control::{Answer, BlockTotals, Demotion, Standing},
    packet::ChannelNumber,
    report::{
        BYTES_PER_SECOND_MOST, Counters, FRAME_BYTES, Lack, Member, REPORT_BYTES_MOST, REPORT_EVERY, Report,
        Unheard,
    },
};

use super::{
    arrivals::Arrivals,
    open::{Kept, OpenBlocks},
    progress::{Progress, State},
};

/// How long the line is silent before a receiver that lacks something says so without waiting for its time. Shorter than a
/// sender's scheduler may pause would ask for what is about to come.
const SILENCE: Duration = Duration::from_millis(10);
/// Between two reports at least.
const REPORT_GAP: Duration = Duration::from_millis(20);
/// Who fetches by unicast reports that it lives, and how far it is.
const UNICAST_REPORT_EVERY: Duration = Duration::from_secs(1);
/// Blocks that are fetched at once: enough to hide a round trip, few enough not to fill the line of the others.
const FETCHES_MOST: usize = 4;
/// A block that was wrong so often is not taken from the channel again: an insider may be sending false symbols.
const WRONG_MOST: u8 = 2;
/// Blocks that are compared with the disk at once, and how far ahead of the sweep: what a second brings at 1 Gbit/s, so that
/// the sender hears of it in time.
const HASHES_MOST: usize = 8;
const HASH_AHEAD: u32 = 300;

/// Something that happens to a receiver.
#[derive(Debug, Clone)]
pub enum Event {
    /// The sender has taken it in, under this number, for the first time or again. `sequence` is that of the next packet.
    Joined {
        member: Member,
        sequence: u64,
    },
    /// A packet that was proved, and whose sequence number was not there before; it says how many sources its block has.
    Symbol {
        sequence: u64,
        block: BlockNumber,
        symbol: SymbolNumber,
        sources: SourceCount,
    },
    /// A packet of the channel without a symbol.
    Probe {
        sequence: u64,
    },
    /// A packet to the channel's port that is not the channel's.
    Foreign,
    /// The table is written and read, so it is known what each block holds; the disk may hold some of it.
    Compare,
    /// A restored block proved right and is on the disk, or proved wrong.
    Written(BlockNumber),
    Wrong(BlockNumber),
    /// The disk holds the block already, or does not.
    Has(BlockNumber),
    HasNot(BlockNumber),
    /// It came by unicast and is on the disk.
    Fetched(BlockNumber),
    Answer(Answer),
    /// Time passed.
    Tick,
}

/// What a receiver wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// All symbols that are needed are here: decode, prove, write.
    Restore(BlockNumber),
    /// Its symbols are of no use any more.
    Forget(BlockNumber),
    /// Compare it with what the disk holds.
    Hash(BlockNumber),
    /// Get it by unicast.
    Fetch(BlockNumber),
    Report(Report),
    /// Leave the group; everything else comes by [`Action::Fetch`].
    LeaveGroup(Cause),
    /// Ask the sender to be taken in again.
    Rejoin,
    /// Join this channel instead.
    Switch {
        channel: ChannelNumber,
    },
    /// Two times a block proved wrong.
    Incident(BlockNumber),
    /// Everything is on the disk and the sender knows it.
    Done,
}

/// Why the group was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Unheard(Unheard),
    Demoted(Demotion),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Multicast,
    Unicast(Option<Unheard>),
    /// It asked to be taken in, here or elsewhere.
    Joining,
    Done,
}

/// The receiver of one channel.
#[derive(Debug, Clone)]
pub struct Receiver {
    table: u32,
    open: OpenBlocks,
    progress: Progress,
    arrivals: Arrivals,
    way: Way,
    member: Member,
    reports: u32,
    reported_at: Duration,
    /// What may be spent on reports, in bytes.
    budget: f64,
    budget_at: Duration,
    /// Symbols came, or something else changed, since the last report; how far that said to have heard.
    news: bool,
    told_reach: u64,
    fetch: BTreeSet<BlockNumber>,
    fetching: BTreeSet<BlockNumber>,
    wrong: BTreeMap<BlockNumber, u8>,
    head: u32,
    hash: Option<Hashing>,
    actions: Vec<Action>,
}

/// Comparing the disk, just ahead of the sweep and then all the rest.
#[derive(Debug, Clone)]
struct Hashing {
    todo: BTreeSet<BlockNumber>,
    doing: BTreeSet<BlockNumber>,
}

impl Receiver {
    /// `room` is what blocks may take in memory, in symbols. Nothing is done before [`Event::Joined`].
    pub fn new(totals: BlockTotals, room: u32, now: Duration) -> Self {
        Self {
            table: totals.table(),
            open: OpenBlocks::new(room),
            progress: Progress::new(totals.all()),
            arrivals: Arrivals::new(0, now),
            way: Way::Joining,
            member: Member(0),
            reports: 0,
            reported_at: now,
            budget: BYTES_PER_SECOND_MOST as f64,
            budget_at: now,
            news: false,
            told_reach: 0,
            fetch: BTreeSet::new(),
            fetching: BTreeSet::new(),
            wrong: BTreeMap::new(),
            head: 0,
            hash: None,
            actions: Vec::new(),
        }
    }

    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Joined { member, sequence } => self.joined(member, sequence, now),
            Event::Symbol { sequence, block, symbol, sources } => {
                self.arrivals.packet(sequence, now);
                self.news = true;
                self.symbol(block, symbol, sources, now);
            }
            Event::Probe { sequence } => {
                self.arrivals.packet(sequence, now);
                self.news = true;
            }
            Event::Foreign => self.arrivals.foreign(),
            Event::Compare => self.compare(),
            Event::Written(block) | Event::Fetched(block) => self.written(block),
            Event::Wrong(block) => self.proved_wrong(block),
            Event::Has(block) => self.compared(block, true),
            Event::HasNot(block) => self.compared(block, false),
            Event::Answer(answer) => {
                self.arrivals.sender_is_at(answer.sequence, now);
                self.answer(&answer);
            }
            Event::Tick => self.look_for_silence(now),
        }
        self.fetch_more();
        self.hash_more();
        self.report_in_time(now);
        std::mem::take(&mut self.actions)
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What blocks take in memory, and how much they may, in symbols.
    pub fn room(&self) -> (u32, u32) {
        (self.open.used(), self.open.room())
    }

    /// Whether it still listens to the group.
    pub fn listens(&self) -> bool {
        matches!(self.way, Way::Multicast | Way::Joining)
    }

    fn joined(&mut self, member: Member, sequence: u64, now: Duration) {
        if self.way == Way::Done {
            return;
        }
        self.member = member;
        self.reports = 0;
        self.arrivals = Arrivals::new(sequence, now);
        self.progress.tell_all();
        self.way = Way::Multicast;
        self.reported_at = now;
        self.news = false;
    }

    fn symbol(&mut self, block: BlockNumber, symbol: SymbolNumber, sources: SourceCount, now: Duration) {
        if symbol.0 < sources.get() {
            self.head = block.0;
        }
        if !self.listens() || self.progress.state(block) != Some(State::Wanted) {
            return;
        }
        let mut gone = Vec::new();
        let kept = self.open.symbol(block, symbol, sources, now, &mut gone);
        self.actions.extend(gone.into_iter().map(Action::Forget));
        if kept == Kept::Complete {
            self.complete(block);
        }
    }

    fn complete(&mut self, block: BlockNumber) {
        self.progress.set(block, State::Complete);
        self.actions.push(Action::Restore(block));
    }

    fn compare(&mut self) {
        let all = (self.table..).map_while(|block| self.progress.state(BlockNumber(block)).map(|_| block));
        let todo = all.map(BlockNumber).collect();
        self.hash.get_or_insert(Hashing { todo, doing: BTreeSet::new() });
    }

    fn written(&mut self, block: BlockNumber) {
        self.fetching.remove(&block);
        self.fetch.remove(&block);
        if self.progress.state(block).is_none() {
            return;
        }
        if self.open.contains(block) {
            self.open.close(block);
            self.actions.push(Action::Forget(block));
        }
        self.wrong.remove(&block);
        self.progress.set(block, State::Written);
        self.news = true;
    }

    /// A block whose chunks are not what the manifest says.
    fn proved_wrong(&mut self, block: BlockNumber) {
        if self.progress.state(block) != Some(State::Complete) {
            return;
        }
        self.open.close(block);
        self.actions.push(Action::Forget(block));
        let wrong = self.wrong.entry(block).or_insert(0);
        *wrong += 1;
        match *wrong >= WRONG_MOST {
            true => {
                self.actions.push(Action::Incident(block));
                self.progress.set(block, State::Fetching);
                self.fetch.insert(block);
            }
            false => self.progress.set(block, State::Wanted),
        }
    }

    fn compared(&mut self, block: BlockNumber, has: bool) {
        if let Some(hash) = &mut self.hash {
            hash.doing.remove(&block);
        }
        let open = matches!(self.progress.state(block), Some(State::Wanted));
        let waits = self.fetch.contains(&block);
        if has && (open || waits) {
            self.written(block);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        self.progress.heard(answer.heard);
        for block in answer.fetch.iter().flat_map(|run| run.blocks()) {
            match self.progress.state(block) {
                Some(State::Wanted) => self.fetch_block(block),
                Some(_) => {}
                None => break,
            }
        }
        match (answer.standing, self.way) {
            (_, Way::Done | Way::Joining)
            | (Standing::Member, _)
            | (Standing::Unicast(_), Way::Unicast(_)) => {}
            (Standing::Unicast(why), _) => self.leave_group(Cause::Demoted(why)),
            (Standing::Slower { channel }, _) => {
                self.way = Way::Joining;
                self.actions.push(Action::Switch { channel });
            }
            (Standing::Unknown, Way::Multicast) => {
                self.way = Way::Joining;
                self.actions.push(Action::Rejoin);
            }
            // Whoever fetches by unicast needs no sender.
            (Standing::Unknown, Way::Unicast(_)) if !self.progress.done() => {}
            (Standing::Unknown | Standing::Done, _) => {
                if self.progress.done() {
                    self.way = Way::Done;
                    self.actions.push(Action::Done);
                }
            }
        }
    }

    fn fetch_block(&mut self, block: BlockNumber) {
        if self.open.contains(block) {
            self.open.close(block);
            self.actions.push(Action::Forget(block));
        }
        self.progress.set(block, State::Fetching);
        self.fetch.insert(block);
    }

    fn leave_group(&mut self, cause: Cause) {
        let unheard = match cause {
            Cause::Unheard(unheard) => Some(unheard),
            Cause::Demoted(_) => None,
        };
        self.way = Way::Unicast(unheard);
        self.news = true;
        self.actions.push(Action::LeaveGroup(cause));
    }

    fn look_for_silence(&mut self, now: Duration) {
        if self.way == Way::Multicast
            && let Some(unheard) = self.arrivals.unheard(now)
        {
            self.leave_group(Cause::Unheard(unheard));
        }
    }

    /// Keeps some fetches going: of what it was told to fetch and, without a group, of everything that is wanted.
    fn fetch_more(&mut self) {
        while self.fetching.len() < FETCHES_MOST {
            let mut next = self.fetch.pop_first();
            if next.is_none() && matches!(self.way, Way::Unicast(_)) {
                next = self.progress.first_wanted();
                if let Some(block) = next {
                    self.fetch_block(block);
                    self.fetch.remove(&block);
                }
            }
            let Some(block) = next else { return };
            self.fetching.insert(block);
            self.actions.push(Action::Fetch(block));
        }
    }

    /// Keeps some comparisons going, from just ahead of the sweep on, and of the rest from the beginning.
    fn hash_more(&mut self) {
        let (progress, from) = (&self.progress, BlockNumber(self.head.saturating_add(HASH_AHEAD)));
        let Some(hash) = &mut self.hash else { return };
        while hash.doing.len() < HASHES_MOST {
            let next = hash.todo.range(from..).next().or_else(|| hash.todo.first()).copied();
            let Some(block) = next else { return };
            hash.todo.remove(&block);
            if progress.state(block) == Some(State::Wanted) {
                hash.doing.insert(block);
                self.actions.push(Action::Hash(block));
            }
        }
    }

    fn report_in_time(&mut self, now: Duration) {
        if matches!(self.way, Way::Joining | Way::Done) {
            return;
        }
        let since = now.saturating_sub(self.reported_at);
        let silent = self.arrivals.last_at().is_some_and(|at| now.saturating_sub(at) >= SILENCE);
        let every = if self.way == Way::Multicast { REPORT_EVERY } else { UNICAST_REPORT_EVERY };
        let finished = self.progress.done() && self.news;
        let news = self.news || self.arrivals.settled(now).reach > self.told_reach;
        // The first packets say how fast they came; nothing before them does.
        let first = self.reports == 0 && self.arrivals.last_at().is_some();
        let early = since >= REPORT_GAP && news && (silent || first);
        if since < every && !early && !finished {
            return;
        }
        let passed = now.saturating_sub(self.budget_at).as_secs_f64();
        let most = BYTES_PER_SECOND_MOST as f64;
        self.budget = (self.budget + passed * most).min(most);
        self.budget_at = self.budget_at.max(now);
        if self.budget < (REPORT_BYTES_MOST + FRAME_BYTES) as f64 {
            return;
        }
        let report = self.report(now);
        self.budget -= (report.emit().len() + FRAME_BYTES) as f64;
        self.actions.push(Action::Report(report));
    }

    fn report(&mut self, now: Duration) -> Report {
        self.reports += 1;
        self.reported_at = now;
        self.news = false;
        let heard = self.arrivals.settled(now);
        self.told_reach = heard.reach;
        let mut report = Report::new(Counters {
            member: self.member,
            number: self.reports,
            reach: heard.reach,
            received: heard.received.min(heard.reach),
            arriving: self.arrivals.speed(),
            queue_percent: self.open.waiting_percent(),
            dropped: self.open.dropped(),
            written: self.progress.written(),
            unheard: match self.way {
                Way::Unicast(unheard) => unheard,
                _ => None,
            },
        });
        for (block, missing) in self.open.incomplete() {
            report.add_lack(Lack { block, missing });
        }
        self.progress.tell(&mut report);
        report
    }
}

#[cfg(test)]
#[path = "machine/tests.rs"]
mod tests;
