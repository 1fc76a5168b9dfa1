//! Scripts with explicit times for [`Transfer`], and pairs over a network that loses, doubles and reorders.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Action, End, Options, RETRIES_MAX, Reply, Terms, Transfer, wire_number};

const MS: Duration = Duration::from_millis(1);

fn content(length: usize) -> Bytes {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

/// A transfer on a clock that starts at zero, and its first action.
struct Script {
    start: Instant,
    transfer: Transfer,
}

impl Script {
    fn begin(length: usize, options: Options) -> (Self, Action) {
        let start = Instant::now();
        let (transfer, action) = Transfer::begin(content(length), Terms::agree(&options, None), start);
        (Self { start, transfer }, action)
    }

    fn ack(&mut self, at_ms: u32, number: u16) -> Action {
        self.transfer.on_reply(Reply::Ack(number), self.start + MS * at_ms)
    }

    fn time(&mut self, at_ms: u32) -> Action {
        self.transfer.on_time(self.start + MS * at_ms)
    }
}

fn windows(blocks: u16) -> Options {
    Options { block_bytes: Some(512), window_blocks: Some(blocks), ..Options::default() }
}

fn blocks(first: u64, last: u64) -> Action {
    Action::SendBlocks { first, last }
}

#[test]
fn without_options_the_first_answer_is_data_of_512_bytes() {
    let (mut script, first) = Script::begin(1000, Options::default());
    assert_eq!(first, blocks(1, 1));
    assert_eq!((script.transfer.block(1).len(), script.transfer.block(2).len()), (512, 488));
    assert_eq!(script.ack(1, 1), blocks(2, 2));
    assert_eq!(script.ack(2, 2), Action::End(End::Completed));
}

#[test]
fn a_multiple_of_the_block_size_ends_with_an_empty_block_and_so_does_an_empty_file() {
    let (mut script, _) = Script::begin(512, Options::default());
    assert_eq!(script.ack(1, 1), blocks(2, 2));
    assert_eq!(script.transfer.block(2), b"");
    assert_eq!(script.ack(2, 2), Action::End(End::Completed));

    let (mut script, first) = Script::begin(0, Options::default());
    assert_eq!((first, script.transfer.block(1)), (blocks(1, 1), &b""[..]));
    assert_eq!(script.ack(1, 1), Action::End(End::Completed));
}

#[test]
fn options_are_acknowledged_before_data() {
    let (mut script, first) = Script::begin(5000, windows(4));
    assert_eq!(first, Action::SendOptions);
    assert!(!script.transfer.is_confirmed());
    assert_eq!(script.ack(1, 7), Action::Wait, "no block was sent that this could acknowledge");
    assert_eq!(script.ack(2, 0), blocks(1, 4));
    assert!(script.transfer.is_confirmed());
    assert_eq!(script.ack(3, 4), blocks(5, 8));
}

#[test]
fn terms_stay_within_what_was_offered_and_what_the_path_carries() {
    let check = |asked: u16, mtu: Option<u16>, expect: u16| {
        let options = Options { block_bytes: Some(asked), ..Options::default() };
        assert_eq!(Terms::agree(&options, mtu).block_bytes, expect, "{asked} over {mtu:?}");
    };
    check(65464, None, 1468);
    check(65464, Some(1500), 1468);
    check(65464, Some(9000), 1468);
    check(1468, Some(1420), 1388);
    check(8, Some(1500), 8);
    // A nonsensical path is no reason for blocks below what every client must take.
    check(1468, Some(68), 512);
    let many = Terms::agree(&windows(65535), None);
    assert_eq!((many.window_blocks, many.answered.window_blocks), (64, Some(64)));
    assert_eq!(Terms::agree(&Options::default(), Some(9000)).block_bytes, 512);
}

#[test]
fn silence_is_answered_by_repetition_with_growing_waits_and_then_by_giving_up() {
    let (mut script, _) = Script::begin(5000, Options::default());
    for (before, due) in
        [(499, 500), (1499, 1500), (3499, 3500), (7499, 7500), (15499, 15500), (23499, 23500)]
    {
        assert_eq!(script.time(before), Action::Wait);
        assert_eq!(script.time(due), blocks(1, 1));
    }
    assert_eq!(script.time(31500), Action::End(End::Silent { acked_blocks: 0 }));
}

#[test]
fn progress_forgives_earlier_silence() {
    let (mut script, _) = Script::begin(5000, Options::default());
    assert_eq!(script.time(500), blocks(1, 1));
    assert_eq!(script.ack(600, 1), blocks(2, 2));
    assert_eq!(script.time(1099), Action::Wait);
    assert_eq!(script.time(1100), blocks(2, 2));
}

#[test]
fn a_time_out_that_the_client_chose_is_kept_without_growing() {
    let options = Options { timeout_seconds: Some(3), ..Options::default() };
    let (mut script, _) = Script::begin(5000, options);
    for second in [3, 6, 9, 12, 15, 18] {
        assert_eq!(script.time(second * 1000 - 1), Action::Wait);
        assert_eq!(script.time(second * 1000), Action::SendOptions);
    }
    assert_eq!(script.time(21_000), Action::End(End::Silent { acked_blocks: 0 }));

    let (mut script, _) = Script::begin(5000, Options { timeout_seconds: Some(255), ..Options::default() });
    assert_eq!(script.time(255_000), Action::SendOptions);
    assert_eq!(script.time(510_000), Action::End(End::Silent { acked_blocks: 0 }));
}

#[test]
fn in_lock_step_a_doubled_acknowledgement_doubles_nothing() {
    let (mut script, _) = Script::begin(5000, Options::default());
    assert_eq!(script.ack(1, 1), blocks(2, 2));
    assert_eq!(script.ack(2, 1), Action::Wait);
    assert_eq!(script.ack(400, 1), Action::Wait);
    assert_eq!(script.ack(401, 2), blocks(3, 3));
    assert_eq!(script.ack(402, 1), Action::Wait, "an acknowledgement from the past");
}

#[test]
fn a_window_is_sent_again_from_the_first_block_that_is_missing() {
    let (mut script, _) = Script::begin(50_000, windows(8));
    assert_eq!(script.ack(10, 0), blocks(1, 8));
    // Block 4 was lost: the client has 3, and the next window begins after it.
    assert_eq!(script.ack(20, 3), blocks(4, 11));
    // The rest of the old window makes the client say so again, at once: an echo.
    assert_eq!(script.ack(21, 3), Action::Wait);
    assert_eq!(script.ack(30, 11), blocks(12, 19));
    // Block 12 was lost: a round trip later the client repeats what it has.
    assert_eq!(script.ack(40, 11), blocks(12, 19));
    assert_eq!(script.ack(41, 11), Action::Wait);
    // Everything was lost: the time-out sends what is missing of the window.
    assert_eq!(script.ack(50, 15), blocks(16, 23));
    assert_eq!(script.time(550), blocks(16, 23));
}

#[test]
fn a_client_that_only_repeats_itself_has_a_window_twice_per_time_out_and_is_given_up() {
    let (mut script, _) = Script::begin(50_000, windows(8));
    assert_eq!(script.ack(10, 0), blocks(1, 8));
    let mut sent = 0;
    for at_ms in 11..200_000 {
        sent += u32::from(script.ack(at_ms, 0) == blocks(1, 8));
        match script.time(at_ms) {
            Action::Wait => {}
            Action::End(end) => {
                assert_eq!(end, End::Silent { acked_blocks: 0 });
                assert_eq!(sent, 2 * RETRIES_MAX + 1);
                return;
            }
            again => {
                assert_eq!(again, blocks(1, 8));
                sent += 1;
            }
        }
    }
    panic!("never given up");
}

#[test]
fn block_numbers_wrap_to_zero() {
    let length = 8 * 65_540;
    let options = Options { block_bytes: Some(8), window_blocks: Some(32), ..Options::default() };
    let (mut script, _) = Script::begin(length, options);
    let mut action = script.ack(1, 0);
    let mut sent = 0;
    let mut at_ms = 1;
    while let Action::SendBlocks { first, last } = action {
        assert_eq!(first, sent + 1);
        sent = last;
        at_ms += 1;
        action = script.ack(at_ms, wire_number(last));
    }
    assert_eq!((action, sent), (Action::End(End::Completed), 65_541));
}

#[test]
fn around_the_wrap_old_and_new_numbers_are_told_apart() {
    let options = Options { block_bytes: Some(8), window_blocks: Some(4), ..Options::default() };
    let (mut script, _) = Script::begin(8 * 70_000, options);
    let mut at_ms = 1;
    let mut last = 0;
    while last < 65_536 {
        match script.ack(at_ms, wire_number(last)) {
            Action::SendBlocks { last: next, .. } => last = next,
            other => panic!("{other:?} at block {last}"),
        }
        at_ms += 1;
    }
    // Blocks 65533 to 65536 are on their way: 65535 comes before 0.
    assert_eq!(script.ack(at_ms, 65_535), blocks(65_536, 65_539));
    assert_eq!(script.ack(at_ms, 65_534), Action::Wait);
    assert_eq!(script.ack(at_ms + 1, 0), blocks(65_537, 65_540));
    assert_eq!(script.ack(at_ms + 2, 1), blocks(65_538, 65_541));
}

#[test]
fn a_probe_for_the_size_ends_at_the_clients_error() {
    let (mut script, first) = Script::begin(70_000, Options { wants_size: true, ..Options::default() });
    assert_eq!(first, Action::SendOptions);
    let error = Reply::Error { code: 8, text: "User aborted the transfer".into() };
    let end = End::Aborted { code: 8, text: "User aborted the transfer".into() };
    assert_eq!(script.transfer.on_reply(error, script.start + MS), Action::End(end));
}

#[test]
fn an_error_in_the_middle_ends_the_transfer() {
    let (mut script, _) = Script::begin(50_000, windows(8));
    assert_eq!(script.ack(10, 0), blocks(1, 8));
    let error = Reply::Error { code: 3, text: "disk full".into() };
    let end = End::Aborted { code: 3, text: "disk full".into() };
    assert_eq!(script.transfer.on_reply(error, script.start + MS * 11), Action::End(end));
}

/// What is on its way in a simulated network, by the millisecond of its arrival.
#[derive(Debug)]
enum Packet {
    Options,
    Data { number: u16, content: Vec<u8> },
    Ack(u16),
}

/// A server and a client of RFC 7440 in one, with a network between them that loses, doubles and reorders.
struct Pair {
    start: Instant,
    now_ms: u64,
    transfer: Transfer,
    received: Vec<u8>,
    /// What the client has in sequence, and how many blocks of its window it has.
    have: u64,
    in_window: u16,
    finished: bool,
    network: BTreeMap<(u64, u64), Packet>,
    sequence: u64,
    random: u64,
    loss_percent: u64,
}

impl Pair {
    fn random(&mut self, below: u64) -> u64 {
        // A multiplicative generator is random enough to lose packets, and the same on every run.
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn put(&mut self, make: impl Fn() -> Packet) {
        let copies = match self.random(100) {
            roll if roll < self.loss_percent => 0,
            roll if roll >= 98 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let arrival = self.now_ms + 1 + self.random(3);
            self.sequence += 1;
            self.network.insert((arrival, self.sequence), make());
        }
    }

    /// Obeys the server's action; whether the server has ended.
    fn act(&mut self, action: Action) -> Option<End> {
        match action {
            Action::SendOptions => self.put(|| Packet::Options),
            Action::SendBlocks { first, last } => {
                for block in first..=last {
                    let content = self.transfer.block(block).to_vec();
                    self.put(|| Packet::Data { number: wire_number(block), content: content.clone() });
                }
            }
            Action::Wait => {}
            Action::End(end) => return Some(end),
        }
        None
    }

    fn client_receives(&mut self, number: u16, content: &[u8]) {
        if number != wire_number(self.have + 1) {
            // A gap, or an old block: say what there is.
            self.in_window = 0;
            let have = wire_number(self.have);
            self.put(|| Packet::Ack(have));
            return;
        }
        if self.finished {
            return;
        }
        self.have += 1;
        self.in_window += 1;
        self.received.extend_from_slice(content);
        self.finished = content.len() < usize::from(self.transfer.terms().block_bytes);
        if self.finished || self.in_window == self.transfer.terms().window_blocks {
            self.in_window = 0;
            let have = wire_number(self.have);
            self.put(|| Packet::Ack(have));
        }
    }

    fn run(&mut self, first: Action) -> End {
        let mut ended = self.act(first);
        while ended.is_none() {
            self.now_ms += 1;
            let now = self.start + Duration::from_millis(self.now_ms);
            while let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= self.now_ms) {
                let action = match entry.remove() {
                    Packet::Options => {
                        self.put(|| Packet::Ack(0));
                        continue;
                    }
                    Packet::Data { number, content } => {
                        self.client_receives(number, &content);
                        continue;
                    }
                    Packet::Ack(number) => self.transfer.on_reply(Reply::Ack(number), now),
                };
                ended = ended.or(self.act(action));
            }
            let action = self.transfer.on_time(now);
            ended = ended.or(self.act(action));
        }
        ended.expect("the loop ends with an end")
    }
}

proptest! {
    /// Whatever a bad network does, the client has every byte once it has the last block, and the server
    /// never believes in a completion that was none.
    #[test]
    fn a_bad_network_costs_time_but_no_byte(
        seed in any::<u64>(), length in 0usize..40_000, window in 1u16..20, loss_percent in 0u64..12,
    ) {
        let start = Instant::now();
        let file = content(length);
        let terms = Terms::agree(&windows(window), None);
        let (transfer, first) = Transfer::begin(file.clone(), terms, start);
        let mut pair = Pair {
            start, now_ms: 0, transfer, received: Vec::new(), have: 0, in_window: 0, finished: false,
            network: BTreeMap::new(), sequence: 0, random: seed, loss_percent,
        };
        let end = pair.run(first);
        prop_assert_eq!(end, End::Completed);
        prop_assert_eq!(&pair.received, &file[..]);
    }
}
