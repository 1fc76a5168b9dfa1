//! Reports of a multicast channel's receivers.

use mimeo_core::multicast::{
    block::{BlockNumber, SourceCount},
    report::{BlockRun, Counters, Lack, Member, REPORT_BYTES_MOST, Report, Unheard},
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "multicast_report",
    whose: "a client that takes part in a multicast channel",
    check,
    seeds,
    words: &[b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x20", b"\0\0\0"],
    input_bytes_max: REPORT_BYTES_MOST + 16,
    // Three lists of a few hundred entries.
    memory_bytes_max: 64 << 10,
};

/// What is accepted comes out as it went in, in order and within its limits.
fn check(input: &[u8]) {
    let Ok(report) = Report::parse(input) else { return };
    assert_eq!(report.emit(), input);
    assert!(report.counters.received <= report.counters.reach && report.counters.queue_percent <= 100);
    assert!(report.lacks().windows(2).all(|pair| pair[0].block < pair[1].block));
    assert!(report.lacks().iter().all(|lack| (1..=SourceCount::MOST).contains(&lack.missing)));
    for runs in [report.has(), report.wants()] {
        assert!(runs.iter().all(|run| run.count > 0));
        assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].first.0));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let counters = |unheard| Counters {
        member: Member(3),
        number: 17,
        reach: 1_000_000,
        received: 990_000,
        arriving: 82_000,
        queue_percent: 12,
        dropped: 1,
        written: 3600,
        unheard,
    };
    let mut busy = Report::new(counters(None));
    (3600..3660).for_each(|block| {
        busy.add_lack(Lack { block: BlockNumber(block), missing: 1 + (block % 20) as u16 });
    });
    busy.add_has(BlockRun { first: BlockNumber(3500), count: 90 });
    busy.add_has(BlockRun { first: BlockNumber(3592), count: 1 });
    busy.add_wants(BlockRun { first: BlockNumber(7), count: 1 });
    vec![
        busy.emit(),
        Report::new(counters(None)).emit(),
        Report::new(counters(Some(Unheard::Nothing))).emit(),
    ]
}
