//! A receiver's line: how fast it is, what it loses, what it delays. Times are microseconds.

use mimeo_core::multicast::packet::PACKET_BYTES;

use super::chance::Chance;

/// A packet on the line, with the headers of UDP, IP and Ethernet: what a shaper counts.
pub(super) const FRAME_BYTES: f64 = (PACKET_BYTES + 42) as f64;

/// What a line does to packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) mbit: f64,
    /// Packets that the line's queue holds; those that find it full are lost.
    pub(super) queue: f64,
    /// Part of the packets that is lost by itself.
    pub(super) loss: f64,
    /// Part that is lost in bursts, and how many packets a burst takes.
    pub(super) burst: (f64, u32),
    /// Part that is delivered twice, and that is held up by `late_us` and so overtaken.
    pub(super) doubled: f64,
    pub(super) overtaken: f64,
    pub(super) late_us: u64,
    /// Every packet is up to this much later.
    pub(super) jitter_us: u64,
}

impl Line {
    pub(super) const fn of(mbit: f64) -> Self {
        Self {
            mbit,
            queue: 256.0,
            loss: 0.0,
            burst: (0.0, 1),
            doubled: 0.0,
            overtaken: 0.0,
            late_us: 0,
            jitter_us: 0,
        }
    }

    pub(super) const fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// How long a symbol occupies the line.
    pub(super) fn symbol_us(&self) -> f64 {
        FRAME_BYTES * 8.0 / self.mbit
    }
}

/// The way through switches that a packet takes anyway.
const WAY_US: f64 = 200.0;

/// A line in use.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) line: Line,
    free_at: f64,
    in_burst: u32,
    chance: Chance,
}

impl Lane {
    pub(super) fn new(line: Line, seed: u64) -> Self {
        Self { line, free_at: 0.0, in_burst: 0, chance: Chance::new(seed) }
    }

    /// When a packet that is sent at `at` arrives: never, once, or twice.
    pub(super) fn carry(&mut self, at: f64) -> [Option<u64>; 2] {
        let line = self.line;
        if (self.free_at - at) / line.symbol_us() > line.queue {
            return [None; 2];
        }
        self.free_at = self.free_at.max(at) + line.symbol_us();
        if self.in_burst > 0 {
            self.in_burst -= 1;
            return [None; 2];
        }
        if self.chance.happens(line.burst.0 / f64::from(line.burst.1)) {
            self.in_burst = line.burst.1 - 1;
            return [None; 2];
        }
        if self.chance.happens(line.loss) {
            return [None; 2];
        }
        let mut arrives = (self.free_at + WAY_US) as u64;
        if line.jitter_us > 0 {
            arrives += self.chance.between(0, line.jitter_us);
        }
        if self.chance.happens(line.overtaken) {
            arrives += line.late_us;
        }
        let again = self.chance.happens(line.doubled).then_some(arrives + 300);
        [Some(arrives), again]
    }

    /// When so many symbols that are asked for by unicast at `at` are here.
    pub(super) fn fetch(&mut self, symbols: u16, at: f64) -> u64 {
        let asked = at + 2.0 * WAY_US;
        self.free_at = self.free_at.max(asked) + f64::from(symbols) * self.line.symbol_us();
        (self.free_at + WAY_US) as u64
    }
}
