use mimeo_core::ids::MacAddr;
use proptest::prelude::{any, prop_assert, proptest};

use super::{Ask, Overheard, PacketError, Request};
use crate::boot::{
    dhcp::fuzz,
    firmware::{Architecture, Speaker},
};

const IPXE_DISCOVER: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ipxe-bios-discover.bin");
const IPXE_REQUEST: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ipxe-bios-request.bin");
const OVMF_PXE: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ovmf-pxe-discover.bin");
const OVMF_HTTP: &[u8] = include_bytes!("../../../../../tests/fixtures/dhcp/ovmf-http-discover.bin");

/// The start of a real DISCOVER, up to its magic cookie, and other options.
fn with_options(options: &[u8]) -> Vec<u8> {
    [&OVMF_PXE[..240], options].concat()
}

#[test]
fn real_firmware_is_understood() {
    let uuid = Some("00112233-4455-6677-8899-aabbccddeeff");
    let table = [
        (IPXE_DISCOVER, Ask::Discover, Speaker::Ipxe, Architecture::Bios, 1, 0),
        (IPXE_REQUEST, Ask::Request, Speaker::Ipxe, Architecture::Bios, 1, 0),
        (OVMF_PXE, Ask::Discover, Speaker::Pxe, Architecture::UefiX64, 2, 0x8000),
        (OVMF_HTTP, Ask::Discover, Speaker::Http, Architecture::UefiX64Http, 2, 0x8000),
    ];
    for (bytes, ask, speaker, architecture, card, flags) in table {
        let request = Request::parse(bytes).expect("a real request");
        let got = (request.ask, request.speaker, request.architecture, request.mac, request.flags);
        let mac = MacAddr([0x52, 0x54, 0, 0, 0, card]);
        assert_eq!(got, (ask, Some(speaker), architecture, mac, flags));
        assert_eq!(request.uuid.as_deref(), uuid, "{speaker:?}");
        assert_eq!(request.machine_id.map(|id| id.len()), Some(17));
    }
    let request = Request::parse(IPXE_REQUEST).expect("a real request");
    assert_eq!(request.wanted_address, Some([10, 0, 2, 15].into()));
    assert_eq!(request.server, Some([10, 0, 2, 2].into()));
    assert_eq!(request.client_id.as_deref(), Some([1, 0x52, 0x54, 0, 0, 0, 1].as_slice()));
}

#[test]
fn who_asks_follows_from_what_it_says() {
    let table: [(&[u8], Option<Speaker>); 7] = [
        (b"\x35\x01\x01", None),
        (b"\x35\x01\x01\x3c\x08MSFT 5.0", None),
        (b"\x35\x01\x01\x3c\x09PXEClient", Some(Speaker::Pxe)),
        (b"\x35\x01\x01\x3c\x0aHTTPClient", Some(Speaker::Http)),
        (b"\x35\x01\x01\x3c\x09PXEClient\x4d\x04iPXE", Some(Speaker::Ipxe)),
        (b"\x35\x01\x01\x3c\x09PXEClient\x4d\x05\x04iPXE", Some(Speaker::Ipxe)),
        (b"\x35\x01\x01\x3c\x09PXEClient\xaf\x03\x21\x01\x01", Some(Speaker::Ipxe)),
    ];
    for (options, expect) in table {
        assert_eq!(
            Request::parse(&with_options(options)).expect("well formed").speaker,
            expect,
            "{options:?}"
        );
    }
}

#[test]
fn no_reply_is_asked_for_to_everybody() {
    for (at, field) in [(12, "ciaddr"), (24, "giaddr")] {
        for address in [[255; 4], [224, 0, 0, 1], [127, 0, 0, 1]] {
            let mut bytes = with_options(&[53, 1, 1]);
            bytes[at..at + 4].copy_from_slice(&address);
            assert_eq!(Request::parse(&bytes), Err(PacketError::NoHost(address.into())), "{field}");
        }
    }
}

#[test]
fn the_architecture_is_the_first_of_the_list_that_is_known() {
    let table: [(&[u8], Architecture); 5] = [
        (&[], Architecture::Bios),
        (&[93, 2, 0, 9], Architecture::UefiX64),
        (&[93, 4, 0, 6, 0, 7], Architecture::UefiX64),
        (&[93, 2, 0, 6], Architecture::Other(6)),
        (&[93, 4, 0x12, 0x34, 0, 6], Architecture::Other(0x1234)),
    ];
    for (list, expect) in table {
        let bytes = with_options(&[&[53, 1, 1], list].concat());
        assert_eq!(Request::parse(&bytes).expect("well formed").architecture, expect, "{list:?}");
    }
}

