//! What sender and receivers say to each other over the sessions' own connections, beside the reports.
//!
//! ```text
//! receiver                                   sender
//!   Join                            ──▶
//!                                   ◀──      Joined: the channel's parameters
//!   Report (`super::report`)        ──▶      every 200 ms, and early where the line falls silent
//!                                   ◀──      Answer: how the receiver stands
//! ```
//!
//! An answer is how things stand, not a command that is given once: one that is lost is made good by the next.

use std::{net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    cipher::{Cipher, GroupSecret},
    packet::{ChannelNumber, Epoch},
    report::{BlockRun, Member},
    table::TableHead,
};

/// A receiver of which nothing is heard for so long is dead: 25 reports. Whoever waits for it waits no longer.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Within this after joining a receiver knows whether multicast reaches it.
pub const PROBE_TIME: Duration = Duration::from_secs(1);

/// Of so many packets, sent one after the other since it joined, a receiver that multicast reaches hears one.
pub const PROBE_PACKETS: u64 = 50;

/// Most runs of blocks in an [`Answer`]: what is left in an end game is little.
pub const FETCH_RUNS_MOST: usize = 64;

/// A receiver wants to take part, from now on, with everything still to be got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// What the network adapter says of its link, in Mbit/s.
    pub link_mbit: Option<u32>,
    /// Its only way is a wireless one.
    pub wireless: bool,
}

/// What a receiver must know to listen to a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    pub member: Member,
    pub channel: ChannelNumber,
    pub group: Ipv4Addr,
    pub port: u16,
    /// Of what the table is told: where its blocks end, and how many there are in all.
    pub table: TableHead,
    /// The sequence number of the next packet; whoever has heard nothing although the sender went on is deaf.
    pub sequence: u64,
    pub cipher: Cipher,
    pub key: EpochKey,
}

/// How many blocks a channel has, and how many at its beginning hold the table of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct BlockTotals {
    all: u32,
    table: u32,
}

impl BlockTotals {
    /// Blocks of one channel: 768 GiB of packed chunks, for which a need bitmap takes 256 KiB.
    pub const MOST: u32 = 2 << 20;

    pub fn new(all: u32, table: u32) -> Result<Self, BadTotals> {
        let counts = (1..=Self::MOST).contains(&all) && (1..=all).contains(&table);
        if counts { Ok(Self { all, table }) } else { Err(BadTotals { all, table }) }
    }

    pub fn all(self) -> u32 {
        self.all
    }

    pub fn table(self) -> u32 {
        self.table
    }
}

impl TryFrom<(u32, u32)> for BlockTotals {
    type Error = BadTotals;

    fn try_from((all, table): (u32, u32)) -> Result<Self, BadTotals> {
        Self::new(all, table)
    }
}

impl From<BlockTotals> for (u32, u32) {
    fn from(totals: BlockTotals) -> (u32, u32) {
        (totals.all, totals.table)
    }
}

/// Numbers of blocks that no channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {} blocks with 1 of the table or more, found {all} with {table}", BlockTotals::MOST)]
pub struct BadTotals {
    pub all: u32,
    pub table: u32,
}

/// With what the packets of one epoch are opened. The epoch changes when somebody leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKey {
    pub epoch: Epoch,
    pub secret: GroupSecret,
}

/// How a receiver stands with its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Member,
    /// It leaves the group and fetches the rest.
    Unicast(Demotion),
    /// It joins this slower channel of the same master, and brings along what it has.
    Slower {
        channel: ChannelNumber,
    },
    /// The sender does not know it (it restarted, or gave the receiver up): join again.
    Unknown,
    /// It has everything and said so.
    Done,
}

/// Why a receiver does not take part any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demotion {
    /// Its link is slower than what three quarters of the others take.
    Link,
    /// It loses what three quarters of the others receive.
    Loss,
    /// Its disk does not keep up with those of three quarters of the others.
    Disk,
    /// Multicast does not reach it, as it says itself.
    Unheard,
}

/// The sender's answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The newest report that was heard.
    pub heard: u32,
    /// The sequence number of the next packet.
    pub sequence: u64,
    pub standing: Standing,
    /// What this receiver shall fetch by unicast, although it remains a member.
    pub fetch: Vec<BlockRun>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::block::BlockNumber;

    #[test]
    fn an_answer_comes_back_as_it_went() {
        let answer = Answer {
            heard: 4,
            sequence: 1 << 40,
            standing: Standing::Unicast(Demotion::Disk),
            fetch: vec![BlockRun { first: BlockNumber(9), count: 2 }],
        };
        let bytes = postcard::to_stdvec(&answer).unwrap();
        assert_eq!(postcard::from_bytes::<Answer>(&bytes).unwrap(), answer);
    }

    #[test]
    fn a_channel_has_blocks_and_a_table_among_them() {
        for (all, table) in [(0, 0), (1, 0), (1, 2), (BlockTotals::MOST + 1, 1)] {
            assert_eq!(BlockTotals::new(all, table), Err(BadTotals { all, table }));
            let bytes = postcard::to_stdvec(&(all, table)).unwrap();
            assert!(postcard::from_bytes::<BlockTotals>(&bytes).is_err());
        }
        let bytes = postcard::to_stdvec(&(9_u32, 2_u32)).unwrap();
        assert_eq!(postcard::from_bytes::<BlockTotals>(&bytes), Ok(BlockTotals::new(9, 2).unwrap()));
    }
}
