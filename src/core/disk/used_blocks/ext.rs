//! ext

use super::{UsedBlocksError, UsedMap};
use crate::disk::ReadAt;

pub fn map(_volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    Err(UsedBlocksError::Unsupported { what: "ext".into() })
}
