mod choices;

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use mimeo_core::{ids::MacAddr, wire::dhcp_options::Options};
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::{Action, Decision, Heard, Port, Server, WAITING_MAX};
use crate::{
    boot::{
        dhcp::{
            lease::{Change, Lease},
            packet::{Ask, Overheard, Request},
            settings::{Mode, Settings},
        },
        firmware::{Architecture, Speaker},
        target::LoaderChoice,
    },
    clock::Timestamp,
    events::Event,
};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const NOW: Timestamp = Timestamp(1_000_000);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const LAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 103);

fn settings(mode: Mode) -> Settings {
    Settings { mode, pool: Some(FIRST..=LAST), ..Settings::proxy("eth0", US, 24) }
}

fn server(mode: Mode) -> Server {
    Server::new(settings(mode), &[]).expect("sound settings")
}

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// A request with nothing in it but who asks.
fn request(ask: Ask, card: u8, speaker: Option<Speaker>, architecture: u16) -> Request {
    Request {
        ask,
        xid: 7,
        flags: 0,
        client_address: None,
        relay_agent: None,
        mac: mac(card),
        wanted_address: None,
        server: None,
        speaker,
        architecture: architecture.into(),
        uuid: None,
        client_id: None,
        relay_info: None,
        machine_id: None,
        boot_item: None,
    }
}

fn ordinary(ask: Ask, card: u8) -> Request {
    request(ask, card, None, 0)
}

fn firmware(ask: Ask, card: u8) -> Request {
    request(ask, card, Some(Speaker::Pxe), 7)
}

/// What a reply says, shortly.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    kind: u8,
    address: Ipv4Addr,
    file: String,
    to: SocketAddrV4,
}

impl Server {
    fn ask(&mut self, request: &Request, port: Port, now: Timestamp) -> Decision {
        let from = SocketAddrV4::new(request.client_address.unwrap_or(Ipv4Addr::UNSPECIFIED), 68);
        self.hear(&Heard { request: request.clone(), port, from, loader: LoaderChoice::Signed }, now)
    }

    /// Asks on port 67; every check finds the address free. Tells what was said and what was stored.
    fn talk(&mut self, request: &Request, now: Timestamp) -> (Vec<Said>, Vec<Change>) {
        let mut actions = self.ask(request, Port::Server, now).actions;
        while let Some(at) = actions.iter().position(|action| matches!(action, Action::Check(_))) {
            let Action::Check(address) = actions.remove(at) else { unreachable!() };
            actions.extend(self.checked(address, None, now).actions);
        }
        (said(&actions), stored(&actions))
    }

    /// DISCOVER, OFFER, REQUEST, ACK: the address that came of it.
    fn lease(&mut self, discover: &Request, now: Timestamp) -> Ipv4Addr {
        let (offers, stored) = self.talk(discover, now);
        assert_eq!(stored, [], "an offer is not stored");
        let address = offers[0].address;
        let request = Request {
            ask: Ask::Request,
            server: Some(US),
            wanted_address: Some(address),
            ..discover.clone()
        };
        let (acks, stored) = self.talk(&request, now);
        assert_eq!((acks[0].kind, acks[0].address), (5, address));
        assert!(
            matches!(stored[..], [Change::Keep(lease)] if lease.address == address && lease.mac == discover.mac)
        );
        address
    }
}

fn said(actions: &[Action]) -> Vec<Said> {
    let reply = |action: &Action| {
        let Action::Send { bytes, to, .. } = action else { return None };
        let (options, _) = Options::parse(&bytes[240..], &[], &[]).expect("our own options");
        let file = options.get(67).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        let address = Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[16..20]).expect("four bytes"));
        Some(Said { kind: options.get(53).expect("a type")[0], address, file, to: *to })
    };
    actions.iter().filter_map(reply).collect()
}

fn stored(actions: &[Action]) -> Vec<Change> {
    let change = |action: &Action| match action {
        Action::Store(change) => Some(*change),
        _ => None,
    };
    actions.iter().filter_map(change).collect()
}

fn foreign_offer(next_server: Option<Ipv4Addr>) -> Overheard {
    let address = Some(Ipv4Addr::new(10, 0, 0, 200));
    Overheard { server: FOREIGN, next_server, boot_file: None, address, machine: mac(99), xid: 7 }
}

