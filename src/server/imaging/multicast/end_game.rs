//! When few need little, unicast is sooner done: no further round of reports, no loss that the connection does not mend.

use mimeo_core::multicast::{
    block::{BlockNumber, BlockShape, SYMBOL_BYTES, SourceCount},
    report::{BlockRun, Member},
};

use super::roster::Roster;

/// How many receivers may be left: each gets its blocks for itself.
const FEW: usize = 2;
/// How many symbols may be left to send, over all receivers: 16 full blocks, 6 MiB.
const LITTLE: u64 = 16 * BlockShape::FILL_BYTES as u64 / SYMBOL_BYTES as u64;
/// What a round of multicast takes beside its symbols: silence that is noticed, a report, its answer. In seconds.
const ROUND: f64 = 0.03;
/// What a request takes, in seconds.
const REQUEST: f64 = 0.01;

/// What each receiver shall fetch, where that is sooner done than going on. `lacks` says how many symbols of a block a
/// receiver lacks, `loss` what part of the packets is lost, `rate` are symbols per second.
pub fn decide(
    roster: &Roster,
    sources: impl Fn(BlockNumber) -> Option<SourceCount>,
    loss: f64,
    rate: f64,
) -> Vec<(Member, Vec<BlockRun>)> {
    let needy: Vec<_> = roster.members().filter(|(_, receiver)| receiver.needs.count() > 0).collect();
    if needy.is_empty() || needy.len() > FEW {
        return Vec::new();
    }
    let whole = |block: BlockNumber| u64::from(sources(block).map_or(0, SourceCount::get));
    let (mut by_unicast, mut most) = (0_u64, 0_u64);
    for (_, receiver) in &needy {
        let mine: u64 = receiver.needs.iter().take(LITTLE as usize).map(whole).sum();
        by_unicast += mine;
        most =
            most.max(receiver.needs.iter().filter(|block| !receiver.open.contains(block)).map(whole).sum());
        if by_unicast > LITTLE {
            return Vec::new();
        }
    }
    // Who is left after a round has lost a symbol of it again, as often as not.
    let rounds = if loss > 0.0 { 2.0 } else { 1.0 };
    let by_multicast = most as f64 / rate + ROUND * rounds;
    if by_unicast as f64 / rate + REQUEST > by_multicast {
        return Vec::new();
    }
    needy.into_iter().map(|(member, receiver)| (member, runs(receiver.needs.iter()))).collect()
}

/// Blocks in ascending order as runs.
pub fn runs(blocks: impl Iterator<Item = BlockNumber>) -> Vec<BlockRun> {
    let mut runs: Vec<BlockRun> = Vec::new();
    for block in blocks {
        match runs.last_mut().filter(|run| run.end() == block.0) {
            Some(run) => run.count += 1,
            None => runs.push(BlockRun { first: block, count: 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mimeo_core::ids::SessionId;

    use super::*;

    /// What each receiver needs, and what each shall fetch.
    type Case<'a> = (&'a [&'a [u32]], Vec<Vec<BlockRun>>);

    /// Receivers that need these blocks each, of 100 symbols.
    fn fetched(needs: &[&[u32]], loss: f64, rate: f64) -> Vec<Vec<BlockRun>> {
        let mut roster = Roster::new(Duration::ZERO);
        for (index, blocks) in needs.iter().enumerate() {
            let member = roster.add(SessionId(index as i64), None, 1000, 0, Duration::ZERO);
            let receiver = roster.get_mut(member).unwrap();
            (0..1000).filter(|block| !blocks.contains(block)).for_each(|block| {
                receiver.needs.remove(BlockNumber(block));
            });
        }
        let sources = |_| Some(SourceCount::new(100).unwrap());
        decide(&roster, sources, loss, rate).into_iter().map(|(_, runs)| runs).collect()
    }

    fn run(first: u32, count: u32) -> BlockRun {
        BlockRun { first: BlockNumber(first), count }
    }

    #[test]
    fn few_who_need_little_fetch_it() {
        let many: Vec<u32> = (0..100).collect();
        let cases: [Case; 5] = [
            (&[&[3, 4, 9], &[]], vec![vec![run(3, 2), run(9, 1)]]),
            (&[&[3], &[3]], vec![vec![run(3, 1)], vec![run(3, 1)]]),
            (&[&[3], &[3], &[3]], vec![]),
            (&[&many], vec![]),
            (&[&[], &[]], vec![]),
        ];
        for (needs, expected) in cases {
            assert_eq!(fetched(needs, 0.01, 80_000.0), expected, "{needs:?}");
        }
    }

    #[test]
    fn what_two_need_alike_goes_by_multicast_where_the_line_is_slow() {
        assert!(fetched(&[&[3], &[3]], 0.0, 1000.0).is_empty());
    }
}
