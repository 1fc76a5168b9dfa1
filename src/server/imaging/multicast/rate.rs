//! How fast a channel sends: from the links that its receivers report, after what three quarters of them receive.
//!
//! Loss alone does not say that a line is full: a bad cable loses at any rate. So a first loss is an experiment. The rate
//! goes down by as much as was lost, which is where a full line would be content, for one round:
//!
//! ```text
//!             loss in two rounds                      the loss went with it
//!   Growing ────────────────────▶ Trying ──────────────────────────────────▶ Growing, from here
//!      ▲                            │ the loss stayed
//!      └────────────────────────────┘ as fast as before; so much loss is taken for granted
//! ```
//!
//! Numbers are symbols per second. A round is one report of everybody.

use std::time::Duration;

use mimeo_core::multicast::{packet::PACKET_BYTES, report::TRAIN_PACKETS};

/// A packet on the line, with the headers of UDP, IP and Ethernet (8, 20, 14): what a shaper counts.
pub const FRAME_BYTES: f64 = (PACKET_BYTES + 42) as f64;
/// The same with checksum, preamble and gap between frames: what a port of a switch is busy with.
pub const WIRE_BYTES: f64 = FRAME_BYTES + 24.0;

/// Loss beyond what is taken for granted that may be a full line.
const LOSS: f64 = 0.005;
/// So many rounds in a row must have it: one round of bad luck is none.
const LOSS_ROUNDS: u32 = 2;
/// How far a try goes below what arrived: a queue that is full must drain for its loss to end.
const TRY_MARGIN: f64 = 0.01;
/// A try at a small loss costs the less the seldomer it is made; the line is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How much of the way to a smaller loss the granted one goes in a round: not after every lucky one.
const GRANTED_FOLLOWS: f64 = 0.1;
/// More than this no line loses by itself: there is a slower one on the way.
const GRANTED_MOST: f64 = 0.2;
/// What is granted may be a full line after all, if it was while others filled it. It is doubted from time to time.
const DOUBT_AFTER: Duration = Duration::from_secs(10);
/// Where the line was full a moment ago and is full again, others use it too.
const BACK_OFF: f64 = 0.85;
/// Within this after the last loss "again" is meant.
const AGAIN: Duration = Duration::from_secs(2);
/// Growth per second where nothing is lost and disks keep up.
const GROWTH: f64 = 0.05;
/// Room before the disk, in percent, above which three quarters of the disks are the limit; below the other it drains.
const QUEUE_FULL: u8 = 80;
const QUEUE_DRAINS: u8 = 50;
/// Where nobody knows its link: what most classrooms have, in Mbit/s.
const LINK_ASSUMED: u32 = 1000;
/// Packets of a first train at full speed, 15 ms at 200 Mbit/s, 3 ms at 1 Gbit/s. How fast they arrive says what the way
/// carries before a report of loss could.
const TRAIN: u32 = TRAIN_PACKETS;
/// What is sent after the train until the first reports come, of the full speed.
const AFTER_TRAIN: f64 = 0.125;
/// Who has no report by then is not waited for.
const TRAIN_WAIT: Duration = Duration::from_millis(250);
/// A way that carries less than this of the link has something slower in it.
const TRAIN_FITS: f64 = 0.7;
/// The least: a packet every ten milliseconds keeps a probe alive.
pub const LEAST: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The first packets: at most so many until the first reports.
    Train {
        left: u32,
        since: Option<Duration>,
    },
    Growing,
    /// The rate before, the loss that made it fall and what of it was granted; the first packet at the new rate.
    Trying {
        before: f64,
        loss: f64,
        granted: f64,
        from: u64,
    },
}

/// What the reports of one round say of three quarters of the receivers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// Three quarters lose no more than this part.
    pub loss: f64,
    /// Three quarters have this room before the disk filled or less, in percent.
    pub queue_percent: u8,
    /// Symbols per second that arrived at three quarters or faster, where enough came to tell.
    pub arriving: Option<f64>,
    /// The round is about packets from this one on, for three quarters. Packets that wait in a switch come late, and so does
    /// word of those that it threw away.
    pub from: u64,
}

/// The rate of one channel.
#[derive(Debug, Clone)]
pub struct Rate {
    rate: f64,
    /// What three quarters of the links carry.
    link: f64,
    cap: Option<f64>,
    phase: Phase,
    /// Loss that comes at any rate.
    granted: f64,
    lossy_rounds: u32,
    tried_at: Option<Duration>,
    lost_at: Option<Duration>,
    grown_at: Duration,
    /// This machine's own line took no more in this round.
    full: bool,
    /// Packets sent, which is the sequence number of the next.
    sent: u64,
}

/// Symbols per second that a link of `mbit` carries, where each takes so many bytes.
pub fn of_link(mbit: u32, bytes: f64) -> f64 {
    f64::from(mbit) * 1e6 / 8.0 / bytes
}

impl Rate {
    /// `cap` is the administrator's, in symbols per second.
    pub fn new(cap: Option<f64>, now: Duration) -> Self {
        Self {
            rate: of_link(LINK_ASSUMED, WIRE_BYTES),
            link: of_link(LINK_ASSUMED, FRAME_BYTES),
            cap,
            phase: Phase::Train { left: TRAIN, since: None },
            granted: 0.0,
            lossy_rounds: 0,
            tried_at: None,
            lost_at: None,
            grown_at: now,
            full: false,
            sent: 0,
        }
    }

