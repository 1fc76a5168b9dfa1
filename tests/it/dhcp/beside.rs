//! `proxy` and `pxe` beside DHCP servers that are in use.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use mimeo_lab::network::Host;
use mimeo_server::{
    boot::dhcp::{
        ears::listen,
        observe::{ForeignServer, propose_mode},
        settings::Mode,
    },
    events::Event,
};

use super::{
    client::{BIOS_PXE, Client, IPXE, ORDINARY, REQUEST, UEFI_HTTP, UEFI_PXE},
    net::{FIRST, LAST, Net, OTHER, OTHERS_FIRST, Peer, US, dhclient, hold, udhcpc},
};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn heard_on(host: &Host) -> Vec<ForeignServer> {
    let listening = host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(listen("eth0", Duration::from_secs(3)))
    });
    listening.unwrap().unwrap()
}

/// All that is asked of a mode beside another server: booting machines are answered by both, ordinary clients by
/// the other alone, even while it does not answer.
fn check_beside(peer: Peer, mode: Mode) {
    let net = Net::create("beside");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let peer = peer.start(&other, net.folder.path(), None);
    let _service = net.serve(mode);
    let mut client = Client::open(&net.client, 1);

    let offers = client.discover(UEFI_PXE, &[US, OTHER]);
    let ours = offers.iter().find(|said| said.server == US).unwrap();
    match mode {
        Mode::Proxy => assert_eq!((ours.address, ours.file.as_str()), (NOBODY, "snponly.efi")),
        _ => assert_eq!((ours.address, ours.file.as_str()), (FIRST, "shimx64.efi")),
    }
    for (class, file) in [(UEFI_HTTP, "http://10.77.0.1/boot/uefi/"), (IPXE, "http://10.77.0.1/boot/ipxe/")] {
        let offers = client.discover(class, &[US, OTHER]);
        for ours in offers.iter().filter(|said| said.server == US) {
            assert_eq!(ours.address, NOBODY, "iPXE and HTTP boot take normal addresses");
            assert!(ours.file.starts_with(file), "{}", ours.file);
        }
    }

    // The other as slow as can be: an ordinary client hears nothing at all, least of all us.
    hold(&peer, true);
    let mut ordinary = client;
    ordinary.mac.0[5] = 9;
    for kind in [1, 3, 8] {
        ordinary.broadcast(&ordinary.message(kind, &[ORDINARY, &[50, 4, 10, 77, 0, 100]].concat()));
    }
    ordinary.send(&ordinary.message(REQUEST, ORDINARY), SocketAddrV4::new(US, 4011));
    // Our slowest answer, an offer after a check by ARP, takes half a second; firmware is still answered.
    assert_eq!(ordinary.hear(Duration::from_secs(2)), [], "an ordinary client was answered");
    let offers = ordinary.discover(BIOS_PXE, &[US]);
    assert!(offers.iter().all(|said| said.server == US && said.file == "undionly.kpxe"));
    hold(&peer, false);
    drop(ordinary);

    // The other is awake again: real clients get its addresses.
    for lease in [dhclient(&net.client, net.folder.path(), "dhclient"), udhcpc(&net.client)] {
        let (address, server) = lease.expect("a real client gets an address");
        assert_eq!(server, OTHER);
        assert!(address >= OTHERS_FIRST, "{address}");
    }
}

#[test]
fn proxy_works_beside_dnsmasq() {
    check_beside(Peer::Dnsmasq, Mode::Proxy);
}

#[test]
fn proxy_works_beside_isc_dhcpd() {
    check_beside(Peer::IscDhcpd, Mode::Proxy);
}

#[test]
fn pxe_works_beside_dnsmasq() {
    check_beside(Peer::Dnsmasq, Mode::Pxe);
}

#[test]
fn pxe_works_beside_isc_dhcpd() {
    check_beside(Peer::IscDhcpd, Mode::Pxe);
}

#[test]
fn in_pxe_mode_firmware_that_takes_our_offer_is_told_that_we_are_the_server() {
    let net = Net::create("pxe");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let _peer = Peer::IscDhcpd.start(&other, net.folder.path(), None);
    let service = net.serve(Mode::Pxe);
    let mut client = Client::open(&net.client, 1);

    let offers = client.discover(UEFI_PXE, &[US, OTHER]);
    let ours = offers.iter().find(|said| said.server == US && said.address != NOBODY).unwrap();
    assert_eq!(ours.option(60), Some(b"PXEClient".as_slice()));
    assert_eq!(ours.option(43), Some([6, 1, 8, 255].as_slice()));
    let ack = client.take(UEFI_PXE, ours);
    assert_eq!((ack.kind, ack.server, ack.address), (5, US, FIRST));
    assert_eq!((ack.next_server, ack.file.as_str()), (US, "shimx64.efi"), "GRUB loads from here");
    assert_eq!(service.machines.by_address(FIRST).map(|machine| machine.mac), Some(client.mac));
}

