//! A receiver: the client's machine with a line, a disk, and a life of its own.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashSet},
    time::Duration,
};

use mimeo_client::multicast::machine::{Action, Event, Receiver};
use mimeo_core::multicast::{
    block::{BlockNumber, SYMBOL_BYTES, SourceCount},
    control::{Answer, BlockTotals},
    report::{FRAME_BYTES, Member, Report},
};
use mimeo_server::imaging::multicast::machine::Packet;

use super::{
    chance::Chance,
    line::{Lane, Line},
};

/// What a PC is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pc {
    pub(super) line: Line,
    /// What its adapter says of the link.
    pub(super) link_mbit: Option<u32>,
    /// Symbols per second that the disk takes, and how many blocks it can compare in a second.
    pub(super) disk: f64,
    /// Symbols that blocks may take in memory.
    pub(super) room: u32,
    pub(super) joins_ms: u64,
    /// When its power goes, and after how long it is back.
    pub(super) crash_ms: Option<u64>,
    pub(super) back_after_ms: Option<u64>,
    /// Every so many blocks are on its disk already.
    pub(super) holds_every: Option<u32>,
    /// Multicast does not reach it.
    pub(super) deaf: bool,
    /// Part of the blocks that are restored wrong, as an insider's symbols would make them.
    pub(super) wrong: f64,
}

/// Room for 64 MiB.
pub(super) const ROOM: u32 = (64 << 20) / SYMBOL_BYTES as u32;

impl Pc {
    pub(super) fn of(line: Line) -> Self {
        Self {
            line,
            link_mbit: Some(line.mbit as u32),
            disk: 1e9,
            room: ROOM,
            joins_ms: 0,
            crash_ms: None,
            back_after_ms: None,
            holds_every: None,
            deaf: false,
            wrong: 0.0,
        }
    }
}

/// What a PC says to the sender.
#[derive(Debug, Clone)]
pub(super) enum Word {
    Join,
    Report(Report),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    Packet { sequence: u64, block: u32, symbol: u16 },
    Written(u32),
    Fetched(u32),
    Compared(u32),
}

/// A PC that runs.
pub(super) struct Running {
    pub(super) pc: Pc,
    pub(super) channel: u32,
    /// Counts its boots: messages to an earlier one reach nobody.
    pub(super) boot: u32,
    pub(super) done_us: Option<u64>,
    pub(super) gone: bool,
    pub(super) report_bytes: u64,
    pub(super) room_most: u32,
    pub(super) fetched_symbols: u64,
    pub(super) incidents: u32,
    pub(super) left_group: bool,
    receiver: Option<Receiver>,
    lane: Lane,
    sources: Vec<SourceCount>,
    table: u32,
    on_disk: BTreeSet<u32>,
    later: BinaryHeap<Reverse<(u64, Later)>>,
    heard: HashSet<(u32, u64)>,
    disk_free: f64,
    compare_free: f64,
    table_known: bool,
    joined: bool,
    join_asked: Option<u64>,
    chance: Chance,
}

fn time(us: u64) -> Duration {
    Duration::from_micros(us)
}

impl Running {
    pub(super) fn new(pc: Pc, sources: &[SourceCount], table: u32, seed: u64) -> Self {
        let held =
            (table..sources.len() as u32).filter(|block| pc.holds_every.is_some_and(|n| block % n == 0));
        Self {
            pc,
            channel: 0,
            boot: 0,
            done_us: None,
            gone: false,
            report_bytes: 0,
            room_most: 0,
            fetched_symbols: 0,
            incidents: 0,
            left_group: false,
            receiver: None,
            lane: Lane::new(pc.line, seed),
            sources: sources.to_vec(),
            table,
            on_disk: held.collect(),
            later: BinaryHeap::new(),
            heard: HashSet::new(),
            disk_free: 0.0,
            compare_free: 0.0,
            table_known: false,
            joined: false,
            join_asked: None,
            chance: Chance::new(seed ^ 0x5555),
        }
    }

    pub(super) fn receiver(&self) -> Option<&Receiver> {
        self.receiver.as_ref()
    }

    /// A packet leaves the sender.
    pub(super) fn packet(&mut self, packet: Packet, channel: u32, at: f64) {
        if channel != self.channel || self.pc.deaf || !self.receiver.as_ref().is_some_and(Receiver::listens) {
            return;
        }
        let Packet { sequence, block, symbol } = packet;
        for arrives in self.lane.carry(at).into_iter().flatten() {
            let later = Later::Packet { sequence, block: block.0, symbol: symbol.0 };
            self.later.push(Reverse((arrives, later)));
        }
    }

    /// The sender has taken it in.
    pub(super) fn joined(&mut self, member: Member, sequence: u64, now: u64) -> Vec<Word> {
        self.join_asked = None;
        self.joined = true;
        self.heard.clear();
        self.tell(Event::Joined { member, sequence }, now)
    }

    pub(super) fn answer(&mut self, answer: Answer, now: u64) -> Vec<Word> {
        self.tell(Event::Answer(answer), now)
    }

