//! What a receiver says of itself several times a second: how far it heard, what it lacks, what it has no need of any more.
//!
//! A hundred receivers speak at once, so a report is small ([`REPORT_BYTES_MOST`]) and receivers keep within
//! [`BYTES_PER_SECOND_MOST`]. Any report may be lost, late or doubled: counters run from the beginning, what changed in the
//! need bitmap is said again until the sender has heard it, and a report older than the last one heard is worth nothing.
//!
//! ```text
//! member number reach received arriving queue·2+whole dropped written unheard     numbers, LEB128
//! n × { block − the one before it − 1, missing − 1 }                              what it lacks
//! n × { first − end of the one before, count − 1 }                                what it has now
//! n × { first − end of the one before, count − 1 }                                what it wants again
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    block::{BlockNumber, SourceCount},
    packet::Sequence,
};

/// How often a receiver reports, whatever happens.
pub const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The longest report. Five of these a second, each with [`FRAME_BYTES`] around it, are 2 kB.
pub const REPORT_BYTES_MOST: usize = 340;
/// What the connection adds to a report: the record of TLS, the frame inside it, headers of TCP and IP in part.
pub const FRAME_BYTES: usize = 60;
/// What a receiver spends on its reports at most, frames included: a hundred receivers take 200 kB/s from the server's line.
pub const BYTES_PER_SECOND_MOST: usize = 2000;

/// A speed is told of at most so many packets in a row, which is the train with which a sender begins.
pub const TRAIN_PACKETS: u32 = 256;

/// Room for the numbers before the lists and for the lists' lengths, each at its largest.
const HEAD_BYTES: usize = 54;
/// Room for the three lists.
const LIST_BYTES: usize = REPORT_BYTES_MOST - HEAD_BYTES;
/// What of it the lacking blocks may take, so that the bitmap's changes get through also where much is lost.
const LACK_BYTES: usize = LIST_BYTES * 2 / 3;
/// A reach is the number after a packet's, so it may be the first that no packet has.
const SEQUENCE_END: u64 = Sequence::END + 1;

/// A receiver's number in its channel. Who joins again gets another one, so that a report of its earlier life is known as
/// such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Member(pub u32);

/// Blocks in a row: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRun {
    pub first: BlockNumber,
    pub count: u32,
}

impl BlockRun {
    pub fn blocks(self) -> impl Iterator<Item = BlockNumber> {
        (self.first.0..self.end()).map(BlockNumber)
    }

    /// The number after the last block's.
    pub fn end(self) -> u32 {
        self.first.0.saturating_add(self.count)
    }
}

/// A block of which a receiver has symbols, and how many more it needs: 1 to [`SourceCount::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    pub block: BlockNumber,
    pub missing: u16,
}

/// Why a receiver takes everything by unicast on its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unheard {
    /// Its only way is a wireless one, over which multicast is slow and unacknowledged (RFC 9119).
    Wireless,
    /// No packet came: a switch that snoops IGMP where nobody queries, another VLAN, a filter.
    Nothing,
    /// Packets came to the channel's group and port, and none of them was the sender's.
    Foreign,
    /// Packets came and then no more, while the sender went on: a switch forgot the membership.
    Ceased,
}

const UNHEARD: [Option<Unheard>; 5] =
    [None, Some(Unheard::Wireless), Some(Unheard::Nothing), Some(Unheard::Foreign), Some(Unheard::Ceased)];

/// The numbers of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub member: Member,
    /// Counts this member's reports, from 1.
    pub number: u32,
    /// The sequence number after the highest that arrived some milliseconds ago; what is sent from there on may still be
    /// under way. 0 where nothing arrived.
    pub reach: u64,
    /// How many packets below `reach` arrived since the member joined.
    pub received: u64,
    /// Symbols per second in which they arrived lately; 0 where too few came to tell.
    pub arriving: u32,
    /// How full the room is that waits for the disk, in percent.
    pub queue_percent: u8,
    /// Blocks that were begun and given up for want of room.
    pub dropped: u32,
    /// Blocks that are on the disk.
    pub written: u32,
    /// `Some` where the member hears no multicast and fetches everything.
    pub unheard: Option<Unheard>,
}

