//! `full`: real clients lease addresses from us.

use std::{collections::HashMap, net::Ipv4Addr};

use mimeo_core::ids::MacAddr;
use mimeo_server::boot::dhcp::settings::{Mode, Settings};

use super::{
    client::{Client, ORDINARY, UEFI_PXE},
    net::{FIRST, Net, Service, US, dhclient, settings, udhcpc},
};

#[test]
fn real_clients_lease_addresses_and_keep_them_over_our_restart() {
    let net = Net::create("full");
    let service = net.serve(Mode::Full);
    assert_eq!(dhclient(&net.client, net.folder.path(), "first"), Some((FIRST, US)));
    service.stop();

    let _service = net.serve(Mode::Full);
    let mut stranger = Client::open(&net.client, 1);
    let offers = stranger.discover(ORDINARY, &[US]);
    assert_ne!(offers[0].address, FIRST, "leased before the restart");
    let ack = stranger.take(ORDINARY, &offers[0]);
    assert_eq!((ack.kind, ack.address), (5, offers[0].address));
    drop(stranger);
    assert_eq!(udhcpc(&net.client), Some((FIRST, US)), "the same card, another client");
}

#[test]
fn a_reserved_address_is_its_cards_and_machines_are_told_what_to_boot() {
    let net = Net::create("reserved");
    let reserved = Ipv4Addr::new(10, 77, 0, 30);
    let settings = Settings {
        reservations: HashMap::from([(MacAddr([2, 0x77, 0, 0, 0, 1]), reserved)]),
        router: Some(Ipv4Addr::new(10, 77, 0, 254)),
        domain: Some("school.example".into()),
        ..settings(Mode::Full)
    };
    let _service = Service::start(&net.ours, settings, &net.folder.path().join("mimeo.db"));
    let mut client = Client::open(&net.client, 1);
    let offers = client.discover(UEFI_PXE, &[US]);
    let offer = &offers[0];
    assert_eq!((offer.address, offer.file.as_str()), (reserved, "shimx64.efi"));
    assert_eq!(offer.option(3), Some([10, 77, 0, 254].as_slice()));
    assert_eq!(offer.option(15), Some(b"school.example".as_slice()));
    assert_eq!(client.take(UEFI_PXE, offer).kind, 5);

    // An address of another network, remembered, is refused at once.
    let elsewhere = super::client::Said { address: [192, 168, 7, 7].into(), ..offer.clone() };
    assert_eq!(client.take(UEFI_PXE, &elsewhere).kind, 6);
}
