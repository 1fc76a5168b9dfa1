use std::{net::Ipv4Addr, time::Duration};

use dhcproto::{
    Decodable, Decoder, Encodable,
    v4::{DhcpOption, Message, MessageType, Opcode, OptionCode},
};
use mimeo_core::{ids::MacAddr, wire::arp::ArpPacket};
use proptest::prelude::{any, prop, proptest};

use super::{Action, Conflict, Lease, Machine, Route};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 3]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn reply(kind: MessageType, address: Ipv4Addr, lease_seconds: u32) -> Message {
    let mut message = Message::default();
    message.set_opcode(Opcode::BootReply).set_xid(7).set_chaddr(&MAC.0).set_yiaddr(address);
    for option in [
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 0, 0)),
        DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 0, 254)]),
        DhcpOption::AddressLeaseTime(lease_seconds),
    ] {
        message.opts_mut().insert(option);
    }
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("encodes")
}

fn kind_of(packet: &[u8]) -> MessageType {
    Message::decode(&mut Decoder::new(packet)).expect("our own packet").opts().msg_type().expect("has a type")
}

fn broadcast(action: Option<Action>) -> (MessageType, Vec<u8>) {
    match action {
        Some(Action::Broadcast(packet)) => (kind_of(&packet), packet),
        other => panic!("expected a broadcast, got {other:?}"),
    }
}

fn lease() -> Lease {
    Lease {
        address: ADDRESS,
        prefix_length: 16,
        routes: vec![Route {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix_length: 0,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 254)),
        }],
        mtu: None,
        server: SERVER,
        duration: seconds(3600),
    }
}

#[test]
fn discover_offer_request_ack() {
    let mut machine = Machine::new(MAC, 7);
    let (kind, discover) = broadcast(machine.on_time(seconds(0)));
    assert_eq!(kind, MessageType::Discover);
    let discover = Message::decode(&mut Decoder::new(&discover)).expect("decodes");
    assert!(discover.flags().broadcast(), "a card without an address hears broadcasts only");
    assert!(discover.opts().get(OptionCode::ClassIdentifier).is_none(), "this is no PXE client");

    let (kind, request) =
        broadcast(machine.on_packet(&bytes(&reply(MessageType::Offer, ADDRESS, 3600)), seconds(1)));
    assert_eq!(kind, MessageType::Request);
    let request = Message::decode(&mut Decoder::new(&request)).expect("decodes");
    assert_eq!(
        request.opts().get(OptionCode::RequestedIpAddress),
        Some(&DhcpOption::RequestedIpAddress(ADDRESS))
    );
    assert_eq!(request.opts().get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(SERVER)));

    let probe = machine.on_packet(&bytes(&reply(MessageType::Ack, ADDRESS, 3600)), seconds(2));
    assert_eq!(probe, Some(Action::Probe(ArpPacket::probe(MAC, ADDRESS))));
    let (bound, at) = wait(&mut machine);
    assert_eq!(bound, [Action::Probe(ArpPacket::probe(MAC, ADDRESS)), Action::Bound(lease())]);
    assert_eq!(at, Duration::from_millis(2400), "what the question costs a boot");
    assert_eq!(machine.deadline(), at + seconds(1800));
}

/// What the machine does on its own, at its deadlines, until its lease holds, and when that is.
fn wait(machine: &mut Machine) -> (Vec<Action>, Duration) {
    let mut actions = Vec::new();
    for _ in 0..10 {
        let now = machine.deadline();
        actions.extend(machine.on_time(now));
        if let Some(Action::Bound(_)) = actions.last() {
            return (actions, now);
        }
    }
    panic!("no lease: {actions:?}");
}

/// A machine that was granted [`ADDRESS`] and asks whether anybody has it, at 2 s.
fn probing() -> Machine {
    let mut machine = Machine::new(MAC, 7);
    machine.on_time(seconds(0));
    machine.on_packet(&bytes(&reply(MessageType::Offer, ADDRESS, 3600)), seconds(1));
    machine.on_packet(&bytes(&reply(MessageType::Ack, ADDRESS, 3600)), seconds(2));
    assert!(machine.is_probing());
    machine
}

const OTHER: MacAddr = MacAddr([0x52, 0x54, 0, 9, 9, 9]);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 51);