/// Architecture × speaker × mode: the whole of what a DISCOVER is answered with.
#[test]
fn each_machine_is_offered_what_fits_it_and_the_mode() {
    let script = "http://10.0.0.1/boot/ipxe/02-00-00-00-00-01";
    let image = "http://10.0.0.1/boot/uefi/02-00-00-00-00-01.img";
    let (some, none) = (FIRST, Ipv4Addr::UNSPECIFIED);
    type Offers = &'static [(bool, &'static str)];
    // Whether an address is offered, and which file.
    const NOTHING: Offers = &[];
    const BIOS: Offers = &[(false, "undionly.kpxe")];
    const UEFI: Offers = &[(false, "snponly.efi")];
    const ARM: Offers = &[(false, "shimaa64.efi")];
    const IMAGE: Offers = &[(false, "image")];
    const SCRIPT: Offers = &[(false, "script")];
    const FULL: [Offers; 6] = [
        &[(true, "")],
        &[(true, "undionly.kpxe")],
        &[(true, "shimx64.efi")],
        &[(true, "shimaa64.efi")],
        &[(true, "image")],
        &[(true, "script")],
    ];
    let table: [(Option<Speaker>, u16, Offers, Offers, Offers); 9] = [
        // speaker, architecture, proxy, pxe, full
        (None, 0, NOTHING, NOTHING, FULL[0]),
        (Some(Speaker::Pxe), 0, BIOS, FULL[1], FULL[1]),
        (Some(Speaker::Pxe), 7, UEFI, FULL[2], FULL[2]),
        (Some(Speaker::Pxe), 9, UEFI, FULL[2], FULL[2]),
        (Some(Speaker::Pxe), 11, ARM, FULL[3], FULL[3]),
        (Some(Speaker::Pxe), 6, NOTHING, NOTHING, FULL[0]),
        (Some(Speaker::Http), 16, IMAGE, IMAGE, FULL[4]),
        (Some(Speaker::Ipxe), 0, SCRIPT, SCRIPT, FULL[5]),
        (Some(Speaker::Ipxe), 7, SCRIPT, SCRIPT, FULL[5]),
    ];
    for (speaker, architecture, proxy, pxe, full) in table {
        for (mode, expect) in
            [(Mode::Proxy, proxy), (Mode::Pxe, pxe), (Mode::Full, full), (Mode::Off, NOTHING)]
        {
            let (offers, _) = server(mode).talk(&request(Ask::Discover, 1, speaker, architecture), NOW);
            let case = format!("{speaker:?} {architecture} {mode:?}");
            let got: Vec<_> = offers.iter().map(|offer| (offer.address, offer.file.as_str())).collect();
            let named = |file| match file {
                "image" => image,
                "script" => script,
                other => other,
            };
            let expect: Vec<_> =
                expect.iter().map(|(gives, file)| (if *gives { some } else { none }, named(*file))).collect();
            assert_eq!(got, expect, "{case}");
            assert!(
                offers.iter().all(|offer| offer.kind == 2 && *offer.to.ip() == Ipv4Addr::BROADCAST),
                "{case}"
            );
        }
    }
}

#[test]
fn proxy_gives_the_signed_chain_where_the_foreign_server_names_us_and_else_says_why_not() {
    let discover = firmware(Ask::Discover, 1);
    let table = [
        (None, "snponly.efi", Some("no DHCP server was heard, so nobody is known to name us as next-server")),
        (Some(foreign_offer(None)), "snponly.efi", Some("DHCP server 10.0.0.2 names no next-server")),
        (
            Some(foreign_offer(Some(FOREIGN))),
            "snponly.efi",
            Some("DHCP server 10.0.0.2 names 10.0.0.2 as next-server"),
        ),
        (Some(foreign_offer(Some(US))), "shimx64.efi", None),
    ];
    for (foreign, file, reason) in table {
        let mut server = server(Mode::Proxy);
        let news = foreign.as_ref().and_then(|offer| server.overhear(offer, true, NOW));
        assert_eq!(news.is_some(), foreign.is_some());
        let decision = server.ask(&discover, Port::Server, NOW);
        assert_eq!(said(&decision.actions)[0].file, file, "{reason:?}");
        let told = decision.actions.iter().find_map(|action| match action {
            Action::Tell(Event::SecureBootOutOfReach { reason, .. }) => Some(reason.as_str()),
            _ => None,
        });
        assert_eq!(told, reason);
        let again = server.ask(&discover, Port::Server, NOW).actions;
        assert!(!again.iter().any(|action| matches!(action, Action::Tell(_))), "told once");
    }
}

