//! One file on its way to one client: what to send, and when to send it again. Pure; the clock is an argument.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::packet::{BLOCK_BYTES_DEFAULT, DATA_HEADER_BYTES, Options, Reply};

/// Most bytes of content in a packet: what Ethernet carries in one piece (1500 less 20 IP, 8 UDP and 4 TFTP).
/// Larger blocks would travel as IP fragments, which many PXE stacks cannot put together.
pub const BLOCK_BYTES_MAX: u16 = 1468;

/// Bytes of IPv4, UDP and TFTP headers around each block.
const HEADER_BYTES: u16 = 20 + 8 + DATA_HEADER_BYTES as u16;

/// Most blocks on their way at once: 94 KB. From 16 to 64 throughput still gained a third on a fast network
/// (193 against 266 MB/s between atftpd and atftp); more than this overruns the buffers of cheap switches and
/// of PXE stacks, and it is what one send with UDP segmentation carries.
pub const WINDOW_BLOCKS_MAX: u16 = 64;

/// How long an answer is awaited at first, and what the doubling of it stops at. Firmware answers within
/// milliseconds; the wait is for a lost packet, and several seconds make room for a congested switch.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(8);

/// How often one window is sent again before the client counts as gone: half a minute with the waits above.
const RETRIES_MAX: u32 = 6;

/// How much silence is borne where the client chose the time-out: it gets at least one repetition.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What server and client agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The options to acknowledge: nothing that the client did not offer.
    pub answered: Options,
    pub block_bytes: u16,
    pub window_blocks: u16,
}

/// The life of one transfer (RFC 1350 section 2, RFC 7440 section 4):
///
/// ```text
///            options? ──no──────────────┐
///               │ yes                   ▼
///  SendOptions ─┴─▶ AwaitingOptionsAck ─Ack(0)─▶ Sending ─Ack(last)─▶ ended: Completed
///                        │  ▲                    │  ▲  │
///                        └──┘ time-out           └──┘  └─ Error, or silence ─▶ ended
///                                        Ack: next window from the block after it
///                                        time-out: the same window again
/// ```
///
/// Blocks have absolute numbers here, from 1; on the wire they are 16 bits wide and wrap to 0.
#[derive(Debug)]
pub struct Transfer {
    file: Bytes,
    terms: Terms,
    state: State,
    /// When the last packet left, and until when its answer is awaited.
    sent_at: Instant,
    deadline: Instant,
    wait: Duration,
    retries: u32,
    /// Whether a repeated acknowledgement has already had this window sent again.
    hurried: bool,
    /// The shortest time from sending to an answer so far.
    round_trip: Option<Duration>,
    /// How many answers have moved the window.
    answers: u64,
}

#[derive(Debug)]
enum State {
    AwaitingOptionsAck,
    /// All up to `acked` has arrived, all up to `sent` has left.
    Sending {
        acked: u64,
        sent: u64,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    SendOptions,
    /// Send the blocks from `first` to `last`.
    SendBlocks {
        first: u64,
        last: u64,
    },
    Wait,
    End(End),
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Completed,
    /// The client said that it wants no more: for UEFI firmware, which only asks for the size, the usual end.
    Aborted {
        code: u16,
        text: String,
    },
    /// Nothing was heard for too long.
    Silent {
        acked_blocks: u64,
    },
}

impl Terms {
    /// What of the client's offers is taken. `path_mtu` is what the route to it carries: behind a tunnel it is
    /// less than Ethernet's.
    pub fn agree(asked: &Options, path_mtu: Option<u16>) -> Self {
        let path = path_mtu.map_or(BLOCK_BYTES_MAX, |mtu| mtu.saturating_sub(HEADER_BYTES));
        // Without a word from the client blocks have 512 bytes, whatever the path carries.
        let largest = path.clamp(BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX);
        let answered = Options {
            block_bytes: asked.block_bytes.map(|bytes| bytes.min(largest)),
            window_blocks: asked.window_blocks.map(|blocks| blocks.min(WINDOW_BLOCKS_MAX)),
            ..*asked
        };
        Self {
            answered,
            block_bytes: answered.block_bytes.unwrap_or(BLOCK_BYTES_DEFAULT),
            window_blocks: answered.window_blocks.unwrap_or(1),
        }
    }
}

impl Transfer {
    /// Begins a transfer; the action is what answers the request.
    pub fn begin(file: Bytes, terms: Terms, now: Instant) -> (Self, Action) {
        let wait = terms.answered.timeout().unwrap_or(RETRY_FIRST);
        let mut transfer = Self {
            file,
            state: State::AwaitingOptionsAck,
            sent_at: now,
            deadline: now + wait,
            wait,
            retries: 0,
            hurried: false,
            round_trip: None,
            answers: 0,
            terms,
        };
        let action =
            if transfer.terms.answered.any() { Action::SendOptions } else { transfer.advance(0, now) };
        (transfer, action)
    }