#[test]
fn an_address_that_somebody_has_or_wants_is_declined_and_another_one_asked_for() {
    let speaks = ArpPacket { sender: OTHER, sender_address: ADDRESS, target_address: ELSEWHERE };
    for heard in [speaks, ArpPacket::probe(OTHER, ADDRESS)] {
        let mut machine = probing();
        let (kind, decline) = broadcast(machine.on_arp(heard, seconds(2)));
        assert_eq!(kind, MessageType::Decline);
        // RFC 2131 section 4.4.4 and table 5.
        let decline = Message::decode(&mut Decoder::new(&decline)).expect("decodes");
        assert!(decline.ciaddr().is_unspecified());
        let codes: Vec<_> = decline.opts().iter().map(|(code, _)| *code).collect();
        assert_eq!(
            codes,
            [OptionCode::RequestedIpAddress, OptionCode::MessageType, OptionCode::ServerIdentifier]
        );
        assert_eq!(machine.conflict(), Some(Conflict { address: ADDRESS, holder: OTHER }));

        assert_eq!(machine.on_time(seconds(3)), None, "not at once");
        assert_eq!(broadcast(machine.on_time(seconds(4))).0, MessageType::Discover);
        machine.on_packet(&bytes(&reply(MessageType::Offer, ELSEWHERE, 3600)), seconds(4));
        machine.on_packet(&bytes(&reply(MessageType::Ack, ELSEWHERE, 3600)), seconds(4));
        let (actions, _) = wait(&mut machine);
        assert!(matches!(actions.last(), Some(Action::Bound(Lease { address: ELSEWHERE, .. }))));
    }
}

#[test]
fn what_is_no_claim_to_the_address_leaves_it() {
    let mut machine = probing();
    let speaks = |sender, sender_address| ArpPacket { sender, sender_address, target_address: ADDRESS };
    for heard in [
        // A router asks who has the address, because its server does; our own question comes back from a switch.
        speaks(OTHER, SERVER),
        ArpPacket::probe(MAC, ADDRESS),
        ArpPacket::probe(OTHER, ELSEWHERE),
    ] {
        assert_eq!(machine.on_arp(heard, seconds(2)), None, "{heard:?}");
    }
    assert!(machine.is_probing());
    let (_, at) = wait(&mut machine);
    assert_eq!(machine.on_arp(speaks(OTHER, ADDRESS), at), None, "the address is ours by now");
}

#[test]
fn a_server_that_gives_nothing_but_taken_addresses_is_asked_ever_more_slowly() {
    let mut machine = Machine::new(MAC, 7);
    let mut asked_at = Vec::new();
    for now in (0..60).map(seconds) {
        if let Some(Action::Broadcast(_)) = machine.on_time(now) {
            asked_at.push(now.as_secs());
            machine.on_packet(&bytes(&reply(MessageType::Offer, ADDRESS, 3600)), now);
            machine.on_packet(&bytes(&reply(MessageType::Ack, ADDRESS, 3600)), now);
            machine.on_arp(ArpPacket::probe(OTHER, ADDRESS), now).expect("a refusal");
        }
    }
    assert_eq!(asked_at, [0, 2, 6, 14, 30, 46]);
}

#[test]
fn silence_is_answered_by_asking_again_ever_more_slowly() {
    let mut machine = Machine::new(MAC, 7);
    let mut sent_at = Vec::new();
    for now in (0..60).map(seconds) {
        if machine.on_time(now).is_some() {
            sent_at.push(now.as_secs());
        }
    }
    // 0, then after 2, 4, 8, 16, 16 seconds.
    assert_eq!(sent_at, [0, 2, 6, 14, 30, 46]);
}

#[test]
fn a_server_that_offers_and_then_keeps_silent_is_left() {
    let mut machine = Machine::new(MAC, 7);
    machine.on_time(seconds(0));
    machine.on_packet(&bytes(&reply(MessageType::Offer, ADDRESS, 3600)), seconds(0));
    let kinds: Vec<_> =
        (1..30).filter_map(|now| machine.on_time(seconds(now))).map(|a| broadcast(Some(a)).0).collect();
    // Requests at 0 (above), 2 and 6 s; at 14 s the client starts again.
    assert_eq!(kinds[..3], [MessageType::Request, MessageType::Request, MessageType::Discover]);
}