    /// Time passes up to `now`.
    pub(super) fn run(&mut self, now: u64) -> Vec<Word> {
        let mut words = Vec::new();
        if !self.live(now) {
            return words;
        }
        while self.later.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, later))) = self.later.pop() else { break };
            words.extend(self.happen(later, at));
        }
        words.extend(self.tell(Event::Tick, now));
        // A request that is not answered is made again, as every client does.
        let asked_lately = self.join_asked.is_some_and(|at| now - at < 500_000);
        if !self.joined && !asked_lately {
            self.join_asked = Some(now);
            words.push(Word::Join);
        }
        words
    }

    /// Whether it is switched on; switches it on and off.
    fn live(&mut self, now: u64) -> bool {
        let begin = self.pc.joins_ms * 1000;
        let crash = self.pc.crash_ms.map(|ms| ms * 1000).filter(|_| self.boot < 2);
        if crash.is_some_and(|crash| now >= crash && self.boot == 1 && self.receiver.is_some())
            && self.done_us.is_none()
        {
            self.receiver = None;
            self.later.clear();
            self.joined = false;
            self.gone = self.pc.back_after_ms.is_none();
        }
        if self.receiver.is_some() {
            return true;
        }
        let back = crash.and_then(|crash| self.pc.back_after_ms.map(|after| crash + after * 1000));
        let starts = match self.boot {
            0 => now >= begin,
            1 => back.is_some_and(|back| now >= back),
            _ => false,
        };
        if starts {
            self.boot += 1;
            let totals =
                BlockTotals::new(self.sources.len() as u32, self.table).expect("a channel has blocks");
            self.receiver = Some(Receiver::new(totals, self.pc.room, time(now)));
            (self.channel, self.table_known, self.joined, self.join_asked) = (0, false, false, None);
            (self.disk_free, self.compare_free) = (now as f64, now as f64);
            self.heard.clear();
        }
        starts
    }

    fn happen(&mut self, later: Later, now: u64) -> Vec<Word> {
        match later {
            Later::Packet { sequence, block, symbol } => {
                // The sequence window lets a packet through once.
                if !self.joined || !self.heard.insert((self.channel, sequence)) {
                    return Vec::new();
                }
                let symbol = mimeo_core::multicast::block::SymbolNumber(symbol);
                {
                    let sources = self.sources[block as usize];
                    self.tell(Event::Symbol { sequence, block: BlockNumber(block), symbol, sources }, now)
                }
            }
            Later::Written(block) if self.chance.happens(self.pc.wrong) => {
                self.tell(Event::Wrong(BlockNumber(block)), now)
            }
            Later::Written(block) => self.stored(block, Event::Written(BlockNumber(block)), now),
            Later::Fetched(block) => self.stored(block, Event::Fetched(BlockNumber(block)), now),
            Later::Compared(block) => {
                let event = if self.on_disk.contains(&block) { Event::Has } else { Event::HasNot };
                self.tell(event(BlockNumber(block)), now)
            }
        }
    }

    fn stored(&mut self, block: u32, event: Event, now: u64) -> Vec<Word> {
        self.on_disk.insert(block);
        let mut words = self.tell(event, now);
        let written = |block| {
            self.receiver.as_ref().is_some_and(|receiver| {
                receiver.progress().state(BlockNumber(block))
                    == Some(mimeo_client::multicast::progress::State::Written)
            })
        };
        if !self.table_known && (0..self.table).all(written) {
            self.table_known = true;
            if self.pc.holds_every.is_some() || self.boot > 1 {
                words.extend(self.tell(Event::Compare, now));
            }
        }
        words
    }

    fn tell(&mut self, event: Event, now: u64) -> Vec<Word> {
        let Some(receiver) = &mut self.receiver else { return Vec::new() };
        let actions = receiver.handle(event, time(now));
        let (used, room) = receiver.room();
        assert!(used <= room, "blocks take {used} of {room}");
        self.room_most = self.room_most.max(used);
        if receiver.progress().done() && self.done_us.is_none() {
            assert_eq!(self.on_disk.len(), self.sources.len(), "done without everything on the disk");
            self.done_us = Some(now);
        }
        let mut words = Vec::new();
        for action in actions {
            match action {
                Action::Restore(block) => {
                    let took = f64::from(self.symbols(block)) / self.pc.disk * 1e6;
                    self.disk_free = self.disk_free.max(now as f64) + took;
                    self.later.push(Reverse((self.disk_free as u64, Later::Written(block.0))));
                }
                Action::Fetch(block) => {
                    let symbols = self.symbols(block);
                    self.fetched_symbols += u64::from(symbols);
                    let here = self.lane.fetch(symbols, now as f64);
                    self.disk_free =
                        self.disk_free.max(here as f64) + f64::from(symbols) / self.pc.disk * 1e6;
                    self.later.push(Reverse((self.disk_free as u64, Later::Fetched(block.0))));
                }
                Action::Hash(block) => {
                    let took = f64::from(self.symbols(block)) / 400_000.0 * 1e6;
                    self.compare_free = self.compare_free.max(now as f64) + took;
                    self.later.push(Reverse((self.compare_free as u64, Later::Compared(block.0))));
                }
                Action::Report(report) => {
                    self.report_bytes += (report.emit().len() + FRAME_BYTES) as u64;
                    words.push(Word::Report(report));
                }
                Action::Rejoin => self.joined = false,
                Action::Switch { channel } => {
                    self.channel = channel.0;
                    self.joined = false;
                }
                Action::LeaveGroup(_) => self.left_group = true,
                Action::Incident(_) => self.incidents += 1,
                Action::Forget(_) | Action::Done => {}
            }
        }
        words
    }

    fn symbols(&self, block: BlockNumber) -> u16 {
        self.sources[block.0 as usize].get()
    }
}
