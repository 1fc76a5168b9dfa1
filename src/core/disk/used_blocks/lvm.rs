//! LVM2: the metadata of a volume group says which extents of a physical volume belong to which logical volume, and
//! each of those is mapped by the file system in it.
//!
//! ```text
//! physical volume   label · metadata area (a ring of texts) · extents … · perhaps another metadata area
//! ```
//!
//! A logical volume of linear or striped segments on one physical volume is read through a view, and what its file
//! system uses is translated back. Everything else is carried byte by byte: what no file system is known of, what is
//! made of other volumes or is part of one (thin pools, snapshots and their origins, RAID, mirrors, caches, VDO), what
//! has segments on several physical volumes, and a physical volume in a logical one. Extents of no volume are free.
//! What of the former is encrypted, or a member of a RAID, is told beside the map: nothing else of a copy shows it.
//!
//! Whatever is in use by the metadata is carried as it is: a copy has the same UUIDs. LVM1 has another label and is
//! unknown here, and so is carried byte by byte.
//!
//! Sources: LVM2 2.03.16, `lib/format_text/layout.h`, `lib/label/label.c`, and what its tools write.

mod area;
mod group;
mod inside;
mod label;
mod pieces;
mod text;
mod view;
mod volume;

use area::Said;
use group::{Group, Physical};
use inside::Inside;
use label::Label;
use pieces::Pieces;
use view::View;
use volume::{Area, Volume};

use super::{UsedBlocksError, UsedMap};
use crate::{
    disk::{
        ReadAt,
        filesystem::{self, FileSystem},
    },
    units::Extent,
};

/// What is in use on a physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    pub used: UsedMap,
    /// Which of the logical volumes that begin here are carried byte by byte as what they are: encrypted, or a member
    /// of a RAID. In the order of their names, which are `group/volume`.
    pub opaque: Vec<(String, FileSystem)>,
}

/// What every checksum of LVM begins with (`lib/misc/crc.h`, `INITIAL_CRC`).
const CRC_SEED: u32 = 0xF597_A6CF;
/// What is carried for the label, whichever of the first four sectors it is in.
const HEAD_BYTES: u64 = 4096;
/// Most logical volumes that are looked into. The others are carried byte by byte, which no one will see: a thousand
/// volumes on one disk are somebody's test of this program.
pub const VOLUMES_MAX: usize = 1024;

/// A physical volume, by its label and its own metadata areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalVolume {
    label: Label,
    metadata: Metadata,
}

/// What the metadata areas of one physical volume say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Metadata {
    /// Nothing: there are none, or they are not in use. A group has its description elsewhere.
    Silent,
    /// That no group has the volume.
    NoGroup,
    Group(Box<Group>),
    /// More than is understood here, for this reason.
    NotUnderstood(String),
}

