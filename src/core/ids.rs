//! Names of things: row ids, hardware addresses, firmware identities, secrets that travel.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Text that is no valid id. Carries what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ParseIdError {
    pub expected: &'static str,
    pub found: String,
}

impl ParseIdError {
    fn new(expected: &'static str, found: &str) -> Self {
        // A hostile peer chooses this text, so what an error repeats of it is bounded.
        Self { expected, found: found.chars().take(64).collect() }
    }
}

/// Defines a database row id: a positive integer that is never confused with another table's.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.parse() {
                    Ok(id) if id > 0 => Ok(Self(id)),
                    _ => Err(ParseIdError::new("a positive number", text)),
                }
            }
        }
    };
}

row_id! {
    /// A computer: an inventoried machine.
    ComputerId
}
row_id! {
    /// A master: a line of versions under one name.
    MasterId
}
row_id! {
    /// One capture or deploy of one computer.
    SessionId
}
row_id! {
    /// One boot of a computer into the client: from its first word to its next boot.
    BootId
}

/// Which version of a master, counted from 1. A version never changes once it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionNumber(pub u32);

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ethernet hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether the address can name one network card: neither a group address nor all zeros.
    pub fn is_individual(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseIdError;

    /// Reads six pairs of hexadecimal digits, apart by `:` or `-` (iPXE and Windows write the latter).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new("a hardware address such as 52:54:00:12:34:56", text);
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs.next().ok_or_else(error)?;
            hex::decode_to_slice(pair, std::slice::from_mut(byte)).map_err(|_| error())?;
        }
        if pairs.next().is_some() { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A secret that its bearer shows to prove what it was given: 32 random bytes, written as hexadecimal.
///
/// A boot script carries one as the boot token; the server answers it once with another, the credential of
/// that boot. Only hashes of them are stored. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps bytes that a cryptographic random generator made.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What a server keeps of a secret: its BLAKE3 hash. The secret has 256 random bits, so a plain hash
    /// cannot be searched.
    pub fn fingerprint(&self) -> [u8; 32] {
        blake3::hash(&self.0).into()
    }

    /// The text that travels in a boot script or an `Authorization` header.
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError {
            expected: "64 hexadecimal digits",
            found: "a secret of another form".into(),
        })?;
        Ok(Self(bytes))
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{ComputerId, MacAddr, Secret};

    #[test]
    fn hardware_addresses_read_both_spellings_and_refuse_the_rest() {
        let mac = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0xab]);
        assert_eq!("52:54:00:12:34:ab".parse(), Ok(mac));
        assert_eq!("52-54-00-12-34-AB".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "52:54:00:12:34:ab");
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:ab:cd",
            "52:54:00:12:34:zz",
            "5:54:00:12:34:ab0",
            "+5:54:00:12:34:ab",
        ] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
        assert!(!MacAddr([0x01, 0, 0x5e, 0, 0, 1]).is_individual());
        assert!(!MacAddr([0; 6]).is_individual());
    }

    #[test]
    fn row_ids_are_positive() {
        assert_eq!("7".parse(), Ok(ComputerId(7)));
        for bad in ["0", "-1", "seven", ""] {
            assert!(bad.parse::<ComputerId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_never_show_in_debug_output_nor_in_errors() {
        let secret = Secret::from_random([7; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.reveal().parse(), Ok(secret));
        let error = "0707".parse::<Secret>().expect_err("too short");
        assert!(!error.to_string().contains("0707"));
    }
}