#[test]
fn answers_for_others_and_offers_without_an_address_are_no_answers() {
    let mut machine = Machine::new(MAC, 7);
    machine.on_time(seconds(0));
    let mut foreign = reply(MessageType::Offer, ADDRESS, 60);
    foreign.set_xid(8);
    assert_eq!(machine.on_packet(&bytes(&foreign), seconds(0)), None);
    foreign.set_xid(7).set_chaddr(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(machine.on_packet(&bytes(&foreign), seconds(0)), None);
    let proxy = reply(MessageType::Offer, Ipv4Addr::UNSPECIFIED, 60);
    assert_eq!(machine.on_packet(&bytes(&proxy), seconds(0)), None);
}

#[test]
fn a_refusal_starts_again() {
    let mut machine = Machine::new(MAC, 7);
    machine.on_time(seconds(0));
    machine.on_packet(&bytes(&reply(MessageType::Offer, ADDRESS, 3600)), seconds(0));
    assert_eq!(
        machine.on_packet(&bytes(&reply(MessageType::Nak, Ipv4Addr::UNSPECIFIED, 0)), seconds(0)),
        None
    );
    assert_eq!(broadcast(machine.on_time(seconds(2))).0, MessageType::Discover);
}

#[test]
fn a_lease_is_renewed_by_its_server_then_by_anybody_then_lost() {
    let mut machine = Machine::bound(MAC, 7, lease(), seconds(0));
    assert_eq!(machine.on_time(seconds(1799)), None);
    assert!(matches!(machine.on_time(seconds(1800)), Some(Action::Unicast(SERVER, _))));
    let mut rebinding_from = None;
    for now in 1801..3600 {
        if let Some(Action::Broadcast(_)) = machine.on_time(seconds(now)) {
            rebinding_from.get_or_insert(now);
        }
    }
    assert_eq!(rebinding_from, Some(3150));
    assert_eq!(machine.on_time(seconds(3600)), Some(Action::Lost));
}

#[test]
fn a_renewed_lease_counts_from_its_renewal() {
    let mut machine = Machine::bound(MAC, 7, lease(), seconds(0));
    machine.on_time(seconds(1800));
    let renewed = machine.on_packet(&bytes(&reply(MessageType::Ack, ADDRESS, 3600)), seconds(1801));
    assert_eq!(renewed, Some(Action::Bound(lease())));
    assert_eq!(machine.on_time(seconds(3600)), None);
    assert_eq!(machine.deadline(), seconds(1801 + 1800));
}

#[test]
fn a_short_lease_is_renewed_more_than_once_before_it_ends() {
    let short = Lease { duration: seconds(40), ..lease() };
    let mut machine = Machine::bound(MAC, 7, short, seconds(0));
    let tries = (0..40).filter(|now| machine.on_time(seconds(*now)).is_some()).count();
    assert!(tries >= 3, "{tries}");
    assert_eq!(machine.on_time(seconds(40)), Some(Action::Lost));
}

#[test]
fn a_mask_and_an_mtu_count_where_a_network_can_have_them() {
    let bound = |option| {
        let mut machine = Machine::new(MAC, 7);
        machine.on_time(seconds(0));
        let mut ack = reply(MessageType::Offer, ADDRESS, 3600);
        ack.opts_mut().insert(option);
        machine.on_packet(&bytes(&ack), seconds(0));
        ack.opts_mut().insert(DhcpOption::MessageType(MessageType::Ack));
        machine.on_packet(&bytes(&ack), seconds(0));
        match wait(&mut machine).0.pop() {
            Some(Action::Bound(lease)) => (lease.prefix_length, lease.mtu),
            other => panic!("expected a lease, got {other:?}"),
        }
    };
    assert_eq!(bound(DhcpOption::SubnetMask(Ipv4Addr::UNSPECIFIED)), (24, None));
    assert_eq!(bound(DhcpOption::InterfaceMtu(1450)), (16, Some(1450)));
    for no_mtu in [0, 68, 1500, 9000] {
        assert_eq!(bound(DhcpOption::InterfaceMtu(no_mtu)), (16, None));
    }
}

proptest! {
    #[test]
    fn hostile_packets_bind_nothing(noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut machine = Machine::new(MAC, 7);
        machine.on_time(seconds(0));
        let mut packet = bytes(&reply(MessageType::Ack, ADDRESS, 3600));
        for (at, value) in noise {
            let at = at.index(packet.len());
            packet[at] = value;
        }
        packet.truncate(cut.index(packet.len()));
        let action = machine.on_packet(&packet, seconds(1));
        assert!(!matches!(action, Some(Action::Bound(_))), "an ACK that answers no REQUEST");
    }
}