#[test]
fn our_own_offers_are_no_foreign_servers() {
    let ours = Overheard { server: US, ..foreign_offer(Some(US)) };
    assert_eq!(server(Mode::Proxy).overhear(&ours, true, NOW), None);
}

#[test]
fn in_proxy_mode_a_machines_address_is_learned_from_what_it_asks_the_other_server() {
    let wanted = Ipv4Addr::new(10, 0, 0, 200);
    let request =
        Request { server: Some(FOREIGN), wanted_address: Some(wanted), ..firmware(Ask::Request, 1) };
    let decision = server(Mode::Proxy).ask(&request, Port::Server, NOW);
    assert_eq!(said(&decision.actions), []);
    assert!(matches!(&decision.actions[..], [Action::Learn(machine)] if machine.address == Some(wanted)));
}

#[test]
fn the_boot_server_answers_where_it_was_asked_from() {
    let asked = Request { client_address: Some([10, 0, 0, 200].into()), ..firmware(Ask::Request, 1) };
    for mode in [Mode::Proxy, Mode::Pxe, Mode::Full] {
        let decision = server(mode).ask(&asked, Port::BootServer, NOW);
        let to = SocketAddrV4::new([10, 0, 0, 200].into(), 68);
        let expect = Said { kind: 5, address: Ipv4Addr::UNSPECIFIED, file: "snponly.efi".into(), to };
        assert_eq!(said(&decision.actions), [expect], "{mode:?}");
        let nobody = Request { speaker: None, ..asked.clone() };
        assert_eq!(server(mode).ask(&nobody, Port::BootServer, NOW).actions, [], "{mode:?}");
        let discover = Request { ask: Ask::Discover, ..asked.clone() };
        assert_eq!(said(&server(mode).ask(&discover, Port::BootServer, NOW).actions), [], "{mode:?}");
    }
}

#[test]
fn a_machine_with_an_address_of_our_pool_gets_the_signed_chain_on_port_4011_too() {
    let mut server = server(Mode::Pxe);
    let address = server.lease(&firmware(Ask::Discover, 1), NOW);
    let asked = Request { client_address: Some(address), ..firmware(Ask::Request, 1) };
    assert_eq!(said(&server.ask(&asked, Port::BootServer, NOW).actions)[0].file, "shimx64.efi");
    let later = NOW.plus(Duration::from_secs(3600));
    assert_eq!(
        said(&server.ask(&asked, Port::BootServer, later).actions)[0].file,
        "snponly.efi",
        "lease over"
    );
}

#[test]
fn in_pxe_mode_firmware_may_choose_the_other_server() {
    let mut server = server(Mode::Pxe);
    let (offers, _) = server.talk(&firmware(Ask::Discover, 1), NOW);
    // One server's offers with and without an address beside each other confuse OVMF.
    assert_eq!(offers.iter().map(|offer| offer.address).collect::<Vec<_>>(), [FIRST]);
    let other = Request {
        server: Some(FOREIGN),
        wanted_address: Some([10, 0, 0, 200].into()),
        ..firmware(Ask::Request, 1)
    };
    assert_eq!(server.talk(&other, NOW), (vec![], vec![]));
    assert_eq!(
        server.lease(&firmware(Ask::Discover, 2), NOW),
        Ipv4Addr::new(10, 0, 0, 101),
        "never given first"
    );
    assert!(server.pool.is_free(FIRST, mac(3), NOW), "what was set aside is free again");
}

#[test]
fn in_pxe_mode_a_full_pool_leaves_the_proxy_offer() {
    let mut server = server(Mode::Pxe);
    for card in 1..=4 {
        server.lease(&firmware(Ask::Discover, card), NOW);
    }
    let (offers, _) = server.talk(&firmware(Ask::Discover, 5), NOW);
    assert_eq!(offers.iter().map(|offer| offer.address).collect::<Vec<_>>(), [Ipv4Addr::UNSPECIFIED]);
    let after = NOW.plus(settings(Mode::Pxe).boot_lease);
    assert_eq!(server.lease(&firmware(Ask::Discover, 5), after), FIRST, "boot leases are short");
}

