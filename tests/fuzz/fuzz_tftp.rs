//! Fuzz target for TFTP: any bytes as a request, and any bytes as what the client says after it.
//!
//! [`fuzz_tftp`] is what a fuzzer calls; the test below calls it with mutated packets for a moment.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mimeo_server::boot::tftp::{
    packet::{parse_reply, parse_request},
    transfer::{Action, Terms, Transfer, WINDOW_BLOCKS_MAX},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Rounds of the test: about a second in a build for tests.
const ROUNDS: u32 = 200_000;

/// Longest input; a request may have 512 bytes.
const INPUT_BYTES_MAX: usize = 700;

/// Reads up to the first 0xff as a request, and what follows as the client's side of the transfer: a byte of time and
/// four of a packet, again and again. Panics where a transfer does what it must not.
pub(crate) fn fuzz_tftp(input: &[u8]) {
    let cut = input.iter().position(|byte| *byte == 0xff).unwrap_or(input.len());
    let (request, mut script) = (&input[..cut], &input[cut..]);
    let Ok(request) = parse_request(request) else { return };
    let file = Bytes::from(vec![7; 3000]);
    let mut now = Instant::now();
    let (mut transfer, mut action) =
        Transfer::begin(file.clone(), Terms::agree(&request.options, Some(1500)), now);
    let mut furthest = 0;
    while let Some((step, rest)) = script.split_first_chunk::<5>() {
        script = rest;
        match action {
            Action::SendBlocks { first, last } => {
                assert!(first <= last && last - first < u64::from(WINDOW_BLOCKS_MAX), "{first} to {last}");
                assert!(first <= furthest + 1, "block {first} after {furthest}: a gap");
                furthest = furthest.max(last);
                let content: usize = (first..=last).map(|block| transfer.block(block).len()).sum();
                assert!(content <= file.len());
            }
            Action::End(_) => return,
            Action::SendOptions | Action::Wait => {}
        }
        now += Duration::from_millis(u64::from(step[0]) * 20);
        action = match parse_reply(&step[1..]) {
            Some(reply) => transfer.on_reply(reply, now),
            None => transfer.on_time(now),
        };
    }
}

/// Changes a good input in the ways in which networks and attackers do.
fn mutate(input: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(0..6) {
        if input.is_empty() {
            return;
        }
        let place = random.random_range(0..input.len());
        match random.random_range(0..5) {
            0 => input[place] = random.random(),
            1 => input.truncate(place),
            2 => input.insert(place, random.random()),
            3 => drop(input.drain(place..(place + random.random_range(0..8)).min(input.len()))),
            _ => {
                let copied = input[place..(place + random.random_range(0..20)).min(input.len())].to_vec();
                input.splice(place..place, copied);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

#[test]
fn mutated_tftp_packets_break_nothing() {
    let mut random = StdRng::seed_from_u64(69);
    let seeds: [&[u8]; 4] = [
        b"\0\x01boot/undionly.kpxe\0octet\0",
        b"\0\x01shimx64.efi\0octet\0tsize\x000\0blksize\x001468\0",
        b"\0\x01grub/grub.cfg\0octet\0blksize\x001024\0tsize\x000\0timeout\x003\0windowsize\x008\0",
        b"\0\x02x\0mail\0",
    ];
    for _ in 0..ROUNDS {
        let mut input = seeds[random.random_range(0..seeds.len())].to_vec();
        mutate(&mut input, &mut random);
        input.push(0xff);
        for step in 0..random.random_range(0..30u8) {
            // Acknowledgements that are mostly plausible, errors, and garbage.
            let opcode = if random.random_bool(0.9) { 4 } else { random.random_range(0..7) };
            let number = if random.random_bool(0.7) { step / 2 } else { random.random() };
            input.extend_from_slice(&[random.random(), 0, opcode, 0, number]);
        }
        fuzz_tftp(&input);
    }
}