    /// Symbols per second, now.
    pub fn now(&self) -> f64 {
        let rate = match self.phase {
            Phase::Train { left: 0, .. } => self.rate * AFTER_TRAIN,
            _ => self.rate,
        };
        self.capped(rate)
    }

    /// What is taken for granted, as a part of the packets.
    pub fn granted(&self) -> f64 {
        self.granted
    }

    fn capped(&self, rate: f64) -> f64 {
        rate.min(self.cap.unwrap_or(f64::INFINITY)).max(LEAST)
    }

    pub fn set_cap(&mut self, cap: Option<f64>) {
        self.cap = cap;
    }

    /// Members came or went; three quarters of those that know their link have this one or a faster one.
    pub fn links_are(&mut self, mbit: Option<u32>) {
        let mbit = mbit.unwrap_or(LINK_ASSUMED);
        let before = std::mem::replace(&mut self.link, of_link(mbit, FRAME_BYTES));
        // Faster links than before are another network: what the old ones carried says nothing of it.
        if self.link > before && !self.begins() {
            self.phase = Phase::Train { left: TRAIN, since: None };
        }
        match self.phase {
            Phase::Train { .. } => self.rate = of_link(mbit, WIRE_BYTES),
            _ => self.rate = self.rate.min(self.link),
        }
    }

    /// A packet went out.
    pub fn sent(&mut self, now: Duration) {
        self.sent += 1;
        if let Phase::Train { left, since } = &mut self.phase {
            *left = left.saturating_sub(1);
            since.get_or_insert(now);
        }
    }

    /// The socket took no more: the machine's own line is the limit, so faster would be in vain.
    pub fn full(&mut self) {
        self.full = true;
    }

    /// Whether the first reports are still waited for. Rounds end earlier then.
    pub fn begins(&self) -> bool {
        matches!(self.phase, Phase::Train { .. })
    }

    /// Nobody reported in time: the links are believed.
    pub fn tick(&mut self, now: Duration) {
        if let Phase::Train { since: Some(since), .. } = self.phase
            && now.saturating_sub(since) >= TRAIN_WAIT
        {
            self.grow_from(self.rate, now);
        }
    }

    fn grow_from(&mut self, rate: f64, now: Duration) {
        self.rate = rate.clamp(LEAST, self.link.max(LEAST));
        self.phase = Phase::Growing;
        self.grown_at = now;
        self.lossy_rounds = 0;
    }

    /// A round of reports is in.
    pub fn round(&mut self, round: Round, now: Duration) {
        match self.phase {
            Phase::Train { .. } => match round.arriving {
                Some(arriving) if arriving < self.rate * TRAIN_FITS => self.grow_from(arriving, now),
                _ => self.grow_from(self.rate, now),
            },
            Phase::Growing => self.grow(round, now),
            Phase::Trying { from, .. } if round.from < from => {}
            Phase::Trying { before, loss, granted, .. } => {
                let stayed = round.loss - granted > (loss - granted) / 2.0 && round.loss < GRANTED_MOST;
                // What is left of it does not come from the rate.
                self.granted = round.loss.min(loss).min(GRANTED_MOST);
                if !stayed {
                    self.lost_at = Some(now);
                }
                self.grow_from(if stayed { before } else { self.rate }, now);
            }
        }
    }

    fn grow(&mut self, round: Round, now: Duration) {
        let passed = now.saturating_sub(self.grown_at).as_secs_f64();
        self.grown_at = now;
        let full = std::mem::take(&mut self.full);
        if round.queue_percent >= QUEUE_FULL {
            self.rate = (self.rate * BACK_OFF).max(LEAST);
            return;
        }
        // What came at any rate may cease; what is granted follows down by itself, and up only by a try.
        self.granted += (round.loss - self.granted).min(0.0) * GRANTED_FOLLOWS;
        let since = |moment: Option<Duration>| moment.map(|moment| now.saturating_sub(moment));
        let tried = since(self.tried_at);
        if round.loss <= self.granted + LOSS {
            self.lossy_rounds = 0;
            if round.queue_percent < QUEUE_DRAINS && !full {
                self.rate = (self.rate * (1.0 + GROWTH * passed)).min(self.link.max(LEAST));
            }
            if round.loss > LOSS && tried.is_some_and(|since| since >= DOUBT_AFTER) {
                self.begin_try(round.loss, 0.0, 1.0, now);
            }
            return;
        }
        self.lossy_rounds += 1;
        if self.lossy_rounds < LOSS_ROUNDS {
            return;
        }
        let again = since(self.lost_at).is_some_and(|since| since < AGAIN);
        if again || tried.is_none_or(|since| since >= TRY_AGAIN) {
            self.begin_try(round.loss, self.granted, if again { BACK_OFF } else { 1.0 }, now);
        }
    }

    /// Goes down to where a full line would lose no more than `granted`, and by `most` at least.
    fn begin_try(&mut self, loss: f64, granted: f64, most: f64, now: Duration) {
        let before = self.rate;
        self.lossy_rounds = 0;
        self.tried_at = Some(now);
        self.rate = (before * (1.0 - (loss - granted) - TRY_MARGIN).min(most)).max(LEAST);
        self.phase = Phase::Trying { before, loss, granted, from: self.sent };
    }
}

#[cfg(test)]
#[path = "rate/tests.rs"]
mod tests;
