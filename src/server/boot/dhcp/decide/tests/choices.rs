//! Mode `Pxe` beside a server whose addresses some firmware prefers: conversations with their times.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    FIRST, FOREIGN, NOW, Said, US, firmware, foreign_offer, mac, ordinary, request, said, server, settings,
};
use crate::{
    boot::{
        dhcp::{
            decide::{Action, Port, Server},
            packet::{Ask, Overheard, Request},
            settings::Mode,
        },
        firmware::Speaker,
        notices::Notice,
    },
    clock::Timestamp,
    events::Event,
};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const FOREIGN_LEASE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);

fn seconds(count: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(count))
}

/// A machine's request for the other server's address.
fn takes_other(discover: &Request) -> Request {
    Request {
        ask: Ask::Request,
        server: Some(FOREIGN),
        wanted_address: Some(FOREIGN_LEASE),
        ..discover.clone()
    }
}

/// The one offer that the machine gets: its address and its file.
fn offered(server: &mut Server, discover: &Request, now: Timestamp) -> (Ipv4Addr, String) {
    let (offers, _) = server.talk(discover, now);
    let [Said { kind: 2, address, file, .. }] = &offers[..] else { panic!("{offers:?}") };
    (*address, file.clone())
}

#[test]
fn firmware_that_took_the_first_address_is_told_beside_it_what_to_boot_from_then_on() {
    for (architecture, file) in [(0, "undionly.kpxe"), (7, "snponly.efi")] {
        let mut server = server(Mode::Pxe);
        let discover = request(Ask::Discover, 1, Some(Speaker::Pxe), architecture);
        assert_eq!(offered(&mut server, &discover, seconds(0)).0, FIRST);
        assert_eq!(server.talk(&takes_other(&discover), seconds(2)).0, []);
        for boot in [60, 4000, 90_000] {
            assert_eq!(offered(&mut server, &discover, seconds(boot)), (NOBODY, file.into()));
            assert_eq!(server.talk(&takes_other(&discover), seconds(boot + 2)).0, []);
            let ipxe = request(Ask::Discover, 1, Some(Speaker::Ipxe), architecture);
            let (address, script) = offered(&mut server, &ipxe, seconds(boot + 9));
            assert_eq!((address, script.starts_with("http://")), (NOBODY, true));
            assert_eq!(server.talk(&takes_other(&ipxe), seconds(boot + 10)).0, []);
            // Our client in Linux is an ordinary one.
            assert_eq!(server.talk(&ordinary(Ask::Discover, 1), seconds(boot + 30)).0, []);
        }
    }
}

#[test]
fn a_machine_whose_secure_boot_refuses_ipxe_is_offered_an_address_again() {
    let mut server = server(Mode::Pxe);
    let discover = firmware(Ask::Discover, 1);
    assert_eq!(offered(&mut server, &discover, seconds(0)).0, FIRST);
    server.talk(&takes_other(&discover), seconds(4));
    assert_eq!(offered(&mut server, &discover, seconds(60)), (NOBODY, "snponly.efi".into()));
    server.talk(&takes_other(&discover), seconds(64));
    assert_eq!(offered(&mut server, &discover, seconds(120)), (FIRST, "shimx64.efi".into()));
    assert_eq!(server.lease(&discover, seconds(121)), FIRST);
    assert_eq!(offered(&mut server, &discover, seconds(900)), (FIRST, "shimx64.efi".into()));
}

#[test]
fn a_pool_that_was_empty_says_nothing_of_what_firmware_prefers() {
    let mut server = server(Mode::Pxe);
    for card in 1..=4 {
        server.lease(&firmware(Ask::Discover, card), NOW);
    }
    let late = firmware(Ask::Discover, 5);
    assert_eq!(offered(&mut server, &late, NOW).0, NOBODY);
    server.talk(&takes_other(&late), seconds(4));
    let after = NOW.plus(settings(Mode::Pxe).boot_lease);
    assert_eq!(offered(&mut server, &late, after).0, FIRST);
}