/// One report. Its lists are in ascending order and fit into [`REPORT_BYTES_MOST`]: whatever does not, waits for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub counters: Counters,
    /// Whether `lacks` names every block that is begun and not complete.
    whole: bool,
    lacks: Vec<Lack>,
    has: Vec<BlockRun>,
    wants: Vec<BlockRun>,
    /// What the lists take in bytes.
    list_bytes: usize,
}

impl Report {
    pub fn new(counters: Counters) -> Self {
        Self { counters, whole: true, lacks: Vec::new(), has: Vec::new(), wants: Vec::new(), list_bytes: 0 }
    }

    pub fn whole(&self) -> bool {
        self.whole
    }

    pub fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// What this receiver has no need of any more.
    pub fn has(&self) -> &[BlockRun] {
        &self.has
    }

    /// What it said to have, and needs again.
    pub fn wants(&self) -> &[BlockRun] {
        &self.wants
    }

    /// Adds a block that comes after those named before. False, and the report no longer whole, where it has no room or
    /// its numbers are none.
    pub fn add_lack(&mut self, lack: Lack) -> bool {
        let gap =
            lack.block.0.checked_sub(self.lacks.last().map_or(0, |last| last.block.0.saturating_add(1)));
        let fits = gap.is_some_and(|gap| {
            let bytes =
                varint_bytes(u64::from(gap)) + varint_bytes(u64::from(lack.missing.saturating_sub(1)));
            let counts = (1..=SourceCount::MOST).contains(&lack.missing);
            counts
                && self.lacks.last().is_none_or(|last| last.block < lack.block)
                && self.take(bytes, LACK_BYTES)
        });
        match fits {
            true => self.lacks.push(lack),
            false => self.whole = false,
        }
        fits
    }

    /// Adds a run that comes after those before and does not touch them. False where it has no room or is none.
    pub fn add_has(&mut self, run: BlockRun) -> bool {
        let fits = run_bytes(&self.has, run).is_some_and(|bytes| self.take(bytes, LIST_BYTES));
        if fits {
            self.has.push(run);
        }
        fits
    }

    /// As [`Report::add_has`], for what is wanted again.
    pub fn add_wants(&mut self, run: BlockRun) -> bool {
        let fits = run_bytes(&self.wants, run).is_some_and(|bytes| self.take(bytes, LIST_BYTES));
        if fits {
            self.wants.push(run);
        }
        fits
    }

    fn take(&mut self, bytes: usize, limit: usize) -> bool {
        let fits = self.list_bytes + bytes <= limit;
        if fits {
            self.list_bytes += bytes;
        }
        fits
    }

    /// The bytes on the wire, at most [`REPORT_BYTES_MOST`].
    pub fn emit(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.list_bytes);
        let c = &self.counters;
        let unheard = UNHEARD.iter().position(|known| *known == c.unheard).unwrap_or(0);
        let queue = u64::from(c.queue_percent) * 2 + u64::from(self.whole);
        let (member, number) = (u64::from(c.member.0), u64::from(c.number));
        let (dropped, written) = (u64::from(c.dropped), u64::from(c.written));
        let head = [
            member,
            number,
            c.reach,
            c.received,
            u64::from(c.arriving),
            queue,
            dropped,
            written,
            unheard as u64,
        ];
        head.into_iter().for_each(|value| put(&mut bytes, value));
        put(&mut bytes, self.lacks.len() as u64);
        let mut after = 0;
        for lack in &self.lacks {
            put(&mut bytes, u64::from(lack.block.0.saturating_sub(after)));
            put(&mut bytes, u64::from(lack.missing.saturating_sub(1)));
            after = lack.block.0.saturating_add(1);
        }
        for runs in [&self.has, &self.wants] {
            put(&mut bytes, runs.len() as u64);
            let mut after = 0;
            for run in runs {
                put(&mut bytes, u64::from(run.first.0.saturating_sub(after)));
                put(&mut bytes, u64::from(run.count.saturating_sub(1)));
                after = run.end();
            }
        }
        bytes
    }

    /// Reads a report. Whatever is accepted comes out of [`Report::emit`] as it went in.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > REPORT_BYTES_MOST {
            return Err(ReportError::TooLong { bytes: bytes.len() });
        }
        let mut reader = Reader { bytes, at: 0 };
        let (counters, whole) = reader.counters()?;
        let mut report = Self::new(counters);
        let mut after = 0;
        for _ in 0..reader.below("lacking blocks", LIST_BYTES as u64)? {
            let block = reader.step("lacking block", after)?;
            let missing = reader.below("missing symbols", u64::from(SourceCount::MOST))? as u16 + 1;
            if !report.add_lack(Lack { block: BlockNumber(block), missing }) {
                return Err(ReportError::TooMuch { list: "lacking blocks" });
            }
            after = block.saturating_add(1);
        }
        for _ in 0..reader.below("blocks it has", LIST_BYTES as u64)? {
            let run = reader.run(&report.has)?;
            if !report.add_has(run) {
                return Err(ReportError::TooMuch { list: "blocks it has" });
            }
        }
        for _ in 0..reader.below("blocks it wants", LIST_BYTES as u64)? {
            let run = reader.run(&report.wants)?;
            if !report.add_wants(run) {
                return Err(ReportError::TooMuch { list: "blocks it wants" });
            }
        }
        report.whole = whole;
        match reader.at == bytes.len() {
            true => Ok(report),
            false => Err(ReportError::Behind { at: reader.at, bytes: bytes.len() }),
        }
    }
}

