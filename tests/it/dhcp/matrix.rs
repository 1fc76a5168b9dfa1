//! Beside the DHCP servers that are in use, faster and slower than we are, naming nobody, another and us: who boots
//! in which mode, by which power-on.

use std::{net::Ipv4Addr, time::Instant};

use mimeo_server::{
    boot::{dhcp::settings::Mode, notices::Notice},
    clock::Timestamp,
    events::Event,
};

use super::{
    client::{Client, ORDINARY},
    net::{Manner, Net, OTHER, OTHERS_FIRST, PATIENCE, Peer, Service, US, dhclient},
    rom::{Rom, Taste},
};

/// Named as next-server, and never there.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

const ROMS: [Rom; 4] = [
    Rom { name: "UEFI, Secure Boot on", is_uefi: true, secure_boot: true, taste: Taste::Ranks },
    Rom { name: "UEFI, Secure Boot off", is_uefi: true, secure_boot: false, taste: Taste::Ranks },
    Rom {
        name: "BIOS that takes the first address",
        is_uefi: false,
        secure_boot: false,
        taste: Taste::TakesTheFirst,
    },
    Rom {
        name: "UEFI that takes the first address",
        is_uefi: true,
        secure_boot: false,
        taste: Taste::TakesTheFirst,
    },
];

#[test]
fn everybody_boots_beside_a_fast_dnsmasq() {
    check_all(Peer::Dnsmasq, false);
}

#[test]
fn everybody_boots_beside_a_slow_dnsmasq() {
    check_all(Peer::Dnsmasq, true);
}

#[test]
fn everybody_boots_beside_a_fast_isc_dhcpd() {
    check_all(Peer::IscDhcpd, false);
}

#[test]
fn everybody_boots_beside_a_slow_isc_dhcpd() {
    check_all(Peer::IscDhcpd, true);
}

/// Each cell is a network of its own, and spends its time waiting: they run side by side.
fn check_all(peer: Peer, is_slow: bool) {
    std::thread::scope(|scope| {
        for next_server in [None, Some(ELSEWHERE), Some(US)] {
            for mode in [Mode::Proxy, Mode::Pxe] {
                let manner = Manner { next_server, boot_file: "", is_slow };
                scope.spawn(move || check_cell(peer, &manner, mode));
            }
        }
    });
}

fn check_cell(peer: Peer, manner: &Manner, mode: Mode) {
    let net = Net::create("matrix");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let peer_process = peer.start_as(&other, net.folder.path(), manner);
    let mut client = Client::open(&net.client, 1);
    client.discover(ORDINARY, &[OTHER]);
    let mut service = net.serve(mode);
    wait_until_seen(&mut service, manner.next_server);
    let names_us = manner.next_server == Some(US);

    for (number, rom) in (10..).zip(ROMS) {
        let case = format!("{} in {mode:?} beside {peer:?} {manner:?}", rom.name);
        client.mac.0[5] = number;
        let refused = mode == Mode::Proxy && rom.secure_boot && !names_us;
        // Firmware that takes the first address hears of nothing to boot from when it first meets mode `pxe`.
        let power_ons = if mode == Mode::Pxe && rom.taste == Taste::TakesTheFirst { 2 } else { 1 };
        let mut ends = Vec::new();
        while ends.last() != Some(&Ok(())) && ends.len() < power_ons {
            ends.push(rom.boot(&mut client));
        }
        if power_ons == 2 && !manner.is_slow {
            assert!(ends[0].is_err(), "{case}: the other was to be faster, {ends:?}");
        }
        match refused {
            false => assert_eq!(ends.last(), Some(&Ok(())), "{case}: {ends:?}\n{}", peer_process.output()),
            true => check_told(&mut service, &client, &ends, &case),
        }
    }
    drop(client);

    let (address, server) =
        dhclient(&net.client, net.folder.path(), "ordinary").expect("an ordinary client's lease");
    assert_eq!(server, OTHER, "{peer:?} {manner:?} {mode:?}");
    assert!(address >= OTHERS_FIRST, "{address}");
}

/// Waits until our service has heard the other, and whom it names where it names somebody.
fn wait_until_seen(service: &mut Service, names: Option<Ipv4Addr>) {
    let names = names.map(|next| next.to_string());
    let deadline = Instant::now() + PATIENCE;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let told = runtime.block_on(async { tokio::time::timeout(left, service.told.recv()).await });
        match told.expect("the other server is heard").unwrap() {
            Event::ForeignDhcpSeen { server, next_server }
                if server == OTHER.to_string() && (names.is_none() || next_server == names) =>
            {
                return;
            }
            _ => {}
        }
    }
}

/// A Secure Boot machine that cannot boot: why is told in the journal, and shown to the administrator.
fn check_told(service: &mut Service, client: &Client, ends: &[Result<(), String>], case: &str) {
    assert_eq!(ends, [Err("Secure Boot refuses iPXE".to_owned())], "{case}");
    let told: Vec<_> = std::iter::from_fn(|| service.told.try_recv().ok()).collect();
    let is_told =
        |event: &Event| matches!(event, Event::SecureBootOutOfReach { mac, .. } if *mac == client.mac);
    assert!(told.iter().any(is_told), "{case}: {told:?}");
    // As it will be once the machine had its time to boot after all.
    let soon = Timestamp::now().plus(PATIENCE * 4);
    let is_shown = |(notice, _): &(Notice, Timestamp)| matches!(notice, Notice::SecureBootOutOfReach { mac, .. } if *mac == client.mac);
    assert!(service.notices.list(soon).iter().any(is_shown), "{case}");
}
