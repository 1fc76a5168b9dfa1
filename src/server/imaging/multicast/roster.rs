//! Who takes part, and what each said last.

use std::{collections::BTreeMap, time::Duration};

use mimeo_core::{
    ids::SessionId,
    multicast::{
        block::BlockNumber,
        control::{DEAD_AFTER, Standing},
        report::{BlockRun, Member, REPORT_EVERY, Report},
    },
};

use super::{
    need::BlockSet,
    outliers::{Fares, Watch},
    rate::Round,
};

/// How much a report weighs in the smoothed loss: about a second's worth of reports.
const LOSS_WEIGHT: f64 = 0.25;

/// A round ends when everybody has spoken, and no later than this: whoever is silent is not waited for.
const ROUND_MOST: Duration = Duration::from_millis(400);

/// Of the members' values, that which three quarters do not exceed.
pub fn three_quarters<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().checked_sub(1)? * 3 / 4).copied()
}

/// The same from above: that which three quarters reach.
fn three_quarters_reach<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().checked_sub(1)? * 3 / 4).copied()
}

/// One receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub session: SessionId,
    pub link_mbit: Option<u32>,
    pub standing: Standing,
    /// What it needs by multicast.
    pub needs: BlockSet,
    /// Blocks it has begun whose gaps are filled by repairs.
    pub open: Vec<BlockNumber>,
    /// What it was told to fetch by unicast and has not yet.
    pub fetch: Vec<BlockRun>,
    /// The sequence number of the first packet after it joined.
    pub joined: u64,
    pub reach: u64,
    pub written: u32,
    pub queue_percent: u8,
    pub arriving: u32,
    pub watch: Watch,
    heard_at: Duration,
    number: u32,
    received: u64,
    loss: f64,
    loss_now: f64,
    /// Of this round.
    expected: u64,
    lost: u64,
    spoke: bool,
}

impl Receiver {
    fn new(session: SessionId, link_mbit: Option<u32>, blocks: u32, joined: u64, now: Duration) -> Self {
        Self {
            session,
            link_mbit,
            standing: Standing::Member,
            needs: BlockSet::full(blocks),
            open: Vec::new(),
            fetch: Vec::new(),
            joined,
            reach: joined,
            written: 0,
            queue_percent: 0,
            arriving: 0,
            watch: Watch::default(),
            heard_at: now,
            number: 0,
            received: 0,
            loss: 0.0,
            loss_now: 0.0,
            expected: 0,
            lost: 0,
            spoke: false,
        }
    }

    /// Takes in the counters of a report. False where a newer one was heard before.
    pub fn hear(&mut self, report: &Report, now: Duration) -> bool {
        self.heard_at = self.heard_at.max(now);
        let counters = &report.counters;
        if counters.number <= self.number {
            return false;
        }
        self.number = counters.number;
        let expected = counters.reach.saturating_sub(self.reach);
        let lost = expected.saturating_sub(counters.received.saturating_sub(self.received));
        self.reach = self.reach.max(counters.reach);
        self.received = self.received.max(counters.received);
        self.written = counters.written;
        self.queue_percent = counters.queue_percent;
        self.arriving = counters.arriving;
        (self.expected, self.lost, self.spoke) = (self.expected + expected, self.lost + lost, true);
        // A handful of packets says nothing about a line.
        if expected >= 32 {
            self.loss_now = lost as f64 / expected as f64;
            self.loss += (self.loss_now - self.loss) * LOSS_WEIGHT;
        }
        true
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn fares(&self) -> Fares {
        Fares { loss_now: self.loss_now, loss: self.loss, queue_percent: self.queue_percent }
    }

    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }
}

/// All receivers of a channel, by number.
#[derive(Debug, Clone)]
pub struct Roster {
    receivers: BTreeMap<Member, Receiver>,
    next: u32,
    round_began: Duration,
    last_round: Round,
    /// How far three quarters had heard when this round began.
    round_from: u64,
}

impl Roster {
    pub fn new(now: Duration) -> Self {
        let last_round = Round { loss: 0.0, queue_percent: 0, arriving: None, from: 0 };
        Self { receivers: BTreeMap::new(), next: 0, round_began: now, last_round, round_from: 0 }
    }

    pub fn add(
        &mut self,
        session: SessionId,
        link_mbit: Option<u32>,
        blocks: u32,
        joined: u64,
        now: Duration,
    ) -> Member {
        let member = Member(self.next);
        self.next = self.next.wrapping_add(1);
        self.receivers.insert(member, Receiver::new(session, link_mbit, blocks, joined, now));
        member
    }