#[test]
fn in_pxe_mode_firmware_that_takes_the_others_address_boots_by_proxy() {
    let net = Net::create("choice");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let _peer = Peer::Dnsmasq.start(&other, net.folder.path(), None);
    let service = net.serve(Mode::Pxe);
    let mut client = Client::open(&net.client, 1);

    let offers = client.discover(UEFI_PXE, &[US, OTHER]);
    let others = offers.iter().find(|said| said.server == OTHER).unwrap();
    let ack = client.take(UEFI_PXE, others);
    assert_eq!((ack.kind, ack.server), (5, OTHER));
    let known = service.machines.by_mac(client.mac).and_then(|machine| machine.address);
    assert_eq!(known, Some(ack.address), "learned from what it asked the other");
    let said = client.ask_until(REQUEST, UEFI_PXE, SocketAddrV4::new(US, 4011), |heard| !heard.is_empty());
    assert_eq!((said[0].kind, said[0].server, said[0].address), (5, US, NOBODY));
    assert_eq!(said[0].file, "snponly.efi", "GRUB would look on the other server");
}

#[test]
fn what_firmware_chose_in_pxe_mode_is_known_after_a_restart() {
    let net = Net::create("again");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let _peer = Peer::Dnsmasq.start(&other, net.folder.path(), None);
    let service = net.serve(Mode::Pxe);
    let mut client = Client::open(&net.client, 1);
    let offers = client.discover(UEFI_PXE, &[US, OTHER]);
    client.take(UEFI_PXE, offers.iter().find(|said| said.server == OTHER).unwrap());
    // Once this is answered, the choice was heard.
    client.ask_until(REQUEST, UEFI_PXE, SocketAddrV4::new(US, 4011), |heard| !heard.is_empty());
    service.stop();

    let _service = net.serve(Mode::Pxe);
    let offers = client.discover(UEFI_PXE, &[US, OTHER]);
    let ours = offers.iter().find(|said| said.server == US).unwrap();
    assert_eq!(
        (ours.address, ours.file.as_str()),
        (NOBODY, "snponly.efi"),
        "it would pass an address over again"
    );
}

#[test]
fn an_address_that_somebody_uses_is_not_offered() {
    let net = Net::create("taken");
    let _static = net.switch.host("static", FIRST, 24).unwrap();
    let _service = net.serve(Mode::Pxe);
    let mut client = Client::open(&net.client, 1);
    let offers = client.discover(UEFI_PXE, &[US]);
    let given: Vec<_> = offers.iter().map(|said| said.address).filter(|address| *address != NOBODY).collect();
    assert_eq!(given.first(), Some(&Ipv4Addr::new(10, 77, 0, 101)), "{offers:?}");
    assert!(given.iter().all(|address| *address > FIRST && *address <= LAST));
}

#[test]
fn proxy_gives_the_signed_chain_where_the_other_server_names_us() {
    let net = Net::create("named");
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let _peer = Peer::IscDhcpd.start(&other, net.folder.path(), Some(US));
    let mut service = net.serve(Mode::Proxy);
    let mut client = Client::open(&net.client, 1);
    // The other may still have to be heard when we are first asked.
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
    client.ask_until(1, UEFI_PXE, everybody, |heard| heard.iter().any(|said| said.file == "shimx64.efi"));
    let named = Event::ForeignDhcpSeen { server: OTHER.to_string(), next_server: Some(US.to_string()) };
    let told: Vec<_> = std::iter::from_fn(|| service.told.try_recv().ok()).collect();
    assert!(told.contains(&named), "{told:?}");
}

#[test]
fn what_answers_on_the_network_leads_to_a_mode() {
    let net = Net::create("propose");
    assert_eq!(propose_mode(&heard_on(&net.ours), US).mode, Mode::Full);
    let other = net.switch.host("other", OTHER, 24).unwrap();
    let table = [
        (Peer::Dnsmasq, None, Mode::Pxe),
        (Peer::IscDhcpd, None, Mode::Pxe),
        (Peer::IscDhcpd, Some(US), Mode::Proxy),
        (Peer::Dnsmasq, Some(US), Mode::Proxy),
        (Peer::Dnsmasq, Some(OTHER), Mode::Off),
    ];
    for (peer, next_server, mode) in table {
        let peer_process = peer.start(&other, net.folder.path(), next_server);
        let mut heard = heard_on(&net.ours);
        // A server may need longer to start than the first listening lasts.
        for _ in 0..5 {
            if !heard.is_empty() {
                break;
            }
            heard = heard_on(&net.ours);
        }
        let case = format!("{peer:?} {next_server:?}: {heard:?} {}", peer_process.output());
        assert_eq!(heard.len(), 1, "{case}");
        assert_eq!(propose_mode(&heard, US).mode, mode, "{case}");
    }
}
