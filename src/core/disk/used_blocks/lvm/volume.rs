//! The logical volumes of a group, and which of them a file system's own map can stand for.

use std::collections::BTreeSet;

use super::{
    damaged,
    group::{Physical, name_of, unknown},
    label::SECTOR,
    text::{Scalar, Section, Value},
    view::Segment,
};
use crate::disk::used_blocks::UsedBlocksError;

/// What may be said of a volume that is nothing but its segments. Whatever else is said of one (that it moves, that it
/// is locked, that it is part of something) makes it one that is carried byte by byte.
const PLAIN: [&[u8]; 5] = [b"READ", b"WRITE", b"VISIBLE", b"FIXED_MINOR", b"ACTIVATION_SKIP"];
/// More stripes than LVM makes (`MAX_STRIPES` of its `lib/metadata/metadata-exported.h`) are carried raw: each place of
/// each file in them would be looked for in all of them.
const STRIPES_MAX: usize = 128;

/// The keys of a segment that is nothing but stripes.
const STRIPED: [&[u8]; 7] =
    [b"start_extent", b"extent_count", b"type", b"tags", b"stripe_count", b"stripe_size", b"stripes"];

/// A logical volume, also one that is only part of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) name: String,
    /// What it takes of physical volumes.
    pub(super) areas: Vec<Area>,
    /// Where it begins, unless that is in another volume.
    pub(super) head: Option<Head>,
    /// Its content from its start to its end, where stripes on physical volumes are all that it is.
    pub(super) segments: Option<Vec<Stripes>>,
}

/// Extents of a physical volume, which is meant by its place in the group's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) physical: usize,
    pub(super) first: u64,
    pub(super) count: u64,
}

/// The first bytes of a volume that follow each other on a physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) area: Area,
    /// Of a stripe, where the segment has several; `None` is all of the area.
    stripe_bytes: Option<u64>,
}

impl Head {
    /// As [`Stripes::in_bytes`].
    pub(super) fn in_bytes(&self, extent_bytes: u64, start_bytes: u64) -> Segment {
        let area_bytes = self.area.count * extent_bytes;
        let length_bytes = self.stripe_bytes.map_or(area_bytes, |stripe| stripe.min(area_bytes));
        let place = start_bytes + self.area.first * extent_bytes;
        Segment { start_bytes: 0, length_bytes, stripe_bytes: length_bytes, stripes: vec![place] }
    }
}

/// A segment whose content goes round its areas, a stripe in each. With one area it is linear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stripes {
    /// In extents, from the start of the volume.
    first: u64,
    count: u64,
    stripe_bytes: u64,
    areas: Vec<Area>,
}

impl Stripes {
    /// The segment in bytes, where all of its areas are on a physical volume whose extents begin at `start_bytes`, and
    /// none lies over another.
    pub(super) fn in_bytes(&self, extent_bytes: u64, start_bytes: u64) -> Segment {
        Segment {
            start_bytes: self.first * extent_bytes,
            length_bytes: self.count * extent_bytes,
            stripe_bytes: self.stripe_bytes,
            stripes: self.areas.iter().map(|area| start_bytes + area.first * extent_bytes).collect(),
        }
    }
}

impl Volume {
    /// Reads the list of a group.
    pub(super) fn parse_all(
        list: Option<&Section<'_>>,
        context: &Context<'_>,
    ) -> Result<Vec<Self>, UsedBlocksError> {
        // A group without logical volumes has no list of them.
        let sections = || list.into_iter().flat_map(Section::sections);
        let mut parts = BTreeSet::new();
        for (_, volume) in sections() {
            volume.sections().for_each(|(_, segment)| add_names(segment, &mut parts));
        }
        let mut volumes = Vec::new();
        for (name, section) in sections() {
            let mut volume = context.volume(name, section)?;
            // What another one is made of, an origin of snapshots among them, has more in use than its own file system
            // knows.
            if parts.contains(name) {
                volume.segments = None;
            }
            volumes.push(volume);
        }
        Ok(volumes)
    }
}

/// Notes every name that a segment gives: of volumes that it is made of, that it caches, whose snapshot it is.
fn add_names<'a>(segment: &Section<'a>, names: &mut BTreeSet<&'a [u8]>) {
    for (key, value) in segment.entries() {
        let scalars = match value {
            Value::Scalar(scalar) if *key != b"type" => std::slice::from_ref(scalar),
            Value::List(list) => list,
            Value::Scalar(_) | Value::Section(_) => &[],
        };
        names.extend(scalars.iter().filter_map(|scalar| match *scalar {
            Scalar::Text(name) => Some(name),
            Scalar::Number(_) => None,
        }));
    }
}

/// What a volume's segments refer to.
pub(super) struct Context<'a> {
    pub(super) extent_bytes: u64,
    /// The names of the group's physical volumes, sorted, and how many extents each has.
    pub(super) names: &'a [&'a [u8]],
    pub(super) physical: &'a [Physical],
    /// Where the description begins, in bytes.
    pub(super) offset: u64,
}

