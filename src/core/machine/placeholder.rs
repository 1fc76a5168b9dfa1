//! What manufacturers leave where a number should be: text that says nothing about which machine this is.

use std::collections::BTreeSet;

/// Placeholders as far as they were seen (FOG ADR 0039, the lists of fwupd and of GLPI's inventory), without
/// anything but letters and digits, lower case.
const PLACEHOLDERS: [&str; 38] = [
    "asset",
    "assettag",
    "board",
    "chassis",
    "default",
    "defaultstring",
    "empty",
    "eval",
    "iatpass",
    "invalid",
    "na",
    "nil",
    "noassetinformation",
    "noasset",
    "none",
    "nonum",
    "nosn",
    "not",
    "notapplicable",
    "notavailable",
    "notpresent",
    "notset",
    "notsettable",
    "notspecified",
    "null",
    "nullstring",
    "oem",
    "oemserial",
    "serial",
    "sernum",
    "sn",
    "standard",
    "system",
    "tba",
    "tbd",
    "undefined",
    "unknow",
    "unknown",
];

/// How placeholders begin that go on in several ways ("To be filled by O.E.M."), and what some of them contain
/// ("System Serial Number", cut off to "SystemSerialNumb").
const PLACEHOLDER_START: &str = "tobefilled";
const PLACEHOLDER_PART: &str = "serialnum";

/// UUIDs that thousands of boards share, in either byte order (DSP0134 section 7.2.1).
const SHARED_UUIDS: [&str; 6] = [
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "78563412-3412-7856-90ab-cddeefaabbcc",
    "6ab5b300-538d-1014-9fb5-b0684d007b53",
    "00b3b56a-8d53-1410-9fb5-b0684d007b53",
];

/// A UUID with fewer different bytes than this was typed, not drawn: one in 10^19 of those drawn has.
const UUID_DIFFERENT_BYTES_MIN: usize = 4;

/// Digits that count up make a placeholder from this many on; behind letters ("SN-12345678") they need more, because
/// schools number their machines.
const COUNTING_MIN: usize = 4;
const COUNTING_BEHIND_LETTERS_MIN: usize = 8;

/// Whether the text, in lower case and trimmed, tells no machine from another.
pub(super) fn is_placeholder(value: &str) -> bool {
    let letters: String = value.chars().filter(|c| c.is_alphanumeric()).collect();
    let Some(first) = letters.chars().next() else { return true };
    letters.chars().all(|c| c == first)
        || PLACEHOLDERS.contains(&letters.as_str())
        || letters.starts_with(PLACEHOLDER_START)
        || letters.contains(PLACEHOLDER_PART)
        || counts(&letters)
        || is_shared_uuid(value)
}

/// Whether the digits, or those at the end behind letters, go up or down one by one: `0123456789`, `sn12345678`.
fn counts(letters: &str) -> bool {
    let digits = letters.trim_start_matches(|c: char| !c.is_ascii_digit());
    let needed = if digits.len() == letters.len() { COUNTING_MIN } else { COUNTING_BEHIND_LETTERS_MIN };
    let steps = |step: u8| {
        let follows = |pair: &[u8]| (pair[0] + step - b'0') % 10 == pair[1].wrapping_sub(b'0');
        digits.as_bytes().windows(2).all(follows)
    };
    digits.len() >= needed && digits.bytes().all(|c| c.is_ascii_digit()) && (steps(1) || steps(9))
}

fn is_shared_uuid(value: &str) -> bool {
    let fields: Vec<&str> = value.split('-').collect();
    if fields.iter().map(|field| field.len()).ne([8, 4, 4, 4, 12]) {
        return false;
    }
    let digits = fields.concat();
    let different: BTreeSet<&[u8]> = digits.as_bytes().chunks(2).collect();
    different.len() < UUID_DIFFERENT_BYTES_MIN || SHARED_UUIDS.contains(&value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::is_placeholder;

    #[test]
    fn what_nobody_filled_in_is_a_placeholder() {
        for junk in [
            "",
            "0",
            "00000000",
            "xxxxxxx",
            "........",
            "n/a",
            "na",
            "(null string)",
            "none",
            "o.e.m.",
            "oem_serial",
            "default string",
            "system serial number",
            "systemserialnumb",
            "type2 - board serial number",
            "to be filled by o.e.m.",
            "to be filled by o.e.m. by more",
            "not specified",
            "12345",
            "123456789",
            "1234567890",
            "0123456789",
            "9876543210",
            "123456789012",
            "sn-1234567890",
            "mb-1234567890",
            "sys-9876543210",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "00000000-0000-0000-0000-000000000000",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "02000000-0000-0000-0000-000000000000",
            "fefefefe-fefe-fefe-fefe-fefefefefefe",
        ] {
            assert!(is_placeholder(junk), "{junk:?}");
        }
    }

    #[test]
    fn what_tells_a_machine_is_none() {
        for real in [
            "12",
            "pf3abc12",
            "5cg1234567",
            "pc12345",
            "mxl9120k7x",
            "1s20l5s00000pf12ab34",
            "vmware-56 4d 12",
            "4c4c4544-0044-3510-8052-b4c04f564432",
            "00000000-0000-0000-0000-d05099c0ffee",
            "4078152301",
        ] {
            assert!(!is_placeholder(real), "{real:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_looked_at(text in any::<String>()) {
            let _either = is_placeholder(&text.to_lowercase());
        }

        #[test]
        fn a_uuid_that_was_drawn_is_no_placeholder(bytes in any::<[u8; 16]>()) {
            let hex = hex::encode(bytes);
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            let different = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
            assert_eq!(is_placeholder(&parts.join("-")), different < 4);
        }
    }
}