impl PhysicalVolume {
    /// Reads who a physical volume is. All of its metadata areas must be whole, and say the same.
    pub fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let label = Label::read(volume)?;
        // Making a file system over a physical volume can leave its label.
        if filesystem::shows_file_system(volume)? {
            let metadata =
                Metadata::NotUnderstood("the start of a file system stands beside the label".into());
            return Ok(Self { label, metadata });
        }
        let mut metadata = Metadata::Silent;
        for &place in &label.metadata {
            let said = match area::read(volume, place) {
                Ok(Said::Nothing) => continue,
                Ok(Said::NoGroup) => Ok(Metadata::NoGroup),
                Ok(Said::Group { text, offset }) => {
                    Group::parse(&text, offset).map(|group| Metadata::Group(Box::new(group)))
                }
                Err(error) => Err(error),
            };
            let said = match said {
                Ok(said) => said,
                Err(UsedBlocksError::Unsupported { what }) => Metadata::NotUnderstood(what),
                Err(error) => return Err(error),
            };
            if metadata != Metadata::Silent && metadata != said {
                let what = "metadata areas of one content";
                return Err(damaged(place.start_bytes, what, label.metadata.len() as u64, 1));
            }
            metadata = said;
        }
        Ok(Self { label, metadata })
    }

    /// The group that has this volume, by any of the physical volumes that are there; `None` where none has it.
    fn group<'a>(&self, present: &'a [Self]) -> Result<Option<&'a Group>, UsedBlocksError> {
        let at = self.label.offset;
        let twins = present.iter().filter(|other| other.label.uuid == self.label.uuid).count();
        if twins > 1 {
            return Err(damaged(at, "the physical volumes of this UUID on the disk", 1, twins as u64));
        }
        if let Some(what) = present.iter().find_map(PhysicalVolume::not_understood) {
            return Err(UsedBlocksError::Unsupported { what: what.to_owned() });
        }
        let mut found: Option<&Group> = None;
        for group in present.iter().filter_map(PhysicalVolume::own_group) {
            if !group.physical.iter().any(|physical| physical.uuid == self.label.uuid) {
                continue;
            }
            if found.is_some_and(|found| found != group) {
                return Err(damaged(at, "descriptions of the group that differ", 0, 1));
            }
            found = Some(group);
        }
        match (&self.metadata, found) {
            (Metadata::Group(own), None) => {
                Err(damaged(at, "this UUID in the group's own description", 1, own.physical.len() as u64))
            }
            (Metadata::NoGroup, Some(_)) => Err(damaged(at, "metadata areas that name the group", 1, 0)),
            (Metadata::Silent, None) if self.label.in_use != Some(false) => elsewhere(None),
            (Metadata::NoGroup, None) if self.label.in_use == Some(true) => elsewhere(None),
            (_, found) => Ok(found),
        }
    }

    fn own_group(&self) -> Option<&Group> {
        match &self.metadata {
            Metadata::Group(group) => Some(group),
            _ => None,
        }
    }

    fn not_understood(&self) -> Option<&str> {
        match &self.metadata {
            Metadata::NotUnderstood(what) => Some(what),
            _ => None,
        }
    }

    /// What LVM itself uses: the label, and the areas beside the extents.
    fn own_places(&self) -> impl Iterator<Item = Extent> {
        let head = Extent { start_bytes: 0, length_bytes: HEAD_BYTES };
        [head].into_iter().chain(self.label.metadata.iter().chain(&self.label.boot).copied())
    }
}

/// Maps the physical volume `own`. `present` are all that are on the disk, itself among them: a group of which one is
/// missing is refused.
pub fn map(
    volume: &dyn ReadAt,
    own: &PhysicalVolume,
    present: &[PhysicalVolume],
) -> Result<Mapped, UsedBlocksError> {
    let mut pieces = Pieces::new(volume.length_bytes());
    let mut opaque = Vec::new();
    own.own_places().for_each(|place| pieces.add_used(place));
    if let Some(group) = own.group(present)? {
        check_complete(group, present)?;
        opaque = Member::new(volume, own, group)?.add_volumes(&mut pieces)?;
    }
    let used = UsedMap { end_bytes: own.label.device_bytes, ..pieces.finish() };
    Ok(Mapped { used: used.with_rest(volume.length_bytes()), opaque })
}

/// Every physical volume of the group is there, and none was away while the group was changed.
fn check_complete(group: &Group, present: &[PhysicalVolume]) -> Result<(), UsedBlocksError> {
    let is_there = |physical: &Physical| present.iter().any(|there| there.label.uuid == physical.uuid);
    match group.physical.iter().all(|physical| is_there(physical) && !physical.is_missing) {
        true => Ok(()),
        false => elsewhere(Some(group.name.clone())),
    }
}

fn elsewhere<T>(group: Option<String>) -> Result<T, UsedBlocksError> {
    Err(UsedBlocksError::GroupElsewhere { group })
}

/// A physical volume of a group.
struct Member<'a> {
    volume: &'a dyn ReadAt,
    group: &'a Group,
    /// Its place in the group's list.
    number: usize,
    start_bytes: u64,
}

