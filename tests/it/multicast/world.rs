//! A sender, receivers, and the time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use mimeo_core::{
    ids::SessionId,
    multicast::{
        block::{self, BlockShape, SourceCount},
        control::{Answer, Join},
        packet::ChannelNumber,
        report::{Member, Report},
    },
};
use mimeo_server::imaging::multicast::machine::{Action, Event, Packet, Sender};

use super::{
    chance::Chance,
    line::FRAME_BYTES,
    pc::{Pc, Running, Word},
};

/// How finely time passes.
const STEP_US: u64 = 1000;

/// No channel of these sizes takes so long, whatever happens.
const LONGEST_US: u64 = 120_000_000;

/// Bytes of content in a symbol.
pub(super) const SYMBOL_BYTES: f64 = block::SYMBOL_BYTES as f64;

/// Source symbols of a block that records fill.
pub(super) const FULL: u16 = (BlockShape::FILL_BYTES / block::SYMBOL_BYTES as u32) as u16;

/// A channel and those who want it.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// Source symbols of each block, the table's first.
    pub(super) sources: Vec<u16>,
    pub(super) table: u32,
    pub(super) pcs: Vec<Pc>,
    /// The sender's own line, which multicast and unicast share.
    pub(super) own_mbit: Option<f64>,
    /// How long a word over a connection takes, and what part is lost.
    pub(super) control_ms: (u64, u64),
    pub(super) control_loss: f64,
    /// Joining takes no time; otherwise what is sent meanwhile is not heard.
    pub(super) joins_at_once: bool,
    pub(super) seed: u64,
}

impl Setup {
    /// So many MiB of content in blocks as large as they get, with their table.
    pub(super) fn of_mib(mib: u64, pcs: Vec<Pc>) -> Self {
        let symbols = ((mib << 20) as f64 / SYMBOL_BYTES).ceil() as u64;
        let most = u64::from(FULL);
        // A table has 39 bytes for each chunk of 128 KiB.
        let mut sources = vec![((mib * 8 * 39) as f64 / SYMBOL_BYTES).ceil() as u16];
        sources.extend((0..symbols / most).map(|_| FULL));
        sources.extend(Some((symbols % most) as u16).filter(|rest| *rest > 0));
        Self {
            sources,
            table: 1,
            pcs,
            own_mbit: None,
            control_ms: (0, 1),
            control_loss: 0.0,
            joins_at_once: false,
            seed: 1,
        }
    }

    pub(super) fn symbols(&self) -> u64 {
        self.sources.iter().map(|sources| u64::from(*sources)).sum()
    }
}

enum Post {
    ToSender { from: usize, boot: u32, channel: u32, word: Word },
    Joined { to: usize, boot: u32, channel: u32, member: Member, sequence: u64 },
    Answer { to: usize, boot: u32, channel: u32, answer: Answer },
}

struct Channel {
    sender: Sender,
    /// By member number, whose it is: the PC and its boot.
    members: Vec<(usize, u32)>,
    idle_us: u64,
}

/// What a run has shown.
#[derive(Debug)]
pub(super) struct Outcome {
    /// When each PC had everything, in seconds. `None` for those that died.
    pub(super) done: Vec<Option<f64>>,
    pub(super) sent: u64,
    pub(super) report_bytes: u64,
    pub(super) fetched_symbols: Vec<u64>,
    pub(super) incidents: u32,
    pub(super) left_group: Vec<bool>,
    pub(super) channels: usize,
    pub(super) remembered_most: usize,
    /// Until the last was done.
    pub(super) seconds: f64,
    symbols: u64,
}

impl Outcome {
    /// Packets sent for each that had to be sent at least.
    pub(super) fn cost(&self) -> f64 {
        self.sent as f64 / self.symbols as f64
    }

    /// Megabytes of `mib` per second, until the one that took longest of these was done.
    pub(super) fn speed(&self, mib: u64, pcs: std::ops::Range<usize>) -> f64 {
        let last = self.done[pcs].iter().map(|done| done.expect("it lives")).fold(0.0, f64::max);
        (mib << 20) as f64 / 1e6 / last
    }
}

