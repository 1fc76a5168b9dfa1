//! The sender: what to send and whom to tell what, from what receivers say and the time that passes.

use std::{collections::BTreeSet, time::Duration};

use mimeo_core::{
    ids::SessionId,
    multicast::{
        block::{BlockNumber, SourceCount, SymbolNumber},
        control::{Answer, BadTotals, BlockTotals, Demotion, FETCH_RUNS_MOST, Join, Standing},
        packet::ChannelNumber,
        report::{Member, Report},
    },
};

use super::{
    carousel::{Carousel, Pick},
    end_game,
    outliers::link_is_small,
    pace::Bucket,
    rate::{Rate, WIRE_BYTES, of_link},
    repairs::{Asked, Repairs},
    roster::Roster,
};

/// A receiver that joined in the middle of a block lacks what was sent before; no more of it than this is sent again for
/// its sake alone. The rest of the block comes with the next lap.
const LATECOMER_REPAIRS: u16 = 16;

/// So many demoted receivers make a channel of their own worth while.
const SLOWER_LEAST: usize = 3;
/// And each must still need this part of the blocks: for the last tenth, opening a channel is not worth while.
const SLOWER_LEFT: f64 = 0.1;

/// How often the sender looks who is dead and what may be forgotten.
const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(50);

/// Something that happens to a sender.
#[derive(Debug, Clone)]
pub enum Event {
    /// A session's client wants to take part. One that took part already starts anew.
    Join {
        session: SessionId,
        join: Join,
    },
    Report(Report),
    /// The session ended, or its connection is gone for good.
    Gone {
        session: SessionId,
    },
    /// The socket took no more.
    Full,
    /// The administrator's limit, or the channel's share of its network adapter, in symbols per second.
    Cap(Option<f64>),
    /// The slower channel that was asked for is open.
    SlowerOpened {
        channel: ChannelNumber,
        members: Vec<Member>,
    },
    /// Time passed.
    Tick,
}

/// One symbol to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub sequence: u64,
    pub block: BlockNumber,
    pub symbol: SymbolNumber,
}

/// What a sender wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Send(Packet),
    /// The session has this number, and the next packet this sequence number.
    Joined {
        session: SessionId,
        member: Member,
        sequence: u64,
    },
    Answer {
        member: Member,
        answer: Answer,
    },
    /// The key epoch is to change: somebody left who knows the key.
    NewEpoch,
    /// To be told to people, and who is demoted to be served by unicast.
    Demoted {
        session: SessionId,
        why: Demotion,
    },
    Dropped {
        session: SessionId,
    },
    Done {
        session: SessionId,
    },
    /// These demoted receivers would be better off in a channel of this rate (symbols per second).
    OpenSlower {
        members: Vec<Member>,
        rate: f64,
    },
}

/// The sender of one channel.
#[derive(Debug, Clone)]
pub struct Sender {
    totals: BlockTotals,
    roster: Roster,
    carousel: Carousel,
    repairs: Repairs,
    rate: Rate,
    bucket: Bucket,
    sequence: u64,
    repair_turn: bool,
    /// The sweep had nothing at the last look, and nothing has happened since that could change it.
    idle_since: Option<Duration>,
    kept_house_at: Duration,
    slower_asked: bool,
    actions: Vec<Action>,
}