    /// What a word of the client leads to.
    pub fn on_reply(&mut self, reply: Reply, now: Instant) -> Action {
        let number = match reply {
            Reply::Error { code, text } => return Action::End(End::Aborted { code, text }),
            Reply::Ack(number) => number,
        };
        match self.state {
            State::AwaitingOptionsAck if number == 0 => {
                self.measure(now);
                self.advance(0, now)
            }
            State::AwaitingOptionsAck => Action::Wait,
            State::Sending { acked, sent } => {
                // At most WINDOW_BLOCKS_MAX blocks are outstanding, so 16 bits are enough to tell which is meant.
                let ahead = u64::from(number.wrapping_sub(wire_number(acked)));
                match ahead {
                    0 => self.on_duplicate(now),
                    _ if ahead <= sent - acked => {
                        self.measure(now);
                        self.answers += 1;
                        self.advance(acked + ahead, now)
                    }
                    // An answer to a window long gone.
                    _ => Action::Wait,
                }
            }
        }
    }

    /// What the passing of time leads to; `Wait` before the deadline.
    pub fn on_time(&mut self, now: Instant) -> Action {
        if now < self.deadline {
            return Action::Wait;
        }
        if self.retries >= self.retries_max() {
            return Action::End(End::Silent { acked_blocks: self.acked() });
        }
        if self.terms.answered.timeout_seconds.is_none() {
            self.wait = (self.wait * 2).min(RETRY_LONGEST);
        }
        self.retries += 1;
        self.hurried = false;
        self.repeat(now)
    }

    /// Until when nothing needs to be done unless the client says something.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the client has answered: before that, the request may have been forged.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.state, State::Sending { acked, .. } if acked > 0 || self.round_trip.is_some())
    }

    /// How many answers have brought the transfer on.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub fn file_bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// The content of a block; the last one is shorter than the others, maybe empty.
    pub fn block(&self, number: u64) -> &[u8] {
        let block_bytes = usize::from(self.terms.block_bytes);
        let blocks_before = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = blocks_before.saturating_mul(block_bytes).min(self.file.len());
        let end = start.saturating_add(block_bytes).min(self.file.len());
        &self.file[start..end]
    }

    /// How many blocks the file has. A block that is not full ends it, so a multiple of the block size needs an
    /// empty one more.
    fn blocks(&self) -> u64 {
        self.file_bytes() / u64::from(self.terms.block_bytes) + 1
    }

    /// All up to `acked` has arrived: the window moves on.
    fn advance(&mut self, acked: u64, now: Instant) -> Action {
        if acked == self.blocks() {
            return Action::End(End::Completed);
        }
        let last = (acked + u64::from(self.terms.window_blocks)).min(self.blocks());
        self.state = State::Sending { acked, sent: last };
        self.retries = 0;
        self.hurried = false;
        self.wait = self.terms.answered.timeout().unwrap_or(RETRY_FIRST);
        self.sent_at = now;
        self.deadline = now + self.wait;
        Action::SendBlocks { first: acked + 1, last }
    }

    /// The last acknowledgement once more. In lock-step it must not lead to anything, or every packet that the
    /// network doubles is doubled to the end (the Sorcerer's Apprentice, RFC 1123 section 4.2.3.1). In a
    /// window it may mean that the first block was lost (RFC 7440 section 4), but only if it comes later than an
    /// answer to this window can: what is sooner is an echo of the answer before. Once is enough: a client that
    /// misses one block may say so for each that follows.
    fn on_duplicate(&mut self, now: Instant) -> Action {
        let soonest = self.sent_at + self.round_trip.unwrap_or(self.wait) / 2;
        if self.terms.window_blocks == 1 || self.hurried || now < soonest {
            return Action::Wait;
        }
        self.hurried = true;
        self.repeat(now)
    }

    /// Sends again what waits for an answer.
    fn repeat(&mut self, now: Instant) -> Action {
        self.sent_at = now;
        self.deadline = now + self.wait;
        match self.state {
            State::AwaitingOptionsAck => Action::SendOptions,
            State::Sending { acked, sent } => Action::SendBlocks { first: acked + 1, last: sent },
        }
    }

    fn acked(&self) -> u64 {
        match self.state {
            State::AwaitingOptionsAck => 0,
            State::Sending { acked, .. } => acked,
        }
    }

    fn retries_max(&self) -> u32 {
        match self.terms.answered.timeout_seconds {
            Some(seconds) => (SILENCE_MAX.as_secs() as u32 / u32::from(seconds)).clamp(1, RETRIES_MAX),
            None => RETRIES_MAX,
        }
    }

    /// Learns the round trip from an answer. Not from one to a repetition: nobody knows which it answers.
    fn measure(&mut self, now: Instant) {
        if (self.retries == 0 && !self.hurried) || self.round_trip.is_none() {
            let taken = now.saturating_duration_since(self.sent_at);
            self.round_trip = Some(self.round_trip.map_or(taken, |shortest| shortest.min(taken)));
        }
    }
}

/// A block's number as packets carry it: 16 bits, 0 after 65535.
pub fn wire_number(block: u64) -> u16 {
    (block & 0xffff) as u16
}

#[cfg(test)]
#[path = "transfer/tests.rs"]
mod tests;