pub(super) struct World {
    setup: Setup,
    sources: Vec<SourceCount>,
    channels: Vec<Channel>,
    pcs: Vec<Running>,
    post: BinaryHeap<Reverse<(u64, u64)>>,
    letters: std::collections::HashMap<u64, Post>,
    posted: u64,
    own_free: f64,
    chance: Chance,
    now: u64,
    remembered_most: usize,
}

/// Runs a channel until everybody who lives has everything, and checks what must hold at any time.
pub(super) fn run(setup: &Setup) -> Outcome {
    let sources: Vec<SourceCount> =
        setup.sources.iter().map(|n| SourceCount::new(*n).expect("a block has symbols")).collect();
    let mut chance = Chance::new(setup.seed);
    let pcs = setup.pcs.iter().map(|pc| Running::new(*pc, &sources, setup.table, chance.next())).collect();
    let mut world = World {
        setup: setup.clone(),
        sources,
        channels: Vec::new(),
        pcs,
        post: BinaryHeap::new(),
        letters: std::collections::HashMap::new(),
        posted: 0,
        own_free: 0.0,
        chance,
        now: 0,
        remembered_most: 0,
    };
    world.open_channel(None);
    while !world.over() {
        assert!(world.now < LONGEST_US, "not done: {}", world.state());
        world.step();
    }
    world.outcome()
}

impl World {
    fn open_channel(&mut self, cap: Option<f64>) {
        let sender =
            Sender::new(&self.sources, self.setup.table, cap, self.time()).expect("a channel has blocks");
        self.channels.push(Channel { sender, members: Vec::new(), idle_us: 0 });
    }

