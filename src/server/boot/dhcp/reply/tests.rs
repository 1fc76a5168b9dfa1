use std::{net::Ipv4Addr, time::Duration};

use mimeo_core::wire::dhcp_options::Options;

use crate::boot::{
    dhcp::{
        packet::Request,
        reply::{Answer, Reply},
        settings::Settings,
    },
    firmware::BootFile,
};

const IPXE: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ipxe-bios-discover.bin");
const OVMF_PXE: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ovmf-pxe-discover.bin");
const OVMF_HTTP: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ovmf-http-discover.bin");

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const LEASE: Duration = Duration::from_secs(300);

fn settings() -> Settings {
    Settings {
        router: Some([10, 0, 0, 254].into()),
        dns: vec![[9, 9, 9, 9].into(), [1, 1, 1, 1].into()],
        domain: Some("school.example".into()),
        ..Settings::proxy("eth0", US, 24)
    }
}

fn emit(request: &[u8], answer: Answer, boot: Option<BootFile>) -> (Vec<u8>, Options) {
    let request = Request::parse(request).expect("a real request");
    let bytes = Reply { answer, boot }.emit(&request, &settings()).expect("fits");
    let (options, _) = Options::parse(&bytes[240..], &[], &[]).expect("well formed");
    (bytes, options)
}

#[test]
fn an_offer_with_an_address_is_the_one_that_edk2_prefers() {
    let offer = Answer::Offer { address: ADDRESS, lease: LEASE };
    let (bytes, options) = emit(OVMF_PXE, offer, Some(BootFile::Tftp("shimx64.efi")));
    assert_eq!(bytes[0], 2, "a reply");
    assert_eq!(bytes[4..8], OVMF_PXE[4..8], "transaction");
    assert_eq!(bytes[16..20], ADDRESS.octets(), "yiaddr");
    assert_eq!(bytes[20..24], US.octets(), "siaddr, from which GRUB loads");
    assert_eq!(bytes[28..34], [0x52, 0x54, 0, 0, 0, 2], "chaddr");
    assert!(bytes[108..].starts_with(b"shimx64.efi\0"), "file");
    let table: [(u8, &[u8]); 14] = [
        (53, &[2]),
        (54, &[10, 0, 0, 1]),
        (51, &[0, 0, 1, 44]),
        (58, &[0, 0, 0, 150]),
        (59, &[0, 0, 1, 7]),
        (1, &[255, 255, 255, 0]),
        (3, &[10, 0, 0, 254]),
        (6, &[9, 9, 9, 9, 1, 1, 1, 1]),
        (15, b"school.example"),
        (28, &[10, 0, 0, 255]),
        (60, b"PXEClient"),
        (67, b"shimx64.efi"),
        (43, &[6, 1, 8, 255]),
        (
            97,
            &[0, 0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff],
        ),
    ];
    for (code, value) in table {
        assert_eq!(options.get(code), Some(value), "option {code}");
    }
}

#[test]
fn a_proxy_offer_says_what_to_boot_and_nothing_of_addresses() {
    let (bytes, options) = emit(OVMF_PXE, Answer::ProxyOffer, Some(BootFile::Tftp("snponly.efi")));
    assert_eq!(bytes.len(), 300, "padded for old ROMs");
    assert_eq!(bytes[16..20], [0; 4], "yiaddr");
    for code in [1, 3, 6, 15, 28, 51, 58, 59, 43] {
        assert_eq!(options.get(code), None, "option {code}");
    }
    assert_eq!(options.get(67), Some(b"snponly.efi".as_slice()));
}

#[test]
fn each_speaker_is_told_in_its_own_words() {
    let url = || Some(BootFile::Url("http://10.0.0.1/x".into()));
    let (_, ipxe) = emit(IPXE, Answer::ProxyOffer, url());
    assert_eq!((ipxe.get(60), ipxe.get(175)), (Some(b"PXEClient".as_slice()), None));
    let (_, ipxe) = emit(IPXE, Answer::Offer { address: ADDRESS, lease: LEASE }, url());
    assert_eq!(ipxe.get(175), Some([176, 1, 1].as_slice()), "no other offer to wait for");
    let (_, http) = emit(OVMF_HTTP, Answer::ProxyOffer, url());
    assert_eq!((http.get(60), http.get(43)), (Some(b"HTTPClient".as_slice()), None));
    assert_eq!(http.get(67), Some(b"http://10.0.0.1/x".as_slice()));
    // A BIOS ROM, as which the same datagram counts without what only iPXE says.
    let rom: Vec<u8> = [&IPXE[..240], b"\x35\x01\x01\x3c\x09PXEClient".as_slice()].concat();
    let (_, bios) = emit(&rom, Answer::ProxyOffer, Some(BootFile::Tftp("undionly.kpxe")));
    assert_eq!(bios.get(43), Some([6, 1, 8, 255].as_slice()), "without it a ROM looks for boot servers");
}

#[test]
fn the_relay_agents_and_the_clients_own_options_come_back_as_they_were() {
    let relayed = [
        &OVMF_PXE[..240],
        b"\x35\x01\x03\x3c\x09PXEClient\x3d\x02\x00x\x52\x04\x01\x02ab\x2b\x06\x47\x04\0\x01\0\0",
    ];
    let mut request = relayed.concat();
    request[24..28].copy_from_slice(&[10, 0, 9, 1]);
    let (bytes, options) = emit(&request, Answer::ProxyAck, Some(BootFile::Tftp("shimx64.efi")));
    assert_eq!(bytes[24..28], [10, 0, 9, 1], "giaddr");
    assert_eq!(options.get(61), Some(b"\0x".as_slice()));
    assert_eq!(options.get(82), Some(b"\x01\x02ab".as_slice()));
    assert_eq!(
        options.get(43),
        Some([6, 1, 8, 71, 4, 0, 1, 0, 0, 255].as_slice()),
        "the boot item asked for"
    );
    let codes = bytes[240..].windows(6).position(|part| part == b"\x52\x04\x01\x02ab").expect("option 82");
    assert_eq!(bytes[240 + codes + 6], 255, "RFC 3046 section 2.1: option 82 is the last");
}

#[test]
fn a_refusal_carries_no_configuration() {
    let (bytes, options) = emit(OVMF_PXE, Answer::Refusal, None);
    assert_eq!(options.get(53), Some([6].as_slice()));
    assert_eq!((&bytes[16..24], options.get(67), options.get(1)), ([0; 8].as_slice(), None, None));
}

#[test]
fn the_longest_reply_of_ours_fits_the_least_a_client_must_take() {
    let settings = Settings {
        http_port: 65_535,
        domain: Some(format!("{}.a", "b".repeat(62))),
        dns: vec![US; 4],
        ..settings()
    };
    let request = Request::parse(IPXE).expect("a real request");
    let boot = Some(BootFile::Url(settings.http().uefi_image(request.mac)));
    let answer = Answer::Offer { address: ADDRESS, lease: LEASE };
    let bytes = Reply { answer, boot }.emit(&request, &settings).expect("fits");
    // RFC 2131 section 2: 576 bytes of IP datagram, of which 28 are headers.
    assert!(bytes.len() <= 548, "{} bytes", bytes.len());
}
