//! Fuzz target for DHCP: any bytes as a datagram, through parsing, every mode's decisions and the replies.
//!
//! [`fuzz_dhcp`] is what a fuzzer calls; the test below calls it with spoilt datagrams of real firmware for a moment.

use mimeo_server::boot::dhcp::fuzz;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Rounds of the test: some seconds in a build for tests.
const ROUNDS: u32 = 50_000;

const SEEDS: [&[u8]; 4] = [
    include_bytes!("../fixtures/dhcp/ipxe-bios-discover.bin"),
    include_bytes!("../fixtures/dhcp/ipxe-bios-request.bin"),
    include_bytes!("../fixtures/dhcp/ovmf-pxe-discover.bin"),
    include_bytes!("../fixtures/dhcp/ovmf-http-discover.bin"),
];

/// Panics where a datagram makes the service panic, or gets an answer that no client may ever get.
pub(crate) fn fuzz_dhcp(bytes: &[u8]) {
    fuzz(bytes);
}

/// A real datagram, somewhere spoilt. Half of the changes hit the options, where the parsing is.
pub(crate) fn spoilt(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = SEEDS[random.random_range(0..SEEDS.len())].to_vec();
    for _ in 0..random.random_range(0..16) {
        let from = if random.random() { 236 } else { 0 };
        let at = random.random_range(from..bytes.len());
        bytes[at] = random.random();
    }
    match random.random_range(0..8) {
        0 => bytes.truncate(random.random_range(0..bytes.len())),
        1 => bytes.resize(random.random_range(bytes.len()..1400), random.random()),
        _ => {}
    }
    bytes
}

#[test]
fn spoilt_datagrams_are_answered_or_refused_in_every_mode() {
    let mut random = StdRng::seed_from_u64(0x6d69_6d65);
    for _ in 0..ROUNDS {
        fuzz_dhcp(&spoilt(&mut random));
    }
}