    fn time(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    fn over(&self) -> bool {
        self.pcs.iter().all(|pc| pc.gone || pc.done_us.is_some())
    }

    fn state(&self) -> String {
        let left = self.pcs.iter().enumerate().filter(|(_, pc)| !pc.gone && pc.done_us.is_none());
        let progress = |pc: &Running| pc.receiver().map(|receiver| receiver.progress().written());
        let left: Vec<_> = left.map(|(index, pc)| (index, progress(pc), pc.channel, pc.left_group)).collect();
        format!("{left:?}, sent {}", self.channels[0].sender.sequence())
    }

    fn step(&mut self) {
        self.now += STEP_US;
        while self.post.peek().is_some_and(|Reverse((at, _))| *at <= self.now) {
            let Some(Reverse((_, number))) = self.post.pop() else { break };
            if let Some(letter) = self.letters.remove(&number) {
                self.deliver(letter);
            }
        }
        for index in 0..self.channels.len() {
            let before = self.channels[index].sender.sequence();
            self.sender(index, Event::Tick);
            self.check_idleness(index, before);
        }
        for index in 0..self.pcs.len() {
            let words = self.pcs[index].run(self.now);
            self.say(index, words);
        }
    }

    /// A sender that sends nothing has nothing to send that anybody is known to lack.
    fn check_idleness(&mut self, index: usize, before: u64) {
        let now = self.time();
        let channel = &mut self.channels[index];
        self.remembered_most = self.remembered_most.max(channel.sender.remembered());
        let slow = channel.sender.rate() * (STEP_US as f64 / 1e6) < 1.0;
        if channel.sender.sequence() > before || slow || !channel.sender.has_work(now) {
            channel.idle_us = 0;
            return;
        }
        channel.idle_us += STEP_US;
        // What has settled by time alone is looked for every 50 ms.
        assert!(channel.idle_us <= 60_000, "idle at {} us: {}", self.now, self.state());
    }

    fn say(&mut self, from: usize, words: Vec<Word>) {
        for word in words {
            let (boot, channel) = (self.pcs[from].boot, self.pcs[from].channel);
            self.mail(Post::ToSender { from, boot, channel, word });
        }
    }

    fn mail(&mut self, letter: Post) {
        if self.chance.happens(self.setup.control_loss) {
            return;
        }
        let joins = matches!(letter, Post::Joined { .. } | Post::ToSender { word: Word::Join, .. });
        let (least, most) = if joins && self.setup.joins_at_once { (0, 0) } else { self.setup.control_ms };
        let at = self.now + self.chance.between(least * 1000, most * 1000);
        self.posted += 1;
        self.letters.insert(self.posted, letter);
        self.post.push(Reverse((at, self.posted)));
    }

    fn deliver(&mut self, letter: Post) {
        match letter {
            Post::ToSender { from, boot, channel, word } => match word {
                // A boot that is over has no connection any more.
                Word::Join if self.pcs[from].boot != boot => {}
                Word::Join => {
                    let join = Join { link_mbit: self.pcs[from].pc.link_mbit, wireless: false };
                    let session = SessionId(from as i64);
                    self.sender(channel as usize, Event::Join { session, join });
                }
                Word::Report(report) => {
                    let bytes = report.emit();
                    let report = Report::parse(&bytes).expect("a report that was emitted");
                    self.sender(channel as usize, Event::Report(report));
                }
            },
            Post::Joined { to, boot, channel, member, sequence } => {
                if self.pcs[to].boot == boot && self.pcs[to].channel == channel {
                    let words = self.pcs[to].joined(member, sequence, self.now);
                    self.say(to, words);
                }
            }
            Post::Answer { to, boot, channel, answer } => {
                if self.pcs[to].boot == boot && self.pcs[to].channel == channel {
                    let words = self.pcs[to].answer(answer, self.now);
                    self.say(to, words);
                }
            }
        }
    }

    fn sender(&mut self, index: usize, event: Event) {
        let now = self.time();
        let actions = self.channels[index].sender.handle(event, now);
        let channel = index as u32;
        let mut packets = Vec::new();
        for action in actions {
            match action {
                Action::Send(packet) => packets.push(packet),
                Action::Joined { session, member, sequence } => {
                    let to = session.0 as usize;
                    let boot = self.pcs[to].boot;
                    assert_eq!(member.0 as usize, self.channels[index].members.len());
                    self.channels[index].members.push((to, boot));
                    self.mail(Post::Joined { to, boot, channel, member, sequence });
                }
                Action::Answer { member, answer } => {
                    let (to, boot) = self.channels[index].members[member.0 as usize];
                    self.mail(Post::Answer { to, boot, channel, answer });
                }
                Action::OpenSlower { members, rate } => {
                    let channel = self.channels.len() as u32;
                    self.open_channel(Some(rate));
                    let event = Event::SlowerOpened { channel: ChannelNumber(channel), members };
                    self.channels[index].sender.handle(event, now);
                }
                Action::NewEpoch | Action::Demoted { .. } | Action::Dropped { .. } | Action::Done { .. } => {}
            }
        }
        self.send(&packets, channel);
    }

    fn send(&mut self, packets: &[Packet], channel: u32) {
        let every = STEP_US as f64 / packets.len().max(1) as f64;
        for (index, packet) in packets.iter().enumerate() {
            let mut at = self.now as f64 + index as f64 * every;
            if let Some(mbit) = self.setup.own_mbit {
                self.own_free = self.own_free.max(at) + FRAME_BYTES * 8.0 / mbit;
                at = self.own_free;
            }
            self.pcs.iter_mut().for_each(|pc| pc.packet(*packet, channel, at));
        }
        // A socket whose buffer is full makes its sender wait.
        if self.own_free - self.now as f64 > 5000.0 {
            self.channels[channel as usize].sender.handle(Event::Full, Duration::from_micros(self.now));
        }
    }

    fn outcome(self) -> Outcome {
        let seconds = |pc: &Running| pc.done_us.map(|us| us as f64 / 1e6);
        let done: Vec<Option<f64>> = self.pcs.iter().map(seconds).collect();
        Outcome {
            seconds: done.iter().flatten().copied().fold(0.0, f64::max),
            done,
            sent: self.channels.iter().map(|channel| channel.sender.sequence()).sum(),
            report_bytes: self.pcs.iter().map(|pc| pc.report_bytes).sum(),
            fetched_symbols: self.pcs.iter().map(|pc| pc.fetched_symbols).collect(),
            incidents: self.pcs.iter().map(|pc| pc.incidents).sum(),
            left_group: self.pcs.iter().map(|pc| pc.left_group).collect(),
            channels: self.channels.len(),
            remembered_most: self.remembered_most,
            symbols: self.setup.symbols(),
        }
    }
}
