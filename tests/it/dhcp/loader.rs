//! The loader that somebody chose for a computer, from the inventory to what its firmware is told.

use std::sync::Arc;

use mimeo_core::{
    ids::{ComputerId, MacAddr},
    messages::Language,
};
use mimeo_server::{
    boot::dhcp::settings::Mode,
    clock::Timestamp,
    config::UnknownMachines,
    db,
    events::Events,
    imaging::{
        keys::load_signing_key,
        store::{Store, StoreOptions, backend::Backend},
    },
    inventory::{
        admission::admit,
        boot_token::{Purpose, mint},
        computer::{Loader, set_loader},
    },
    wiring::{
        Services,
        boot_source::{BootPolicy, HouseBootSource},
    },
};

use super::{
    client::{BIOS_PXE, Client, UEFI_HTTP, UEFI_PXE},
    net::{Net, Service, US, settings},
};
use crate::{api::house::report, background::Background};

/// A computer with this card, in a house of its own.
async fn house_with(net: &Net, mac: MacAddr) -> (Services, ComputerId) {
    let pool = db::open(&net.folder.path().join("mimeo.db")).await.unwrap();
    let store = Store::open(Backend::in_memory(), StoreOptions::default()).await.unwrap();
    let key = load_signing_key(&pool).await.unwrap();
    let token = mint(&pool, mac, Purpose::Register, Timestamp::now()).await.unwrap();
    let admitted = admit(&pool, &Events::new(), &token, report(mac, &["AAA"]), Timestamp::now()).await;
    (Services::new(pool, Events::new(), store, key), admitted.unwrap().boot.computer)
}

#[test]
fn what_was_chosen_for_a_computer_is_what_its_firmware_is_told() {
    let net = Net::create("loader");
    let mut client = Client::open(&net.client, 1);
    let mut other = MacAddr(client.mac.0);
    other.0[5] = 2;
    let background = Background::new();
    let (services, computer) = background.block_on(house_with(&net, client.mac));
    let policy =
        BootPolicy { unknown: UnknownMachines::Menu, menu_timeout_seconds: 10, language: Language::En };
    let source = Arc::new(HouseBootSource::new(services.clone(), policy));
    let database = net.folder.path().join("dhcp.db");
    let _service = Service::start_for(&net.ours, settings(Mode::Pxe), &database, source);

    let mut told = |mac, class| {
        client.mac = mac;
        client.discover(class, &[US]).pop().map(|offer| offer.file).unwrap_or_default()
    };
    let chosen = MacAddr([2, 0x77, 0, 0, 0, 1]);
    for (loader, uefi, http) in [
        (Loader::Signed, "shimx64.efi", "http://10.77.0.1/boot/uefi/02-77-00-00-00-01.img"),
        (Loader::Ipxe, "snponly.efi", "http://10.77.0.1/boot/files/snponly.efi"),
    ] {
        background.block_on(set_loader(&services.pool, computer, loader)).unwrap();
        assert_eq!(told(chosen, UEFI_PXE), uefi, "{loader:?}");
        assert_eq!(told(chosen, UEFI_HTTP), http, "{loader:?}");
        assert_eq!(told(chosen, BIOS_PXE), "undionly.kpxe", "{loader:?}");
        assert_eq!(told(other, UEFI_PXE), "shimx64.efi", "a choice is one computer's");
    }
}
