//! A volume group by its own description: its physical volumes, and the logical volumes on them.

use super::{
    damaged,
    label::{SECTOR, Uuid},
    text::{Scalar, Section},
    volume::{Context, Volume},
};
use crate::disk::used_blocks::UsedBlocksError;

/// The longest name that LVM gives (`lib/uuid/uuid.h`, `NAME_LEN`).
const NAME_BYTES_MAX: usize = 127;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    uuid: Vec<u8>,
    /// How often the group was changed.
    changes: u64,
    /// In bytes.
    pub(super) extent_bytes: u64,
    pub(super) physical: Vec<Physical>,
    pub(super) volumes: Vec<Volume>,
}

/// A physical volume as its group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Physical {
    pub(super) uuid: Uuid,
    /// Where its first extent begins, in bytes.
    pub(super) start_bytes: u64,
    pub(super) extents: u64,
    /// LVM once changed the group without it: what it holds is of before.
    pub(super) is_missing: bool,
}

impl Physical {
    /// Where its extents end; `None` beyond 2^64.
    pub(super) fn end_bytes(&self, extent_bytes: u64) -> Option<u64> {
        self.extents.checked_mul(extent_bytes)?.checked_add(self.start_bytes)
    }
}

impl Group {
    /// Reads the description that begins at `offset` of the physical volume. An exported group is one like any other:
    /// its copy is exported too.
    pub(super) fn parse(text: &[u8], offset: u64) -> Result<Self, UsedBlocksError> {
        let all = Section::parse(text)?;
        if all.text("contents") != Some(b"Text Format Volume Group") || all.number("version")? != 1 {
            return unknown("a description of another kind");
        }
        let mut sections = all.sections();
        let (Some((name, group)), None) = (sections.next(), sections.next()) else {
            return unknown("not one group in the description");
        };
        // Groups of LVM1 say "lvm1", where they have such a text at all.
        if group.text("format").is_some_and(|format| format != b"lvm2") {
            return unknown("a group of another format than lvm2");
        }
        let extent_bytes = group.number("extent_size")? * SECTOR as u64;
        if extent_bytes == 0 {
            return Err(damaged(offset, "the size of the group's extents", 1, 0));
        }
        let (names, physical) = physical_volumes(group)?;
        let too_long = |physical: &&Physical| physical.end_bytes(extent_bytes).is_none();
        if let Some(physical) = physical.iter().find(too_long) {
            return Err(damaged(offset, "the extents of a physical volume", 0, physical.extents));
        }
        let context = Context { extent_bytes, names: &names, physical: &physical, offset };
        let volumes = Volume::parse_all(group.section("logical_volumes"), &context)?;
        Ok(Self {
            name: name_of(name)?,
            uuid: group.text("id").unwrap_or_default().to_vec(),
            changes: group.number("seqno")?,
            extent_bytes,
            physical,
            volumes,
        })
    }
}

/// The physical volumes in the order of their names, and those names, by which segments mean them.
fn physical_volumes<'a>(group: &Section<'a>) -> Result<(Vec<&'a [u8]>, Vec<Physical>), UsedBlocksError> {
    let Some(list) = group.section("physical_volumes") else { return unknown("no physical volumes") };
    let volume = |(name, volume): (&'a [u8], &Section<'a>)| {
        let flags = [volume.list("status"), volume.list("flags")].concat();
        let physical = Physical {
            uuid: uuid_of(volume.text("id").unwrap_or_default())?,
            start_bytes: volume.number("pe_start")? * SECTOR as u64,
            extents: volume.number("pe_count")?,
            is_missing: flags.contains(&Scalar::Text(b"MISSING")),
        };
        Ok((name, physical))
    };
    let volumes: Vec<_> = list.sections().map(volume).collect::<Result<_, UsedBlocksError>>()?;
    Ok(volumes.into_iter().unzip())
}

fn uuid_of(text: &[u8]) -> Result<Uuid, UsedBlocksError> {
    let letters: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'-').collect();
    letters.try_into().or_else(|_| unknown("a physical volume without a UUID"))
}

/// A name as LVM lets people give it: nothing of it steers a terminal.
pub(super) fn name_of(bytes: &[u8]) -> Result<String, UsedBlocksError> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(byte);
    match str::from_utf8(bytes) {
        Ok(name) if bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(is_part) => Ok(name.to_owned()),
        _ => unknown("a name that LVM does not give"),
    }
}

pub(super) fn unknown<T>(what: &str) -> Result<T, UsedBlocksError> {
    Err(UsedBlocksError::Unsupported { what: format!("the volume group: {what}") })
}
