use super::*;

const B: BlockNumber = BlockNumber(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run(first: u32, count: u32) -> mimeo_core::multicast::report::BlockRun {
    mimeo_core::multicast::report::BlockRun { first: BlockNumber(first), count }
}

fn sources(symbols: u16) -> SourceCount {
    SourceCount::new(symbols).unwrap()
}

/// A receiver that has joined, of a table of one block of 2 symbols and three blocks of 4, and has the table.
fn receiver() -> Receiver {
    let mut receiver = Receiver::new(BlockTotals::new(4, 1).unwrap(), 10_000, ms(0));
    receiver.handle(Event::Joined { member: Member(5), sequence: 0 }, ms(0));
    assert_eq!(symbols(&mut receiver, 0, 0, 0..2, ms(0)), [Action::Restore(BlockNumber(0))]);
    let actions = receiver.handle(Event::Written(BlockNumber(0)), ms(0));
    assert_eq!(actions, [Action::Forget(BlockNumber(0))]);
    receiver
}

/// Symbols of a block, with sequence numbers from `sequence` on. What is done beside reporting.
fn symbols(
    receiver: &mut Receiver,
    block: u32,
    sequence: u64,
    symbols: std::ops::Range<u16>,
    now: Duration,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (sequence, symbol) in (sequence..).zip(symbols) {
        let sources = sources(if block == 0 { 2 } else { 4 });
        let event =
            Event::Symbol { sequence, block: BlockNumber(block), symbol: SymbolNumber(symbol), sources };
        actions.extend(receiver.handle(event, now));
    }
    actions.retain(|action| !matches!(action, Action::Report(_)));
    actions
}

fn report(actions: &[Action]) -> Option<&Report> {
    actions.iter().find_map(|action| if let Action::Report(report) = action { Some(report) } else { None })
}

fn answer(standing: Standing) -> Answer {
    Answer { heard: 0, sequence: 0, standing, fetch: Vec::new() }
}

#[test]
fn a_block_is_restored_from_any_of_its_symbols_and_reported_once_it_is_complete() {
    let mut receiver = receiver();
    assert_eq!(symbols(&mut receiver, 1, 2, 1..4, ms(1)), []);
    assert_eq!(symbols(&mut receiver, 1, 5, 9..10, ms(1)), [Action::Restore(B)]);
    let actions = receiver.handle(Event::Tick, ms(200));
    let report = report(&actions).unwrap();
    assert_eq!(report.has(), [run(0, 2)]);
    assert_eq!((report.counters.reach, report.counters.received, report.counters.written), (6, 6, 1));
}

#[test]
fn what_is_missing_is_said_as_soon_as_the_line_is_silent_and_not_again_and_again() {
    let mut receiver = receiver();
    symbols(&mut receiver, 1, 2, 0..3, ms(30));
    receiver.handle(Event::Tick, ms(31));
    symbols(&mut receiver, 2, 5, 0..1, ms(35));
    assert_eq!(report(&receiver.handle(Event::Tick, ms(44))), None);
    let actions = receiver.handle(Event::Tick, ms(55));
    let lacks: Vec<_> =
        report(&actions).unwrap().lacks().iter().map(|lack| (lack.block.0, lack.missing)).collect();
    assert_eq!(lacks, [(1, 1), (2, 3)]);
    assert!((56..255).all(|at| report(&receiver.handle(Event::Tick, ms(at))).is_none()));
    assert!(report(&receiver.handle(Event::Tick, ms(255))).is_some());
}

#[test]
fn a_block_that_proves_wrong_twice_is_fetched_and_told() {
    let mut receiver = receiver();
    symbols(&mut receiver, 1, 2, 0..4, ms(1));
    assert_eq!(receiver.handle(Event::Wrong(B), ms(2)), [Action::Forget(B)]);
    assert_eq!(receiver.progress().state(B), Some(State::Wanted));
    symbols(&mut receiver, 1, 6, 0..4, ms(3));
    let actions = receiver.handle(Event::Wrong(B), ms(4));
    assert_eq!(actions, [Action::Forget(B), Action::Incident(B), Action::Fetch(B)]);
    receiver.handle(Event::Fetched(B), ms(5));
    assert_eq!(receiver.progress().written(), 2);
}

#[test]
fn who_is_demoted_leaves_and_fetches_the_rest() {
    let mut receiver = receiver();
    symbols(&mut receiver, 2, 2, 0..2, ms(1));
    let actions = receiver.handle(Event::Answer(answer(Standing::Unicast(Demotion::Link))), ms(2));
    let fetches = [1, 2, 3].map(|block| Action::Fetch(BlockNumber(block)));
    assert_eq!(actions[0], Action::LeaveGroup(Cause::Demoted(Demotion::Link)));
    assert!(
        fetches.iter().all(|fetch| actions.contains(fetch))
            && actions.contains(&Action::Forget(BlockNumber(2)))
    );
    assert!(!receiver.listens());
    (1..4).for_each(|block| {
        receiver.handle(Event::Fetched(BlockNumber(block)), ms(3));
    });
    assert_eq!(receiver.handle(Event::Answer(answer(Standing::Done)), ms(4)), [Action::Done]);
}

#[test]
fn who_hears_nothing_within_a_second_while_the_sender_sends_takes_unicast() {
    let mut receiver = Receiver::new(BlockTotals::new(4, 1).unwrap(), 10_000, ms(0));
    receiver.handle(Event::Joined { member: Member(5), sequence: 100 }, ms(0));
    receiver.handle(Event::Answer(Answer { sequence: 400, ..answer(Standing::Member) }), ms(500));
    assert!(receiver.handle(Event::Tick, ms(999)).iter().all(|action| matches!(action, Action::Report(_))));
    let actions = receiver.handle(Event::Tick, ms(1000));
    assert!(actions.contains(&Action::LeaveGroup(Cause::Unheard(Unheard::Nothing))), "{actions:?}");
    let unheard = report(&receiver.handle(Event::Tick, ms(2000))).unwrap().counters.unheard;
    assert_eq!(unheard, Some(Unheard::Nothing));
}

#[test]
fn what_the_end_game_gives_away_is_fetched_and_the_rest_still_heard() {
    let mut receiver = receiver();
    let given = Answer { fetch: vec![run(0, 2), run(3, 9)], ..answer(Standing::Member) };
    let actions = receiver.handle(Event::Answer(given), ms(1));
    assert_eq!(actions, [Action::Fetch(B), Action::Fetch(BlockNumber(3))]);
    assert_eq!(symbols(&mut receiver, 2, 2, 0..4, ms(2)), [Action::Restore(BlockNumber(2))]);
}

#[test]
fn the_disk_is_compared_ahead_of_the_sweep_and_what_it_holds_is_not_needed() {
    let all = 700;
    let mut receiver = Receiver::new(BlockTotals::new(all, 1).unwrap(), 10_000, ms(0));
    receiver.handle(Event::Joined { member: Member(0), sequence: 0 }, ms(0));
    let hashes = |actions: Vec<Action>| -> Vec<u32> {
        let hash = |action: &Action| if let Action::Hash(block) = action { Some(block.0) } else { None };
        actions.iter().filter_map(hash).collect()
    };
    assert_eq!(hashes(receiver.handle(Event::Compare, ms(0))), (300..308).collect::<Vec<u32>>());
    assert_eq!(hashes(receiver.handle(Event::Has(BlockNumber(300)), ms(1))), [308]);
    let (block, symbol) = (BlockNumber(390), SymbolNumber(0));
    let symbol = Event::Symbol { sequence: 0, block, symbol, sources: sources(4) };
    receiver.handle(symbol, ms(2));
    assert_eq!(hashes(receiver.handle(Event::HasNot(BlockNumber(301)), ms(3))), [690], "ahead of the sweep");
    assert_eq!(receiver.progress().state(BlockNumber(300)), Some(State::Written));
    let actions = receiver.handle(Event::Tick, ms(300));
    assert!(report(&actions).unwrap().has().contains(&run(300, 1)));
}

#[test]
fn a_sender_that_knows_nobody_is_joined_again_and_told_everything() {
    let mut receiver = receiver();
    assert_eq!(receiver.handle(Event::Answer(answer(Standing::Unknown)), ms(1)), [Action::Rejoin]);
    receiver.handle(Event::Joined { member: Member(9), sequence: 0 }, ms(2));
    let actions = receiver.handle(Event::Tick, ms(202));
    let report = report(&actions).unwrap();
    assert_eq!(
        (report.counters.member, report.counters.number, report.has()),
        (Member(9), 1, &[run(0, 1)][..])
    );
}

#[test]
fn reports_stay_within_what_a_receiver_may_spend() {
    let mut receiver = Receiver::new(BlockTotals::new(5000, 1).unwrap(), 200_000, ms(0));
    receiver.handle(Event::Joined { member: Member(0), sequence: 0 }, ms(0));
    let (mut bytes, mut sequence) = (0, 0);
    for at in 0..10_000_u64 {
        // Every second millisecond a block of which one symbol comes, and a silence every fifty.
        if at % 2 == 0 && at % 100 < 50 {
            symbols(&mut receiver, (at % 5000) as u32, sequence, 0..1 + (at % 4 == 0) as u16, ms(at));
            sequence += 2;
        }
        let actions = receiver.handle(Event::Tick, ms(at));
        bytes += report(&actions).map_or(0, |report| report.emit().len() + FRAME_BYTES);
    }
    assert!(bytes > 5000 && bytes <= 11 * BYTES_PER_SECOND_MOST, "{bytes}");
}
