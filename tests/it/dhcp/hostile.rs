//! What no client would send: the service goes on.

use std::net::SocketAddrV4;

use mimeo_server::boot::dhcp::settings::Mode;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    client::{Client, UEFI_PXE},
    net::{Net, US},
};

/// Datagrams of real firmware.
const SOUND: [&[u8]; 4] = [
    include_bytes!("../../fixtures/dhcp/ipxe-bios-discover.bin"),
    include_bytes!("../../fixtures/dhcp/ipxe-bios-request.bin"),
    include_bytes!("../../fixtures/dhcp/ovmf-pxe-discover.bin"),
    include_bytes!("../../fixtures/dhcp/ovmf-http-discover.bin"),
];

/// Datagrams of the burst: more than the kernel's buffer holds, so that some are lost too.
const BURST: usize = 20_000;

#[test]
fn a_burst_of_hostile_datagrams_leaves_the_service_working() {
    let net = Net::create("hostile");
    let service = net.serve(Mode::Pxe);
    let mut client = Client::open(&net.client, 1);
    client.discover(UEFI_PXE, &[US]);
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..BURST {
        let mut bytes = spoilt(&mut random);
        // Every other one from a card of its own: a flood of machines.
        if let Some(mac) = bytes.get_mut(30..34).filter(|_| number % 2 == 0) {
            mac.copy_from_slice(&(number as u32).to_be_bytes());
        }
        let port = if number % 3 == 0 { 4011 } else { 67 };
        client.send(&bytes, SocketAddrV4::new(US, port));
    }
    let offers = client.discover(UEFI_PXE, &[US]);
    assert!(offers.iter().any(|said| said.file == "snponly.efi" || said.file == "shimx64.efi"));
    service.stop();
}

/// A real datagram, somewhere spoilt. Half of the changes hit the options, where the parsing is.
fn spoilt(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = SOUND[random.random_range(0..SOUND.len())].to_vec();
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