#[test]
fn a_boot_file_name_in_an_overloaded_header_is_an_option() {
    // Option 52 = 1: the header's `file` holds options, here the vendor class.
    let mut bytes = with_options(&[53, 1, 1, 52, 1, 1, 255]);
    bytes[108..120].copy_from_slice(b"\x3c\x09PXEClient\xff");
    assert_eq!(Request::parse(&bytes).expect("well formed").speaker, Some(Speaker::Pxe));
}

#[test]
fn what_is_no_request_is_refused_by_name() {
    let changed = |at: usize, value: u8| {
        let mut bytes = OVMF_PXE.to_vec();
        bytes[at] = value;
        bytes
    };
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("239 bytes", OVMF_PXE[..239].to_vec()),
        ("5000 bytes", [OVMF_PXE, &vec![0; 5000 - OVMF_PXE.len()]].concat()),
        ("no DHCP magic cookie", changed(236, 0)),
        ("operation 2, expected 1", changed(0, 2)),
        ("type 6 and 6 bytes", changed(1, 6)),
        ("type 1 and 16 bytes", changed(2, 16)),
        ("type 1 and 255 bytes", changed(2, 255)),
        ("names no Ethernet card", changed(28, 0x53)),
        ("says 255 bytes", with_options(&[53, 1, 1, 60, 255])),
        ("option 53 of 2 bytes is malformed", with_options(&[53, 2, 1, 1])),
        ("option 54 of 3 bytes is malformed", with_options(&[53, 1, 3, 54, 3, 1, 2, 3])),
        ("option 50 of 0 bytes is malformed", with_options(&[53, 1, 3, 50, 0])),
        ("option 93 of 3 bytes is malformed", with_options(&[53, 1, 1, 93, 3, 0, 7, 0])),
        ("option 93 of 0 bytes is malformed", with_options(&[53, 1, 1, 93, 0])),
        ("message type 2", with_options(&[53, 1, 2])),
        ("message type 200", with_options(&[53, 1, 200])),
        ("no message type", with_options(&[60, 1, 1])),
    ];
    for (expect, bytes) in table {
        let error = Request::parse(&bytes).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error:?} lacks {expect:?}");
    }
}

#[test]
fn another_servers_offer_is_understood_and_its_names_are_harmless() {
    let mut bytes = with_options(&[53, 1, 2, 54, 4, 10, 0, 0, 2, 255]);
    bytes[0] = 2;
    bytes[16..20].copy_from_slice(&[10, 0, 0, 99]);
    bytes[20..24].copy_from_slice(&[10, 0, 0, 3]);
    bytes[108..236].fill(b'A');
    bytes[108..112].copy_from_slice(b"\x1b[2J");
    let heard = Overheard::parse(&bytes).expect("an offer");
    assert_eq!((heard.server, heard.address), ([10, 0, 0, 2].into(), Some([10, 0, 0, 99].into())));
    assert_eq!(heard.next_server, Some([10, 0, 0, 3].into()));
    let file = heard.boot_file.expect("a file without a NUL");
    assert!(file.starts_with("?[2JAAA") && file.len() == 128, "{file:?}");

    bytes[242] = 6;
    assert_eq!(Overheard::parse(&bytes), Err(PacketError::MessageType(6)), "a refusal tells nothing");
    let nobody = [&bytes[..240], &[53, 1, 2]].concat();
    assert_eq!(Overheard::parse(&nobody), Err(PacketError::NoServer));
}

proptest! {
    /// Real datagrams with bytes changed, cut short or made longer, through parsing and every mode's decisions.
    #[test]
    fn mutated_datagrams_are_answered_or_refused(
        seed in 0_usize..4,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..24),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        tail in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = [IPXE_DISCOVER, IPXE_REQUEST, OVMF_PXE, OVMF_HTTP][seed].to_vec();
        for (at, value) in changes {
            // Half of them among the options, where the parsing is.
            let at = if value & 1 == 0 { 236 + at.index(bytes.len() - 236) } else { at.index(bytes.len()) };
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        fuzz::dhcp(&bytes);
    }

    /// Well-formed lists of random options, which random bytes hardly ever are.
    #[test]
    fn any_well_formed_options_are_answered_or_refused(
        list in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
        kind in 1_u8..9,
    ) {
        let mut options = vec![53, 1, kind];
        for (code, value) in list {
            options.extend([code, value.len() as u8]);
            options.extend(value);
        }
        let bytes = with_options(&options);
        fuzz::dhcp(&bytes);
        prop_assert!(Request::parse(&bytes).is_ok_and(|request| request.mac.is_individual()) || Request::parse(&bytes).is_err());
    }
}
