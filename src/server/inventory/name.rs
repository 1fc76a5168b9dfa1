//! The names under which people know computers.

use std::{fmt, str::FromStr};

use mimeo_core::{ids::MacAddr, machine::MachineReport};

/// Longest name: a DNS label (RFC 1035 section 2.3.1).
const NAME_CHARS_MAX: usize = 63;

/// A computer's name: a DNS label of letters, digits and inner hyphens, not made of digits alone, because the
/// command line takes a name or an id in the same place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputerName(String);

/// Text that cannot name a computer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a computer name of 1 to {NAME_CHARS_MAX} letters, digits and inner hyphens that is no number, found {found:?}"
)]
pub struct BadComputerName {
    found: String,
}

impl ComputerName {
    /// The name that a computer gets when it is first seen: its serial number where that can be a name, else
    /// `pc-` and the end of the address of the card that booted it.
    pub fn suggest(report: &MachineReport, booted: MacAddr) -> Self {
        let facts = report.identity.facts();
        let serial = facts.system_serial.or(facts.chassis_serial).or(facts.board_serial);
        let serial =
            serial.and_then(|serial| serial.parse().or_else(|_| format!("pc-{serial}").parse()).ok());
        serial.unwrap_or_else(|| {
            let [.., a, b, c] = booted.0;
            Self(format!("pc-{a:02x}{b:02x}{c:02x}"))
        })
    }

    /// The name with a number behind it, for the second computer that would have been called so.
    pub fn numbered(&self, number: u32) -> Self {
        let ending = format!("-{number}");
        let kept = self.0.len().min(NAME_CHARS_MAX - ending.len());
        Self(format!("{}{ending}", self.0[..kept].trim_end_matches('-')))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ComputerName {
    type Err = BadComputerName;

    fn from_str(text: &str) -> Result<Self, BadComputerName> {
        let label = (1..=NAME_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if label && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadComputerName { found: text.chars().take(NAME_CHARS_MAX + 1).collect() })
        }
    }
}

impl fmt::Display for ComputerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;
    use proptest::prelude::proptest;

    use super::{ComputerName, NAME_CHARS_MAX};
    use crate::inventory::computer::tests::report;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0xab, 0xcd, 0xef]);

    #[test]
    fn names_are_labels_that_are_no_numbers() {
        for good in ["a", "salle-12-pc-3", "PF3ABC12", "7a", &"x".repeat(63)] {
            assert!(good.parse::<ComputerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "é", "12", "a.b", "../x", &"x".repeat(64)] {
            assert!(bad.parse::<ComputerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_serial_makes_the_name_and_the_address_stands_in_for_it() {
        let check = |serial: Option<&str>, expect: &str| {
            let mut report = report(None, &[MAC]);
            report.identity.system_serial = serial.map(str::to_owned);
            assert_eq!(ComputerName::suggest(&report, MAC).as_str(), expect, "{serial:?}");
        };
        check(Some("PF3ABC12"), "pf3abc12");
        check(Some("40781523"), "pc-40781523");
        check(Some("To be filled by O.E.M."), "pc-abcdef");
        check(Some("VMware-56 4d/x"), "pc-abcdef");
        check(None, "pc-abcdef");
    }

    proptest! {
        #[test]
        fn a_numbered_name_is_a_name(text in "[a-z][a-z0-9-]{0,61}[a-z0-9]", number: u32) {
            let name = text.parse::<ComputerName>().expect("a label").numbered(number);
            assert!(name.as_str().len() <= NAME_CHARS_MAX);
            assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }
}