#[test]
fn an_address_on_which_somebody_answers_is_not_offered() {
    let mut server = server(Mode::Full);
    let decision = server.ask(&ordinary(Ask::Discover, 1), Port::Server, NOW);
    assert_eq!(decision.actions, [Action::Check(FIRST)], "nothing is offered unchecked");
    let second = Ipv4Addr::new(10, 0, 0, 101);
    assert_eq!(server.checked(FIRST, Some(mac(50)), NOW).actions, [Action::Check(second)]);
    let offers = said(&server.checked(second, Some(mac(1)), NOW).actions);
    assert_eq!(offers[0].address, second, "the machine itself may answer");
    assert_eq!(server.checked(second, None, NOW).actions, [], "nobody waits any more");
}

#[test]
fn a_pool_that_is_somebody_elses_is_given_up() {
    let mut server = server(Mode::Full);
    let mut actions = server.ask(&ordinary(Ask::Discover, 1), Port::Server, NOW).actions;
    let mut tried = Vec::new();
    while let Some(Action::Check(address)) = actions.pop() {
        tried.push(address);
        actions = server.checked(address, Some(mac(50)), NOW).actions;
    }
    assert_eq!((tried.len(), said(&actions)), (4, vec![]));
}

/// One client of a full server, from its first word to its last, with the times at which it speaks.
#[test]
fn a_lease_lives_as_rfc_2131_says() {
    let mut server = server(Mode::Full);
    let seconds = |count| NOW.plus(Duration::from_secs(count));
    let lease = settings(Mode::Full).lease;
    let address = server.lease(&ordinary(Ask::Discover, 1), NOW);

    let renew = Request { client_address: Some(address), ..ordinary(Ask::Request, 1) };
    let (acks, stored) = server.talk(&renew, seconds(100));
    let to = SocketAddrV4::new(address, 68);
    assert_eq!(acks, [Said { kind: 5, address, file: String::new(), to }], "renewed, alone");
    assert_eq!(stored, [Change::Keep(Lease { address, mac: mac(1), until: seconds(100).plus(lease) })]);

    let reboot = Request { wanted_address: Some(address), ..ordinary(Ask::Request, 1) };
    assert_eq!(server.talk(&reboot, seconds(200)).0[0].kind, 5, "it remembers rightly");

    let inform = Request { client_address: Some(address), ..ordinary(Ask::Inform, 1) };
    let (acks, stored) = server.talk(&inform, seconds(300));
    assert_eq!((acks[0].kind, acks[0].address, stored.len()), (5, Ipv4Addr::UNSPECIFIED, 0));

    let release = Request { client_address: Some(address), server: Some(US), ..ordinary(Ask::Release, 1) };
    let (replies, stored) = server.talk(&release, seconds(400));
    assert_eq!(replies, [], "a release is not answered");
    assert_eq!(stored, [Change::Keep(Lease { address, mac: mac(1), until: seconds(400) })]);
    assert_eq!(server.talk(&renew, seconds(500)).0[0].kind, 6, "released is over");
    assert_eq!(server.lease(&ordinary(Ask::Discover, 1), seconds(600)), address, "and given again");

    let decline = Request { wanted_address: Some(address), server: Some(US), ..ordinary(Ask::Decline, 1) };
    assert_eq!(server.talk(&decline, seconds(700)), (vec![], vec![Change::Forget(address)]));
    assert_ne!(server.lease(&ordinary(Ask::Discover, 1), seconds(800)), address, "put aside");
}