/// What a run takes behind those of its list. Runs that touch would be one.
fn run_bytes(runs: &[BlockRun], run: BlockRun) -> Option<usize> {
    let last = runs.last();
    let gap = run.first.0.checked_sub(last.map_or(0, |last| last.end()))?;
    let ends = run.count > 0 && run.first.0.checked_add(run.count).is_some();
    let apart = last.is_none() || gap > 0;
    (ends && apart).then(|| varint_bytes(u64::from(gap)) + varint_bytes(u64::from(run.count - 1)))
}

fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn counters(&mut self) -> Result<(Counters, bool), ReportError> {
        let member = Member(self.word("member")?);
        let number = self.word("number of the report")?;
        let reach = self.below("sequence number", SEQUENCE_END)?;
        let received = self.below("packets received", reach + 1)?;
        let arriving = self.word("symbols per second")?;
        let queue = self.below("fill of the queue", 2 * 101)?;
        let dropped = self.word("blocks dropped")?;
        let written = self.word("blocks written")?;
        let unheard = UNHEARD[self.below("reason for unicast", UNHEARD.len() as u64)? as usize];
        let queue_percent = (queue / 2) as u8;
        let counters =
            Counters { member, number, reach, received, arriving, queue_percent, dropped, written, unheard };
        Ok((counters, queue % 2 == 1))
    }

    fn run(&mut self, runs: &[BlockRun]) -> Result<BlockRun, ReportError> {
        let first = self.step("first block of a run", runs.last().map_or(0, |last| last.end()))?;
        let count = self.below("blocks of a run", u64::from(u32::MAX))? as u32 + 1;
        Ok(BlockRun { first: BlockNumber(first), count })
    }

    /// A block number, told as its distance from `after`.
    fn step(&mut self, what: &'static str, after: u32) -> Result<u32, ReportError> {
        let distance = self.word(what)?;
        after.checked_add(distance).ok_or(ReportError::OutOfRange { what, at: self.at })
    }

    fn word(&mut self, what: &'static str) -> Result<u32, ReportError> {
        Ok(self.below(what, 1 << 32)? as u32)
    }

    fn below(&mut self, what: &'static str, end: u64) -> Result<u64, ReportError> {
        let begin = self.at;
        let mut value = 0_u64;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(ReportError::Short { what, at: begin })?;
            let shift = 7 * (self.at - begin) as u32;
            self.at += 1;
            // Numbers of nine bytes hold every limit; a last byte of zero would be another spelling of a shorter one.
            if shift >= 63 || (byte == 0 && shift > 0) {
                return Err(ReportError::OutOfRange { what, at: begin });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if value < end { Ok(value) } else { Err(ReportError::OutOfRange { what, at: begin }) }
    }
}

/// Bytes that are no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("a report of {bytes} bytes, where {REPORT_BYTES_MOST} are the most")]
    TooLong { bytes: usize },
    #[error("the report ends in its {what}, which begins at byte {at}")]
    Short { what: &'static str, at: usize },
    #[error("the report's {what} at byte {at} is out of range")]
    OutOfRange { what: &'static str, at: usize },
    #[error("the report's {list} are out of order or too many")]
    TooMuch { list: &'static str },
    #[error("the report ends at byte {at} of {bytes}")]
    Behind { at: usize, bytes: usize },
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