impl Context<'_> {
    fn volume(&self, name: &[u8], section: &Section<'_>) -> Result<Volume, UsedBlocksError> {
        let said = [section.list("status"), section.list("flags")].concat();
        let said_is_plain = said.contains(&Scalar::Text(b"VISIBLE"))
            && said.iter().all(|word| PLAIN.iter().any(|plain| *word == Scalar::Text(plain)));
        let mut volume = Volume { name: name_of(name)?, areas: Vec::new(), head: None, segments: None };
        let mut stripes = Some(Vec::new()).filter(|_| said_is_plain);
        let mut places = Vec::new();
        for (_, segment) in section.sections() {
            let (first, count) = (segment.number("start_extent")?, segment.number("extent_count")?);
            places.push((first, count));
            let (areas, is_striped) = self.areas(segment, count)?;
            let is_striped = is_striped && areas.len() <= STRIPES_MAX;
            let stripe_bytes = is_striped.then(|| self.stripe_bytes(segment, &areas)).flatten();
            match (stripe_bytes, &mut stripes) {
                (Some(stripe_bytes), Some(stripes)) => {
                    stripes.push(Stripes { first, count, stripe_bytes, areas: areas.clone() });
                }
                _ => stripes = None,
            }
            if first == 0 {
                let stripes = (areas.len() > 1).then(|| segment.number("stripe_size").unwrap_or(1));
                let head = |&area: &Area| Head {
                    area,
                    stripe_bytes: stripes.map(|sectors| sectors * SECTOR as u64),
                };
                volume.head = areas.first().map(head).filter(|head| head.stripe_bytes != Some(0));
            }
            volume.areas.extend(areas);
        }
        self.check_segments(section, &mut places)?;
        volume.segments = stripes.map(|mut stripes| {
            stripes.sort_by_key(|stripes| stripes.first);
            stripes
        });
        Ok(volume)
    }

    /// Segments are as many as the volume says, and follow each other without a gap.
    fn check_segments(&self, volume: &Section<'_>, places: &mut [(u64, u64)]) -> Result<(), UsedBlocksError> {
        let count = volume.number("segment_count")?;
        if count != places.len() as u64 || count == 0 {
            return Err(damaged(self.offset, "the segments of a volume", count.max(1), places.len() as u64));
        }
        places.sort_unstable();
        let mut next = 0;
        for &(first, count) in places.iter() {
            if first != next || count == 0 {
                return Err(damaged(self.offset, "the extent at which a segment begins", next, first));
            }
            next = first + count;
        }
        Ok(())
    }

    /// What a segment of `count` extents takes of physical volumes, and whether that is all that it is.
    fn areas(&self, segment: &Section<'_>, count: u64) -> Result<(Vec<Area>, bool), UsedBlocksError> {
        let kind = segment.text("type").unwrap_or_default();
        let (list, count_of_each) = match kind {
            b"striped" | b"linear" => {
                let stripes = segment.number("stripe_count")?;
                let list = segment.list("stripes");
                if stripes == 0 || !count.is_multiple_of(stripes) || list.len() as u64 != 2 * stripes {
                    let extents = list.len() as u64 / 2;
                    return Err(damaged(self.offset, "the stripes of a segment", stripes, extents));
                }
                (list, count / stripes)
            }
            // Extents on their way to another physical volume (`pvmove`) are in both places.
            b"mirror" => (segment.list("mirrors"), count),
            _ => return self.nothing_of(segment),
        };
        let mut areas = Vec::new();
        for pair in list.as_chunks::<2>().0 {
            match *pair {
                [Scalar::Text(name), Scalar::Number(first)] => {
                    // Another name is that of a volume, which takes its own areas.
                    let Ok(physical) = self.names.binary_search(&name) else { continue };
                    areas.push(self.area(physical, first, count_of_each)?);
                }
                _ => return unknown("an area without a name and an extent"),
            }
        }
        let known = segment.entries().iter().all(|(key, _)| STRIPED.contains(key));
        let is_striped = kind != b"mirror" && known && 2 * areas.len() == list.len();
        Ok((areas, is_striped))
    }

    /// Extents that are there.
    fn area(&self, physical: usize, first: i64, count: u64) -> Result<Area, UsedBlocksError> {
        let extents = self.physical[physical].extents;
        match u64::try_from(first) {
            Ok(first) if first < extents && count <= extents - first => Ok(Area { physical, first, count }),
            _ => Err(damaged(self.offset, "the end of a segment", extents, first.cast_unsigned())),
        }
    }

    /// How long the stripes of a segment are, which one area has no need of; `None` where they do not fill the areas.
    fn stripe_bytes(&self, segment: &Section<'_>, areas: &[Area]) -> Option<u64> {
        // An area lies in its physical volume, so this is no more than the bytes of that.
        let area_bytes = areas.first()?.count * self.extent_bytes;
        if areas.len() == 1 {
            return Some(area_bytes);
        }
        let stripe_bytes = segment.number("stripe_size").ok()? * SECTOR as u64;
        (stripe_bytes > 0 && area_bytes.is_multiple_of(stripe_bytes)).then_some(stripe_bytes)
    }

    /// Segments of every other kind (thin, RAID, cache, snapshot, VDO …) are made of volumes. One that names a physical
    /// volume is of a kind to come, and nobody here knows how much it takes of it.
    fn nothing_of(&self, segment: &Section<'_>) -> Result<(Vec<Area>, bool), UsedBlocksError> {
        let is_area = |pair: &[Scalar<'_>]| match *pair {
            [Scalar::Text(name), Scalar::Number(_)] => self.names.binary_search(&name).is_ok(),
            _ => false,
        };
        let lists = segment.entries().iter().filter_map(|(_, value)| match value {
            Value::List(list) => Some(list),
            Value::Scalar(_) | Value::Section(_) => None,
        });
        match lists.flat_map(|list| list.windows(2)).any(is_area) {
            true => unknown("a segment of a kind that is not known takes extents"),
            false => Ok((Vec::new(), false)),
        }
    }
}