#[test]
fn what_is_wrong_is_refused_and_what_is_unknown_is_left_alone() {
    let fresh = || server(Mode::Full);
    let mut with_lease = fresh();
    let address = with_lease.lease(&ordinary(Ask::Discover, 1), NOW);
    let asks = |wanted: Option<Ipv4Addr>, uses: Option<Ipv4Addr>, to: Option<Ipv4Addr>, card| Request {
        wanted_address: wanted,
        client_address: uses,
        server: to,
        ..ordinary(Ask::Request, card)
    };
    let free = Ipv4Addr::new(10, 0, 0, 102);
    let elsewhere = Ipv4Addr::new(192, 168, 7, 7);
    let nak = Some(6);
    let table = [
        ("another's address, remembered", asks(Some(address), None, None, 2), nak),
        ("another's address, in use", asks(None, Some(address), None, 2), nak),
        ("another than its own", asks(Some(free), None, None, 1), nak),
        ("another network's", asks(Some(elsewhere), None, None, 2), nak),
        ("an offer that was never made", asks(Some(free), None, Some(US), 2), nak),
        ("an address we know nothing of", asks(Some(free), None, None, 2), None),
        ("another server's offer", asks(Some(free), None, Some(FOREIGN), 2), None),
        ("nothing at all", asks(None, None, None, 2), None),
    ];
    for (case, request, expect) in table {
        let (replies, stored) = with_lease.talk(&request, NOW);
        assert_eq!(replies.first().map(|reply| reply.kind), expect, "{case}");
        assert!(replies.iter().all(|reply| *reply.to.ip() == Ipv4Addr::BROADCAST), "{case}");
        assert_eq!(stored, [], "{case}");
    }
    let release = Request { client_address: Some(address), ..ordinary(Ask::Release, 2) };
    assert_eq!(with_lease.talk(&release, NOW), (vec![], vec![]), "another's lease cannot be ended");
    let decline = Request { wanted_address: Some(address), ..ordinary(Ask::Decline, 2) };
    assert_eq!(with_lease.talk(&decline, NOW), (vec![], vec![]), "nor declined");
}

#[test]
fn a_restart_forgets_no_lease() {
    let mut before = server(Mode::Full);
    let address = before.lease(&ordinary(Ask::Discover, 1), NOW);
    let lease = Lease { address, mac: mac(1), until: NOW.plus(Duration::from_secs(1000)) };
    let mut after = Server::new(settings(Mode::Full), &[lease]).expect("sound settings");
    assert_ne!(after.lease(&ordinary(Ask::Discover, 2), NOW), address);
    let renew = Request { client_address: Some(address), ..ordinary(Ask::Request, 1) };
    assert_eq!(after.talk(&renew, NOW).0[0].kind, 5);
}

#[test]
fn behind_a_relay_agent_of_another_network_nobody_gets_an_address_of_this_one() {
    let agent = Some(Ipv4Addr::new(10, 0, 9, 1));
    for mode in [Mode::Pxe, Mode::Full] {
        let relayed = Request { relay_agent: agent, ..firmware(Ask::Discover, 1) };
        let (offers, _) = server(mode).talk(&relayed, NOW);
        assert_eq!(offers.len(), 1, "{mode:?}");
        assert_eq!(offers[0].address, Ipv4Addr::UNSPECIFIED, "{mode:?}");
        assert_eq!(offers[0].to, SocketAddrV4::new([10, 0, 9, 1].into(), 67), "{mode:?}");
        let relayed = Request { relay_agent: agent, ..ordinary(Ask::Discover, 1) };
        assert_eq!(server(mode).talk(&relayed, NOW).0, [], "{mode:?}");
    }
}

#[test]
fn a_flood_of_machines_costs_a_bounded_number_of_waiting_offers() {
    let pool = Some(Ipv4Addr::new(10, 1, 0, 0)..=Ipv4Addr::new(10, 1, 31, 255));
    let settings = Settings { pool, prefix: 8, ..settings(Mode::Full) };
    let mut server = Server::new(settings, &[]).expect("sound settings");
    for number in 0..5000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mac = MacAddr([2, 0, 0, 0, high, low]);
        server.ask(&Request { mac, ..ordinary(Ask::Discover, 0) }, Port::Server, NOW);
    }
    assert_eq!(server.waiting.len(), WAITING_MAX);
}