#[test]
fn whoever_chose_another_server_while_we_still_checked_gets_no_offer_and_holds_no_address() {
    for (mode, discover) in
        [(Mode::Pxe, firmware(Ask::Discover, 1)), (Mode::Full, ordinary(Ask::Discover, 1))]
    {
        let mut server = server(mode);
        let decision = server.ask(&discover, Port::Server, NOW);
        assert_eq!(said(&decision.actions), [], "{mode:?}: the check comes first");
        server.talk(&takes_other(&discover), NOW);
        assert!(server.pool.is_free(FIRST, mac(9), NOW), "{mode:?}: at once");
        assert_eq!(server.checked(FIRST, None, NOW).actions, [], "{mode:?}: nobody waits any more");
        assert!(server.pool.is_free(FIRST, mac(9), NOW), "{mode:?}");
    }
}

#[test]
fn an_address_set_free_while_it_was_checked_may_be_the_next_machines() {
    let mut server = server(Mode::Pxe);
    server.ask(&firmware(Ask::Discover, 1), Port::Server, NOW);
    server.talk(&takes_other(&firmware(Ask::Discover, 1)), NOW);
    let decision = server.ask(&firmware(Ask::Discover, 2), Port::Server, NOW);
    let [Action::Check(address), ..] = decision.actions[..] else { panic!("{decision:?}") };
    let offers = said(&server.checked(address, None, NOW).actions);
    assert_eq!(offers.iter().map(|offer| offer.address).collect::<Vec<_>>(), [address]);
    assert!(server.pool.is_offered(mac(2), address, NOW));
}

#[test]
fn what_the_installed_system_of_a_machine_is_told_says_nothing_of_booting() {
    let mut server = server(Mode::Proxy);
    let discover = firmware(Ask::Discover, 1);
    server.ask(&discover, Port::Server, NOW);
    let to_firmware = Overheard { machine: mac(1), ..foreign_offer(Some(US)) };
    assert!(server.overhear(&to_firmware, false, NOW).is_some());
    assert_eq!(offered(&mut server, &discover, NOW).1, "shimx64.efi");
    let to_windows = Overheard { machine: mac(1), xid: 8, ..foreign_offer(None) };
    assert_eq!(server.overhear(&to_windows, false, NOW), None);
    assert_eq!(offered(&mut server, &discover, NOW).1, "shimx64.efi");
}

#[test]
fn a_server_that_says_this_and_that_is_told_of_a_few_times_only() {
    let mut server = server(Mode::Proxy);
    let told = (0..1000).filter(|number| {
        let next = [None, Some(US), Some(FOREIGN)][number % 3];
        server.overhear(&foreign_offer(next), true, NOW).is_some()
    });
    assert_eq!(told.count(), 3);
}

#[test]
fn an_exhausted_pool_is_told_once_and_shown_as_long_as_it_lasts() {
    let mut server = server(Mode::Pxe);
    for card in 1..=4 {
        server.lease(&firmware(Ask::Discover, card), NOW);
    }
    let (mut told, mut shown) = (0, 0);
    for card in 5..=200 {
        for action in server.ask(&firmware(Ask::Discover, card), Port::Server, NOW).actions {
            match action {
                Action::Tell(Event::DhcpPoolExhausted { addresses: 4 }) => told += 1,
                Action::Notice(Notice::PoolExhausted { addresses: 4 }) => shown += 1,
                _ => {}
            }
        }
    }
    assert_eq!((told, shown), (1, 196));
}

#[test]
fn a_machine_that_boots_after_all_is_shown_no_longer() {
    let is_over = |action: &Action| matches!(action, Action::NoticeOver(machine) if *machine == mac(1));
    let mut server = server(Mode::Proxy);
    let told = server.ask(&firmware(Ask::Discover, 1), Port::Server, NOW).actions;
    assert!(told.iter().any(|action| matches!(action, Action::Notice(_))) && !told.iter().any(is_over));
    let ipxe = request(Ask::Discover, 1, Some(Speaker::Ipxe), 7);
    assert!(server.ask(&ipxe, Port::Server, NOW).actions.iter().any(is_over));
}
