//! Logical volumes inside a region that a deploy should warn of.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

use crate::disk::{filesystem::FileSystem, used_blocks::lvm::VOLUMES_MAX};

/// The longest name: those of a group and of a volume in it have at most 127 bytes each (LVM2, `lib/uuid/uuid.h`,
/// `NAME_LEN`).
const NAME_BYTES_MAX: usize = 255;

/// A logical volume that is carried byte by byte as what was found in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpaqueVolume {
    pub volume: VolumeName,
    pub found: FileSystem,
}

/// A logical volume's name, `group/volume`, as LVM lets people give it: nothing of it steers a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VolumeName {
    type Error = BadVolumeName;

    fn try_from(name: String) -> Result<Self, BadVolumeName> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-/".contains(&byte);
        match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part) {
            true => Ok(Self(name)),
            false => Err(BadVolumeName { bytes: name.len() }),
        }
    }
}

impl From<VolumeName> for String {
    fn from(VolumeName(name): VolumeName) -> Self {
        name
    }
}

/// A name that LVM gives to no volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are no name of a logical volume")]
pub struct BadVolumeName {
    bytes: usize,
}

/// Reads no more volumes than a capture looks into: a few bytes of a manifest must not become much memory.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<OpaqueVolume>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<OpaqueVolume>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {VOLUMES_MAX} logical volumes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut volumes = Vec::new();
            while let Some(volume) = list.next_element()? {
                if volumes.len() == VOLUMES_MAX {
                    return Err(A::Error::invalid_length(VOLUMES_MAX + 1, &self));
                }
                volumes.push(volume);
            }
            Ok(volumes)
        }
    }
    source.deserialize_seq(Few)
}