#[derive(Debug, Clone)]
enum Op {
    Ask { card: u8, kind: u8, who: u8, wanted: Option<u8>, uses: Option<u8>, server: u8, port: bool },
    Checked { host: u8, holder: Option<u8> },
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let host = || proptest::option::of(98_u8..=105);
    prop_oneof![
        6 => (1_u8..8, 0_u8..5, 0_u8..4, host(), host(), 0_u8..3, proptest::bool::weighted(0.1)).prop_map(
            |(card, kind, who, wanted, uses, server, port)| Op::Ask { card, kind, who, wanted, uses, server, port }
        ),
        6 => (100_u8..=103, proptest::option::weighted(0.1, 1_u8..20)).prop_map(|(host, holder)| Op::Checked { host, holder }),
        1 => (0_u64..600).prop_map(Op::Pass),
    ]
}

fn ask_of(op: &Op) -> Option<(Request, Port)> {
    let Op::Ask { card, kind, who, wanted, uses, server, port } = *op else { return None };
    let asks = [Ask::Discover, Ask::Request, Ask::Decline, Ask::Release, Ask::Inform];
    let speakers = [None, Some(Speaker::Pxe), Some(Speaker::Ipxe), Some(Speaker::Http)];
    let architecture = if who == 3 { 16 } else { 7 };
    let address = |host: u8| Ipv4Addr::new(10, 0, 0, host);
    let request = Request {
        wanted_address: wanted.map(address),
        client_address: uses.map(address),
        server: [None, Some(US), Some(FOREIGN)][usize::from(server)],
        ..request(asks[usize::from(kind)], card, speakers[usize::from(who)], architecture)
    };
    Some((request, if port { Port::BootServer } else { Port::Server }))
}

proptest! {
    /// Whatever is asked in whatever order: nobody is given an address outside the pool, none is granted to two
    /// at one time, and beside another server only PXE firmware is ever given one.
    #[test]
    fn no_order_of_datagrams_breaks_the_rules(ops in proptest::collection::vec(op(), 1..150), full: bool) {
        let mode = if full { Mode::Full } else { Mode::Pxe };
        let mut server = server(mode);
        let mut now = NOW;
        let mut granted: HashMap<Ipv4Addr, (MacAddr, Timestamp)> = HashMap::new();
        let mut waits: HashMap<Ipv4Addr, Option<Speaker>> = HashMap::new();
        for op in &ops {
            let (actions, speaker) = match op {
                Op::Ask { .. } => {
                    let (request, port) = ask_of(op).expect("a request");
                    if matches!(request.ask, Ask::Release | Ask::Decline) {
                        granted.retain(|_, (mac, _)| *mac != request.mac);
                    }
                    (server.ask(&request, port, now).actions, request.speaker)
                }
                Op::Checked { host, holder } => {
                    let address = Ipv4Addr::new(10, 0, 0, *host);
                    let holder = holder.map(mac);
                    let speaker = waits.remove(&address).flatten();
                    (server.checked(address, holder, now).actions, speaker)
                }
                Op::Pass(seconds) => {
                    now = now.plus(Duration::from_secs(*seconds));
                    continue;
                }
            };
            for action in &actions {
                if let Action::Check(address) = action {
                    waits.insert(*address, speaker);
                }
            }
            let forgotten: HashSet<_> = stored(&actions).iter().filter_map(|change| match change {
                Change::Forget(address) => Some(*address),
                Change::Keep(_) => None,
            }).collect();
            granted.retain(|address, (_, until)| !forgotten.contains(address) && *until > now);
            for reply in said(&actions).iter().filter(|reply| !reply.address.is_unspecified()) {
                assert!((FIRST..=LAST).contains(&reply.address), "{} lies outside", reply.address);
                assert!(full || speaker == Some(Speaker::Pxe), "{speaker:?} was given {}", reply.address);
            }
            for change in stored(&actions) {
                if let Change::Keep(lease) = change && lease.until > now {
                    let before = granted.insert(lease.address, (lease.mac, lease.until));
                    assert!(before.is_none_or(|(mac, _)| mac == lease.mac), "{} is granted twice", lease.address);
                }
            }
        }
    }
}

#[test]
fn an_unknown_architecture_is_recorded_though_nothing_fits_it() {
    let decision =
        server(Mode::Proxy).ask(&request(Ask::Discover, 1, Some(Speaker::Pxe), 6), Port::Server, NOW);
    assert_eq!(decision.answer, "nothing, we have no boot file for it");
    assert!(matches!(&decision.actions[..], [Action::Learn(m)] if m.architecture == Architecture::Other(6)));
}
