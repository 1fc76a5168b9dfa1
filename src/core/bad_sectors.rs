//! How many sectors of a source a capture may fail to read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::manifest::UNREAD_MAX;

/// The number of unreadable sectors that a capture bears: 0 to [`UNREAD_MAX`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct BadSectorLimit(u32);

impl BadSectorLimit {
    /// Every sector that is in use has to be read.
    pub const NONE: Self = Self(0);

    pub fn new(sectors: u32) -> Result<Self, BadLimit> {
        if u64::from(sectors) <= UNREAD_MAX { Ok(Self(sectors)) } else { Err(BadLimit) }
    }

    pub fn sectors(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<u32> for BadSectorLimit {
    type Error = BadLimit;

    fn try_from(sectors: u32) -> Result<Self, BadLimit> {
        Self::new(sectors)
    }
}

impl From<BadSectorLimit> for u32 {
    fn from(limit: BadSectorLimit) -> u32 {
        limit.0
    }
}

/// As a person types it.
impl FromStr for BadSectorLimit {
    type Err = BadLimit;

    fn from_str(typed: &str) -> Result<Self, BadLimit> {
        typed.parse().map_err(|_| BadLimit).and_then(Self::new)
    }
}

impl fmt::Display for BadSectorLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// No number of sectors that a capture would bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a number of sectors from 0 to {UNREAD_MAX}: a disk with more that cannot be read is no source"
)]
pub struct BadLimit;

#[cfg(test)]
mod tests {
    use serde::{
        Deserialize,
        de::{IntoDeserializer, value},
    };

    use super::{BadLimit, BadSectorLimit};

    fn read(sectors: u32) -> Result<BadSectorLimit, value::Error> {
        BadSectorLimit::deserialize(sectors.into_deserializer())
    }

    #[test]
    fn a_limit_is_a_number_up_to_what_a_manifest_names() {
        for typed in ["0", "1", "4096"] {
            let limit: BadSectorLimit = typed.parse().expect(typed);
            assert_eq!(limit.to_string(), typed);
            assert_eq!(read(u32::from(limit)), Ok(limit));
        }
        for typed in ["4097", "-1", "", "many", "4294967296"] {
            assert_eq!(typed.parse::<BadSectorLimit>(), Err(BadLimit), "{typed}");
        }
        assert!(read(4097).is_err() && read(u32::MAX).is_err());
        assert_eq!(BadSectorLimit::default(), BadSectorLimit::NONE);
    }
}
