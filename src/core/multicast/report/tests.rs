use proptest::{collection::vec, prelude::*};

use super::*;

fn counters() -> Counters {
    Counters {
        member: Member(7),
        number: 3,
        reach: 1000,
        received: 990,
        arriving: 83_000,
        queue_percent: 40,
        dropped: 1,
        written: 12,
        unheard: None,
    }
}

fn run(first: u32, count: u32) -> BlockRun {
    BlockRun { first: BlockNumber(first), count }
}

#[test]
fn a_report_comes_back_as_it_went() {
    let mut report = Report::new(counters());
    assert!(report.add_lack(Lack { block: BlockNumber(0), missing: 1 }));
    assert!(report.add_lack(Lack { block: BlockNumber(1), missing: SourceCount::MOST }));
    assert!(report.add_lack(Lack { block: BlockNumber(u32::MAX), missing: 5 }));
    assert!(report.add_has(run(0, 1)));
    assert!(report.add_has(run(2, 300)));
    assert!(report.add_wants(run(u32::MAX - 1, 1)));
    assert_eq!(Report::parse(&report.emit()), Ok(report));
}

#[test]
fn what_is_out_of_order_is_not_taken() {
    let mut report = Report::new(counters());
    assert!(report.add_lack(Lack { block: BlockNumber(5), missing: 1 }));
    assert!(report.whole());
    for (block, missing) in [(5, 1), (4, 1), (6, 0), (6, SourceCount::MOST + 1)] {
        assert!(!report.add_lack(Lack { block: BlockNumber(block), missing }), "{block} {missing}");
    }
    assert!(!report.whole());
    assert!(report.add_has(run(5, 2)));
    for wrong in [run(7, 1), run(6, 1), run(9, 0), run(u32::MAX, 2)] {
        assert!(!report.add_has(wrong), "{wrong:?}");
    }
}

#[test]
fn the_largest_numbers_and_as_many_blocks_as_there_is_room_for_stay_within_the_limit() {
    let largest = Counters {
        member: Member(u32::MAX),
        number: u32::MAX,
        reach: SEQUENCE_END - 1,
        received: SEQUENCE_END - 1,
        arriving: u32::MAX,
        queue_percent: 100,
        dropped: u32::MAX,
        written: u32::MAX,
        unheard: Some(Unheard::Ceased),
    };
    let mut report = Report::new(largest);
    let lacks =
        (0..1000).take_while(|n| report.add_lack(Lack { block: BlockNumber(n * 2), missing: 20 })).count();
    let has = (0..1000).take_while(|n| report.add_has(run(n * 3, 2))).count();
    assert!(lacks >= 90 && has >= 40, "{lacks} {has}");
    assert!(!report.whole());
    let bytes = report.emit();
    assert!(bytes.len() <= REPORT_BYTES_MOST, "{}", bytes.len());
    assert_eq!(Report::parse(&bytes), Ok(report));
}

#[test]
fn five_full_reports_a_second_are_what_a_receiver_may_spend() {
    let a_second = Duration::from_secs(1).as_millis() / REPORT_EVERY.as_millis();
    assert_eq!(a_second as usize * (REPORT_BYTES_MOST + FRAME_BYTES), BYTES_PER_SECOND_MOST);
}

#[test]
fn another_spelling_is_refused() {
    let bytes = Report::new(counters()).emit();
    let mut longer = vec![bytes[0] | 0x80, 0];
    longer.extend_from_slice(&bytes[1..]);
    assert_eq!(Report::parse(&longer), Err(ReportError::OutOfRange { what: "member", at: 0 }));
    let mut behind = bytes.clone();
    behind.push(0);
    assert_eq!(Report::parse(&behind), Err(ReportError::Behind { at: bytes.len(), bytes: bytes.len() + 1 }));
    assert_eq!(Report::parse(&[0; REPORT_BYTES_MOST + 1]), Err(ReportError::TooLong { bytes: 341 }));
}

proptest! {
    #[test]
    fn no_bytes_are_read_as_another_report(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(report) = Report::parse(&bytes) {
            prop_assert_eq!(report.emit(), bytes);
        }
    }

    #[test]
    fn a_cut_report_is_refused(cut in 0usize..20, lacks in vec(1u16..=277, 0..40)) {
        let mut report = Report::new(counters());
        for (block, missing) in (0..).step_by(3).zip(lacks) {
            report.add_lack(Lack { block: BlockNumber(block), missing });
        }
        let bytes = report.emit();
        let end = bytes.len().saturating_sub(cut + 1);
        prop_assert!(Report::parse(&bytes[..end]).is_err());
    }
}
