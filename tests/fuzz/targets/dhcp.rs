//! A datagram on the DHCP ports, through parsing, every mode's decisions and the replies.

use mimeo_server::boot::dhcp;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "dhcp",
    whose: "anybody on the network, ports 67, 68 and 4011",
    check: dhcp::fuzz,
    seeds,
    words: &[
        b"\x63\x82\x53\x63",
        b"PXEClient:Arch:00007:UNDI:003016",
        b"HTTPClient:Arch:00016",
        b"iPXE",
        b"\x34\x01\x03",
        b"\x35\x01\x01",
        b"\x35\x01\x03",
        b"\x35\x01\x05",
        b"\x35\x01\x08",
        b"\x36\x04\x0a\x00\x00\x01",
        b"\x3d\x07\x01",
        b"\x52\x04\x01\x02",
        b"\x5d\x02\x00\x07",
        b"\x61\x11\x00",
        b"\x2b\x06\x47\x04",
        b"\xaf\x03\xb0\x01\x01",
    ],
    input_bytes_max: 1500,
    memory_bytes_max: 8 << 20,
};

/// What real firmware sent, and a server's offer to one of them.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        include_bytes!("../../fixtures/dhcp/ipxe-bios-discover.bin").as_slice(),
        include_bytes!("../../fixtures/dhcp/ipxe-bios-request.bin"),
        include_bytes!("../../fixtures/dhcp/ovmf-pxe-discover.bin"),
        include_bytes!("../../fixtures/dhcp/ovmf-http-discover.bin"),
    ]
    .map(<[u8]>::to_vec)
    .into();
    let mut offer = seeds[0][..240].to_vec();
    offer[0] = 2;
    offer[16..24].copy_from_slice(&[10, 0, 0, 77, 10, 0, 0, 9]);
    offer[108..122].copy_from_slice(b"undionly.kpxe\0");
    offer.extend_from_slice(b"\x35\x01\x02\x36\x04\x0a\x00\x00\x09\x43\x08boot.efi\xff");
    seeds.push(offer);
    seeds
}