impl<'a> Member<'a> {
    fn new(volume: &'a dyn ReadAt, own: &PhysicalVolume, group: &'a Group) -> Result<Self, UsedBlocksError> {
        let at = own.label.offset;
        let is_own = |physical: &Physical| physical.uuid == own.label.uuid;
        let number = group.physical.iter().position(is_own).unwrap_or_default();
        let physical = &group.physical[number];
        let end = physical.end_bytes(group.extent_bytes).unwrap_or(u64::MAX);
        if end > volume.length_bytes() {
            return Err(damaged(at, "the end of the physical volume", volume.length_bytes(), end));
        }
        let areas = group.volumes.iter().flat_map(|volume| &volume.areas);
        let mut areas: Vec<&Area> = areas.filter(|area| area.physical == number).collect();
        areas.sort_unstable_by_key(|area| area.first);
        let twice = areas.windows(2).find(|pair| pair[0].first + pair[0].count > pair[1].first);
        if let Some([before, after]) = twice {
            let what = "the first extent that is free behind a segment";
            return Err(damaged(at, what, before.first + before.count, after.first));
        }
        Ok(Self { volume, group, number, start_bytes: physical.start_bytes })
    }

    /// Adds what the logical volumes use, and gives those of which [`Mapped::opaque`] tells.
    fn add_volumes(&self, pieces: &mut Pieces) -> Result<Vec<(String, FileSystem)>, UsedBlocksError> {
        let mut opaque = Vec::new();
        for (number, volume) in self.group.volumes.iter().enumerate() {
            let view = self.view(volume).filter(|_| number < VOLUMES_MAX);
            let inside = match &view {
                Some(view) => inside::map(volume, view).map_err(|error| self.in_volume(volume, error))?,
                None if number < VOLUMES_MAX => Inside::Raw(inside::opaque(&self.head(volume))?),
                None => Inside::Raw(None),
            };
            match (view, inside) {
                (Some(view), Inside::Mapped(map)) => pieces.add_map(&view, &map),
                (_, inside) => {
                    self.own_areas(volume).for_each(|area| pieces.add_used(area));
                    opaque.extend(inside.opaque().map(|found| (self.named(volume), found)));
                }
            }
        }
        opaque.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(opaque)
    }

    /// What a logical volume takes of this physical one, in bytes.
    fn own_areas(&self, volume: &Volume) -> impl Iterator<Item = Extent> {
        let areas = volume.areas.iter().filter(|area| area.physical == self.number);
        areas.map(|area| Extent {
            start_bytes: self.start_bytes + area.first * self.group.extent_bytes,
            length_bytes: area.count * self.group.extent_bytes,
        })
    }

    /// The content of a logical volume that is here as a whole and as it is.
    fn view(&self, volume: &Volume) -> Option<View<'a>> {
        let segments = volume.segments.as_ref()?;
        if volume.areas.iter().any(|area| area.physical != self.number) {
            return None;
        }
        let segments = segments.iter();
        let segments = segments.map(|stripes| stripes.in_bytes(self.group.extent_bytes, self.start_bytes));
        Some(View::new(self.volume, segments.collect()))
    }

    /// The first bytes of a logical volume, as many as follow each other here: none where it begins elsewhere.
    fn head(&self, volume: &Volume) -> View<'a> {
        let head = volume.head.filter(|head| head.area.physical == self.number);
        let segment = head.map(|head| head.in_bytes(self.group.extent_bytes, self.start_bytes));
        View::new(self.volume, segment.into_iter().collect())
    }

    /// A logical volume as people know it.
    fn named(&self, volume: &Volume) -> String {
        format!("{}/{}", self.group.name, volume.name)
    }

    /// Says which volume an error is about. That the disk cannot be read is about none.
    fn in_volume(&self, volume: &Volume, error: (FileSystem, UsedBlocksError)) -> UsedBlocksError {
        let volume = self.named(volume);
        match error {
            (_, error @ UsedBlocksError::Io(_)) => error,
            (filesystem, error) => UsedBlocksError::InVolume { volume, filesystem, error: Box::new(error) },
        }
    }
}

/// A number at `offset` of the physical volume that is not what it must be.
fn damaged(offset: u64, what: &'static str, expected: u64, actual: u64) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset, expected, actual, what }
}