    pub fn get(&self, member: Member) -> Option<&Receiver> {
        self.receivers.get(&member)
    }

    pub fn get_mut(&mut self, member: Member) -> Option<&mut Receiver> {
        self.receivers.get_mut(&member)
    }

    pub fn remove(&mut self, member: Member) -> Option<Receiver> {
        self.receivers.remove(&member)
    }

    pub fn of_session(&self, session: SessionId) -> Option<Member> {
        self.receivers.iter().find(|(_, receiver)| receiver.session == session).map(|(member, _)| *member)
    }

    pub fn all(&self) -> impl Iterator<Item = (Member, &Receiver)> {
        self.receivers.iter().map(|(member, receiver)| (*member, receiver))
    }

    /// Those who still listen.
    pub fn members(&self) -> impl Iterator<Item = (Member, &Receiver)> {
        self.all().filter(|(_, receiver)| receiver.is_member())
    }

    pub fn dead(&self, now: Duration) -> Vec<Member> {
        let silent = |receiver: &Receiver| now.saturating_sub(receiver.heard_at) >= DEAD_AFTER;
        self.all().filter(|(_, receiver)| silent(receiver)).map(|(member, _)| member).collect()
    }

    /// The link that three quarters of the members have or exceed, of those that know theirs.
    pub fn link_mbit(&self) -> Option<u32> {
        three_quarters_reach(self.members().filter_map(|(_, receiver)| receiver.link_mbit).collect())
    }

    /// Everybody who needs something has said how he stands with what was sent before this.
    pub fn settled(&self, sequence: u64) -> u64 {
        let needy = self.members().filter(|(_, receiver)| receiver.needs.count() > 0);
        needy.map(|(_, receiver)| receiver.reach).min().unwrap_or(sequence)
    }

    /// How three quarters fared in the last round.
    pub fn last_round(&self) -> Round {
        self.last_round
    }

    /// The round, if it is over. The very first is over when half of the members have heard something.
    pub fn round(&mut self, begins: bool, now: Duration) -> Option<Round> {
        let members = self.members().count();
        let spoke = self.members().filter(|(_, receiver)| receiver.spoke && receiver.reach > receiver.joined);
        let spoke = spoke.count();
        let passed = now.saturating_sub(self.round_began);
        let over = match begins {
            true => spoke > 0 && spoke * 2 >= members,
            false => (passed >= REPORT_EVERY && spoke == members) || passed >= ROUND_MOST,
        };
        if !over {
            return None;
        }
        self.round_began = now;
        let part = |receiver: &Receiver| receiver.lost as f64 / receiver.expected.max(1) as f64;
        let loss =
            three_quarters(self.members().filter(|(_, r)| r.expected > 0).map(|(_, r)| part(r)).collect());
        let queue = three_quarters(self.members().map(|(_, receiver)| receiver.queue_percent).collect());
        let arriving = three_quarters_reach(
            self.members().filter(|(_, r)| r.arriving > 0).map(|(_, r)| f64::from(r.arriving)).collect(),
        );
        let reached = three_quarters_reach(self.members().map(|(_, receiver)| receiver.reach).collect());
        let from = std::mem::replace(&mut self.round_from, reached.unwrap_or(0));
        for receiver in self.receivers.values_mut() {
            (receiver.expected, receiver.lost, receiver.spoke) = (0, 0, false);
        }
        // Where nothing was sent, nothing was lost.
        self.last_round = Round { loss: loss?, queue_percent: queue.unwrap_or(0), arriving, from };
        Some(self.last_round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_leave_the_worst_out() {
        let cases: [(&[u32], u32, u32); 5] = [
            (&[7], 7, 7),
            (&[1, 9], 1, 9),
            (&[1, 2, 9], 2, 2),
            (&[1, 2, 3, 9], 3, 2),
            (&[1, 2, 3, 4, 5, 6, 8, 9], 6, 3),
        ];
        for (values, not_exceeded, reached) in cases {
            assert_eq!(three_quarters(values.to_vec()), Some(not_exceeded), "{values:?}");
            assert_eq!(three_quarters_reach(values.to_vec()), Some(reached), "{values:?}");
        }
        assert_eq!(three_quarters::<u32>(Vec::new()), None);
    }
}
