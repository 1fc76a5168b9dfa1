//! The options inside option 43, as PXE and iPXE define them (PXE 2.1 section 2.1.1, iPXE's option 175 alike).

/// PXE discovery control: one byte of bits.
const DISCOVERY_CONTROL: u8 = 6;
/// Bit 3: "only use the boot file of this offer", without a menu, a prompt or a search for boot servers.
const USE_BOOT_FILE: u8 = 8;
/// PXE boot item: type and layer, four bytes. A boot server's answer repeats what was asked for.
pub(super) const BOOT_ITEM: u8 = 71;
/// iPXE: do not wait for ProxyDHCP, this answer is all there is.
const IPXE_NO_PROXY: u8 = 176;
const PAD: u8 = 0;
const END: u8 = 255;

/// Option 43 of an answer that stands by itself: `06 01 08 ff`, and the boot item that was asked for.
///
/// EDK2 ranks an offer with an address and this above all others, so that it beats a foreign server's.
pub(super) fn discovery_control(boot_item: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![DISCOVERY_CONTROL, 1, USE_BOOT_FILE];
    if let Some(item) = boot_item {
        bytes.extend([BOOT_ITEM, 4]);
        bytes.extend(item);
    }
    bytes.push(END);
    bytes
}

/// Option 175 that spares iPXE the second in which it waits for a ProxyDHCP server.
pub(super) fn ipxe_no_proxy() -> Vec<u8> {
    vec![IPXE_NO_PROXY, 1, 1]
}

/// The first sub-option of that code, as far as the list is well formed: ROMs put other things into option 43 too,
/// and nothing here is worth refusing a machine for.
pub(super) fn find(mut bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match bytes {
            [PAD, rest @ ..] => bytes = rest,
            [] | [END, ..] | [_] => return None,
            [code, length, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{BOOT_ITEM, DISCOVERY_CONTROL, discovery_control, find};

    #[test]
    fn discovery_control_is_what_edk2_was_seen_to_prefer() {
        assert_eq!(discovery_control(None), [6, 1, 8, 255]);
        let with_item = discovery_control(Some([0, 1, 0, 0]));
        assert_eq!(find(&with_item, BOOT_ITEM), Some([0, 1, 0, 0].as_slice()));
        assert_eq!(find(&with_item, DISCOVERY_CONTROL), Some([8].as_slice()));
    }

    #[test]
    fn nothing_is_found_past_the_end_or_past_a_broken_option() {
        assert_eq!(find(&[255, 71, 1, 1], 71), None);
        assert_eq!(find(&[6, 9, 8, 71, 1, 1], 71), None);
        assert_eq!(find(&[0, 0, 71, 1, 5], 71), Some([5].as_slice()));
    }

    proptest! {
        #[test]
        fn any_bytes_may_be_searched(bytes in proptest::collection::vec(any::<u8>(), 0..300), wanted: u8) {
            if let Some(value) = find(&bytes, wanted) {
                assert!(value.len() < bytes.len());
            }
        }
    }
}
