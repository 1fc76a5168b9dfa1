//! Answers of foreign DHCP servers to the client.

use std::time::Duration;

use mimeo_client::network::dhcp::{Action, Machine};
use mimeo_core::ids::MacAddr;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "client_dhcp",
    whose: "whoever answers on the client's network, port 68",
    check,
    seeds,
    words: &[
        b"\x63\x82\x53\x63",
        b"\x35\x01\x02",
        b"\x35\x01\x05",
        b"\x35\x01\x06",
        b"\x36\x04\x0a\x00\x00\x01",
        b"\x01\x04\xff\xff\xff\x00",
        b"\x03\x04\x0a\x00\x00\x01",
        b"\x33\x04\xff\xff\xff\xff",
        b"\x34\x01\x03",
    ],
    input_bytes_max: 1500,
    memory_bytes_max: 8 << 20,
};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const TRANSACTION: u32 = 0x1234_5678;

/// The first byte is the time that passes; the rest is heard by a machine that looks for an address, then by what it
/// has become, an hour at a time until its lease is over.
fn check(input: &[u8]) {
    let Some((&seconds, packet)) = input.split_first() else { return };
    let mut machine = Machine::new(MAC, TRANSACTION);
    let mut now = Duration::ZERO;
    machine.on_time(now);
    for _ in 0..4 {
        now += Duration::from_secs(seconds.into());
        for action in [machine.on_packet(packet, now), machine.on_time(now)].into_iter().flatten() {
            match action {
                Action::Bound(lease) => {
                    assert!(!lease.address.is_unspecified() && lease.prefix_length <= 32);
                    assert!(lease.duration >= Duration::from_secs(60), "a lease that is renewed without end");
                    assert!(machine.deadline() > now, "a renewal that is due at once");
                }
                Action::Broadcast(bytes) | Action::Unicast(_, bytes) => {
                    assert!((240..=576).contains(&bytes.len()), "a request of {} bytes", bytes.len());
                }
                Action::Lost => {}
            }
        }
        now += Duration::from_secs(3600);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let answer = |kind: u8| {
        let mut packet = vec![0; 240];
        packet[..4].copy_from_slice(&[2, 1, 6, 0]);
        packet[4..8].copy_from_slice(&TRANSACTION.to_be_bytes());
        packet[16..24].copy_from_slice(&[10, 0, 0, 77, 10, 0, 0, 9]);
        packet[28..34].copy_from_slice(&MAC.0);
        packet[236..].copy_from_slice(b"\x63\x82\x53\x63");
        packet.extend_from_slice(&[53, 1, kind]);
        packet.extend_from_slice(b"\x36\x04\x0a\x00\x00\x09\x01\x04\xff\xff\xff\x00\x03\x04\x0a\x00\x00\x01");
        packet.extend_from_slice(b"\x33\x04\x00\x00\x0e\x10\xff");
        [&[3], packet.as_slice()].concat()
    };
    [2, 5, 6].map(answer).into()
}