impl Sender {
    /// A channel of blocks with so many source symbols each, the first `table` of which hold the table of the others.
    pub fn new(
        sources: &[SourceCount],
        table: u32,
        cap: Option<f64>,
        now: Duration,
    ) -> Result<Self, BadTotals> {
        let totals = BlockTotals::new(u32::try_from(sources.len()).unwrap_or(u32::MAX), table)?;
        Ok(Self {
            totals,
            roster: Roster::new(now),
            carousel: Carousel::new(sources, table),
            repairs: Repairs::default(),
            rate: Rate::new(cap, now),
            bucket: Bucket::new(now),
            sequence: 0,
            repair_turn: false,
            idle_since: None,
            kept_house_at: now,
            slower_asked: false,
            actions: Vec::new(),
        })
    }

    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        // Those who join at one moment shall hear the same first packet.
        let joins = matches!(event, Event::Join { .. });
        match event {
            Event::Join { session, join } => self.join(session, join, now),
            Event::Report(report) => self.report(&report, now),
            Event::Gone { session } => {
                if let Some(member) = self.roster.of_session(session) {
                    self.remove(member);
                }
            }
            Event::Full => {
                self.bucket.empty();
                self.rate.full();
            }
            Event::Cap(cap) => self.rate.set_cap(cap),
            Event::SlowerOpened { channel, members } => {
                for member in members {
                    if let Some(receiver) =
                        self.roster.get_mut(member).filter(|receiver| !receiver.is_member())
                    {
                        receiver.standing = Standing::Slower { channel };
                    }
                }
            }
            Event::Tick => {}
        }
        self.keep_house(now);
        if !joins {
            self.send(now);
        }
        std::mem::take(&mut self.actions)
    }

    /// When time itself makes a difference next.
    pub fn wait(&self) -> Duration {
        self.bucket.wait(self.rate.now()).max(Duration::from_micros(100)).min(HOUSEKEEPING_EVERY)
    }

    /// Symbols per second.
    pub fn rate(&self) -> f64 {
        self.rate.now()
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn lap(&self) -> u32 {
        self.carousel.lap()
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Numbers of packets that are remembered.
    pub fn remembered(&self) -> usize {
        self.repairs.remembered()
    }

    /// Whether something could be sent that somebody is known to lack and that is not under way.
    pub fn has_work(&mut self, now: Duration) -> bool {
        !self.repairs.is_empty() || {
            let mut trial = self.carousel.clone();
            let (settled, repairs) = (self.roster.settled(self.sequence), &self.repairs);
            trial.next(settled, self.sequence, now, 0, |block| repairs.queued(block), |_| {}).is_some()
        }
    }

    fn join(&mut self, session: SessionId, join: Join, now: Duration) {
        if let Some(before) = self.roster.of_session(session) {
            self.remove(before);
        }
        let member = self.roster.add(session, join.link_mbit, self.totals.all(), self.sequence, now);
        (0..self.totals.all()).for_each(|block| self.carousel.need(BlockNumber(block)));
        self.actions.push(Action::Joined { session, member, sequence: self.sequence });
        self.idle_since = None;
        self.look_at_links();
        if join.wireless {
            self.demote(member, Demotion::Unheard);
        }
    }

    /// Members came: whoever has a link that the others outgrow is demoted at once.
    fn look_at_links(&mut self) {
        let others = self.roster.link_mbit();
        self.rate.links_are(others);
        let Some(others) = others else { return };
        let small: Vec<Member> = self
            .roster
            .members()
            .filter(|(_, receiver)| receiver.link_mbit.is_some_and(|mbit| link_is_small(mbit, others)))
            .map(|(member, _)| member)
            .collect();
        small.into_iter().for_each(|member| self.demote(member, Demotion::Link));
    }

    fn report(&mut self, report: &Report, now: Duration) {
        let member = report.counters.member;
        let Some(receiver) = self.roster.get_mut(member) else {
            let answer = Answer {
                heard: report.counters.number,
                sequence: self.sequence,
                standing: Standing::Unknown,
                fetch: Vec::new(),
            };
            self.actions.push(Action::Answer { member, answer });
            return;
        };
        if receiver.hear(report, now) {
            self.idle_since = None;
            self.take_bitmap(member, report);
            self.take_lacks(member, report, now);
            self.judge(member, report, now);
            self.look_at_the_end(member);
        }
        self.answer(member);
    }

    fn answer(&mut self, member: Member) {
        let Some(receiver) = self.roster.get(member) else { return };
        let fetch = receiver.fetch.iter().take(FETCH_RUNS_MOST).copied().collect();
        let answer =
            Answer { heard: receiver.number(), sequence: self.sequence, standing: receiver.standing, fetch };
        self.actions.push(Action::Answer { member, answer });
    }

    /// What the receiver has no need of any more, and what it needs again.
    fn take_bitmap(&mut self, member: Member, report: &Report) {
        let Some(receiver) = self.roster.get_mut(member) else { return };
        let end = self.totals.all();
        let inside = |block: &BlockNumber| block.0 < end;
        for block in report.has().iter().flat_map(|run| run.blocks().take_while(inside)) {
            if receiver.needs.remove(block) && receiver.is_member() && self.carousel.need_no_more(block) {
                self.repairs.complete(block);
            }
        }
        for block in report.wants().iter().flat_map(|run| run.blocks().take_while(inside)) {
            if receiver.needs.insert(block) && receiver.is_member() {
                self.carousel.need(block);
            }
        }
        let has =
            |block: BlockNumber| report.has().iter().any(|run| run.first <= block && block.0 < run.end());
        if !receiver.fetch.is_empty() {
            let left = receiver.fetch.iter().flat_map(|run| run.blocks()).filter(|block| !has(*block));
            receiver.fetch = end_game::runs(left);
        }
    }

    /// What the receiver lacks of the blocks that it has begun.
    fn take_lacks(&mut self, member: Member, report: &Report, now: Duration) {
        let Some(receiver) = self.roster.get(member) else { return };
        if !receiver.is_member() {
            return;
        }
        let alone =
            self.roster.members().all(|(other, receiver)| other == member || receiver.needs.count() == 0);
        let refused = receiver.watch.on_probation() && !alone;
        let joined = receiver.joined;
        let idle = self.repairs.is_empty() && self.has_nothing_to_sweep();
        let mut open = Vec::new();
        for lack in report.lacks().iter().filter(|lack| receiver.needs.contains(lack.block)) {
            let late = self.carousel.begun_at(lack.block).is_some_and(|begun| begun < joined);
            if refused || (late && lack.missing > LATECOMER_REPAIRS) || self.repairs.exhausted(lack.block) {
                continue;
            }
            open.push(lack.block);
            let coming = self.carousel.coming(lack.block);
            let loss = receiver.fares().loss.max(self.rate.granted());
            let spare =
                if idle && loss > 0.0 { 1 + (2.0 * loss * f64::from(lack.missing)) as u16 } else { 0 };
            let asked = Asked { missing: lack.missing, reach: report.counters.reach, spare };
            self.repairs.asked(lack.block, asked, coming, now);
        }
        let Some(receiver) = self.roster.get_mut(member) else { return };
        for block in std::mem::replace(&mut receiver.open, open) {
            self.carousel.open(block, false);
        }
        receiver.open.iter().for_each(|block| self.carousel.open(*block, true));
    }

    fn has_nothing_to_sweep(&self) -> bool {
        self.carousel
            .needed()
            .iter()
            .all(|block| self.carousel.coming(block) == 0 && self.carousel.begun_at(block).is_some())
    }

    /// Whether the receiver is done, or has to leave.
    fn judge(&mut self, member: Member, report: &Report, now: Duration) {
        let others = self.roster.last_round();
        let Some(receiver) = self.roster.get_mut(member) else { return };
        if report.counters.written >= self.totals.all() {
            if receiver.standing != Standing::Done {
                let session = receiver.session;
                self.leave(member, Standing::Done);
                self.actions.push(Action::Done { session });
            }
            return;
        }
        if !receiver.is_member() {
            return;
        }
        let fares = receiver.fares();
        let why = match report.counters.unheard {
            Some(_) => Some(Demotion::Unheard),
            None => receiver.watch.judge(fares, others, now),
        };
        if let Some(why) = why {
            self.demote(member, why);
        }
    }

    fn demote(&mut self, member: Member, why: Demotion) {
        let Some(session) = self.roster.get(member).map(|receiver| receiver.session) else { return };
        self.leave(member, Standing::Unicast(why));
        self.actions.push(Action::NewEpoch);
        self.actions.push(Action::Demoted { session, why });
        self.look_for_a_slower_channel();
    }

    /// Three who were demoted share a channel rather than take three lines.
    fn look_for_a_slower_channel(&mut self) {
        let enough = f64::from(self.totals.all()) * (1.0 - SLOWER_LEFT);
        let demoted: Vec<_> = self
            .roster
            .all()
            .filter(|(_, receiver)| {
                let slow = Standing::Unicast(Demotion::Unheard) != receiver.standing;
                matches!(receiver.standing, Standing::Unicast(_))
                    && slow
                    && f64::from(receiver.written) < enough
            })
            .collect();
        if self.slower_asked || demoted.len() < SLOWER_LEAST {
            return;
        }
        // What the way to them carries: as it arrived, or as the link says where nothing was tried.
        let carries = demoted.iter().filter_map(|(_, receiver)| {
            let link = receiver.link_mbit.map(|mbit| of_link(mbit, WIRE_BYTES));
            let arrived = Some(f64::from(receiver.arriving)).filter(|arrived| *arrived > 0.0);
            arrived.into_iter().chain(link).reduce(f64::min)
        });
        let rate = carries.reduce(f64::min).unwrap_or(self.rate.now() / 2.0);
        let members = demoted.iter().map(|(member, _)| *member).collect();
        self.slower_asked = true;
        self.actions.push(Action::OpenSlower { members, rate });
    }

    /// The receiver takes no part any longer, and stays known so that it can be told.
    fn leave(&mut self, member: Member, standing: Standing) {
        let Some(receiver) = self.roster.get_mut(member) else { return };
        let was_member = receiver.is_member();
        receiver.standing = standing;
        receiver.fetch.clear();
        let open = std::mem::take(&mut receiver.open);
        open.into_iter().for_each(|block| self.carousel.open(block, false));
        if was_member {
            for block in receiver.needs.iter() {
                if self.carousel.need_no_more(block) {
                    self.repairs.complete(block);
                }
            }
        }
        self.rate.links_are(self.roster.link_mbit());
    }

    fn remove(&mut self, member: Member) {
        self.leave(member, Standing::Unknown);
        self.roster.remove(member);
        self.actions.push(Action::NewEpoch);
    }

    /// Who is dead, what may be forgotten, whether the rate changes.
    fn keep_house(&mut self, now: Duration) {
        if let Some(round) = self.roster.round(self.rate.begins(), now) {
            self.rate.round(round, now);
        }
        self.rate.tick(now);
        if now.saturating_sub(self.kept_house_at) < HOUSEKEEPING_EVERY {
            return;
        }
        self.kept_house_at = now;
        for member in self.roster.dead(now) {
            if let Some(session) = self.roster.get(member).map(|receiver| receiver.session) {
                self.remove(member);
                self.actions.push(Action::Dropped { session });
            }
        }
        self.repairs.forget(now);
        // What has settled by time alone may be swept again.
        self.idle_since = None;
    }

    fn send(&mut self, now: Duration) {
        self.bucket.fill(self.rate.now(), now);
        while self.idle_since.is_none() && self.bucket.take() {
            let Some((block, symbol, parity)) = self.pick(now) else {
                self.idle_since = Some(now);
                self.bucket.empty();
                self.fill_silence();
                if self.repairs.is_empty() {
                    return;
                }
                self.idle_since = None;
                continue;
            };
            let sequence = self.sequence;
            self.sequence += 1;
            self.carousel.sent(block, sequence, now);
            self.repairs.sent(block, sequence, parity, now);
            self.rate.sent(now);
            self.actions.push(Action::Send(Packet { sequence, block, symbol }));
        }
    }

    /// The next symbol: a repair and one of the sweep in turn, where there are both.
    fn pick(&mut self, now: Duration) -> Option<(BlockNumber, SymbolNumber, bool)> {
        self.repair_turn = !self.repair_turn;
        if self.repair_turn
            && let Some(repair) = self.pick_repair()
        {
            return Some(repair);
        }
        self.pick_sweep(now).or_else(|| self.pick_repair())
    }

    fn pick_repair(&mut self) -> Option<(BlockNumber, SymbolNumber, bool)> {
        let carousel = &self.carousel;
        self.repairs.next(|block| carousel.sources(block)).map(|(block, symbol)| (block, symbol, true))
    }

    fn pick_sweep(&mut self, now: Duration) -> Option<(BlockNumber, SymbolNumber, bool)> {
        let settled = self.roster.settled(self.sequence);
        let proactive = self.repairs.proactive(now);
        let mut begun = Vec::new();
        let repairs = &self.repairs;
        let queued = |block| repairs.queued(block);
        let pick =
            self.carousel.next(settled, self.sequence, now, proactive, queued, |block| begun.push(block));
        begun.into_iter().for_each(|block| self.repairs.swept(block));
        match pick? {
            Pick::Source(block, symbol) => Some((block, symbol, false)),
            Pick::Parity(block) => {
                let sources = self.carousel.sources(block)?;
                Some((block, self.repairs.fresh(block, sources), true))
            }
        }
    }

    /// Everything is under way and nobody could say yet what was lost of it. What probably was is sent meanwhile: the line
    /// is free, and a round of reports is saved.
    fn fill_silence(&mut self) {
        let symbols = self.repairs.generous();
        let settled = self.roster.settled(self.sequence);
        if symbols == 0 || settled >= self.sequence {
            return;
        }
        let unsettled: Vec<BlockNumber> = self
            .repairs
            .in_flight()
            .filter(|block| {
                self.carousel.unsettled(*block, settled) && self.carousel.needed().contains(*block)
            })
            .collect();
        for block in unsettled {
            self.repairs.top_up(block, symbols);
        }
    }

    /// Few may need little, now that everybody has said how he stands with all that was sent. Whoever reported is answered
    /// anyway.
    fn look_at_the_end(&mut self, reporter: Member) {
        if self.roster.settled(self.sequence) < self.sequence || !self.has_nothing_to_sweep() {
            return;
        }
        let loss = self.roster.last_round().loss.max(self.rate.granted());
        let carousel = &self.carousel;
        let fetches = end_game::decide(&self.roster, |block| carousel.sources(block), loss, self.rate.now());
        for (member, runs) in fetches {
            let Some(receiver) = self.roster.get_mut(member) else { continue };
            for block in runs.iter().flat_map(|run| run.blocks()) {
                if receiver.needs.remove(block) && self.carousel.need_no_more(block) {
                    self.repairs.complete(block);
                }
            }
            for block in std::mem::take(&mut receiver.open) {
                self.carousel.open(block, false);
            }
            let both = receiver.fetch.iter().chain(&runs).flat_map(|run| run.blocks());
            let both: BTreeSet<BlockNumber> = both.collect();
            receiver.fetch = end_game::runs(both.into_iter());
            if member != reporter {
                self.answer(member);
            }
        }
    }
}
