//! Answers of foreign DHCP servers to the client, and what its network says by ARP to the address that they gave.

use std::{net::Ipv4Addr, time::Duration};

use mimeo_client::network::dhcp::{Action, Lease, Machine};
use mimeo_core::{ids::MacAddr, wire::arp::ArpPacket};

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
        b"\x79\x0c\x18\x0a\x01\x02\x0a\x00\x00\x01\x00\x0a\x00\x00\x01",
        b"\x00\x01\x08\x00\x06\x04\x00\x02",
    ],
    input_bytes_max: 1500,
    memory_bytes_max: 8 << 20,
};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const TRANSACTION: u32 = 0x1234_5678;

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// How far the machine has come when it hears the input: nowhere, it was offered an address, it was granted one and asks
/// whether somebody has it, it has it.
const STATES: u8 = 4;

/// The first byte is the state, the second the time that passes between two packets; the rest is heard again and again,
/// as DHCP and as ARP, by the machine and by what it has become.
fn check(input: &[u8]) {
    let Some((&[state, seconds], packet)) = input.split_first_chunk() else { return };
    let mut now = Duration::ZERO;
    let mut machine = machine_in(state % STATES);
    for _ in 0..6 {
        now += Duration::from_secs(seconds.into());
        let actions = [
            machine.on_packet(packet, now),
            ArpPacket::parse(packet).and_then(|heard| machine.on_arp(heard, now)),
            machine.on_time(now),
        ];
        for action in actions.into_iter().flatten() {
            judge(&action, &machine, now);
            if let Action::Bound(lease) = action {
                now += lease.duration / 2;
            }
        }
    }
}

fn machine_in(state: u8) -> Machine {
    let now = Duration::ZERO;
    let mut machine = Machine::new(MAC, TRANSACTION);
    machine.on_time(now);
    if state > 0 {
        machine.on_packet(&answer(OFFER, &[]), now);
    }
    if state > 1 {
        machine.on_packet(&answer(ACK, &[]), now);
        assert!(machine.is_probing(), "an address is used without a question");
    }
    while state > 2 && machine.is_probing() {
        machine.on_time(machine.deadline());
    }
    machine
}

fn judge(action: &Action, machine: &Machine, now: Duration) {
    match action {
        Action::Bound(lease) => {
            judge_lease(lease);
            assert!(machine.deadline() > now, "a renewal that is due at once");
        }
        Action::Broadcast(bytes) | Action::Unicast(_, bytes) => {
            assert!((240..=576).contains(&bytes.len()), "a request of {} bytes", bytes.len());
        }
        Action::Probe(packet) => {
            assert!(machine.is_probing() && packet.sender == MAC && packet.sender_address.is_unspecified());
            assert!(
                machine.deadline() <= now + Duration::from_secs(1),
                "a question that keeps a boot waiting"
            );
        }
        Action::Lost => {}
    }
}

fn judge_lease(lease: &Lease) {
    assert!(!lease.address.is_unspecified() && lease.prefix_length <= 32);
    assert!(lease.duration >= Duration::from_secs(10), "a lease that is renewed without end");
    // The shortest route in a message of Ethernet's length.
    assert!(lease.routes.len() <= 1500 / 5, "{} routes", lease.routes.len());
    for route in &lease.routes {
        let outside = u32::MAX.checked_shr(route.prefix_length.into()).unwrap_or(0);
        assert!(route.prefix_length <= 32 && u32::from(route.destination) & outside == 0, "{route:?}");
        assert!(route.gateway != Some(Ipv4Addr::UNSPECIFIED), "{route:?}");
    }
}

/// An answer with these options behind the usual ones.
fn answer(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 240];
    packet[..4].copy_from_slice(&[2, 1, 6, 0]);
    packet[4..8].copy_from_slice(&TRANSACTION.to_be_bytes());
    packet[16..24].copy_from_slice(&[10, 0, 0, 77, 10, 0, 0, 9]);
    packet[28..34].copy_from_slice(&MAC.0);
    packet[236..].copy_from_slice(b"\x63\x82\x53\x63");
    packet.extend_from_slice(&[53, 1, kind]);
    packet.extend_from_slice(b"\x36\x04\x0a\x00\x00\x09\x01\x04\xff\xff\xff\x00\x03\x04\x0a\x00\x00\x01");
    packet.extend_from_slice(b"\x33\x04\x00\x00\x0e\x10");
    packet.extend_from_slice(options);
    packet.push(255);
    packet
}

fn seeds() -> Vec<Vec<u8>> {
    // A default route, one to 10.17.0.0/16, one on the link.
    let routes = [121, 21, 0, 10, 0, 0, 1, 16, 10, 17, 10, 0, 0, 2, 32, 10, 0, 9, 1, 0, 0, 0, 0];
    let mut overloaded = answer(ACK, &[52, 1, 3]);
    overloaded[108..113].copy_from_slice(&[26, 2, 5, 0, 255]);
    overloaded[44..47].copy_from_slice(&[12, 0, 255]);
    let other = MacAddr([0x52, 0x54, 0, 0x65, 0x43, 0x21]);
    let holder = ArpPacket {
        sender: other,
        sender_address: Ipv4Addr::new(10, 0, 0, 77),
        target_address: Ipv4Addr::UNSPECIFIED,
    };
    let seeds = [
        (0, answer(OFFER, &[])),
        (1, answer(ACK, &routes)),
        (1, overloaded),
        (1, answer(NAK, &[])),
        (2, holder.emit_request()),
        (3, answer(ACK, &[])),
        (3, answer(NAK, &[])),
    ];
    seeds.into_iter().map(|(state, packet)| [&[state, 3], packet.as_slice()].concat()).collect()
}
