//! A logical volume as its own file system sees it, through the segments that hold it.

use std::io;

use crate::{disk::ReadAt, units::Extent};

/// Bytes of a logical volume that lie in one or several places of the physical volume, in turn a stripe in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// From the start of the logical volume.
    pub(super) start_bytes: u64,
    /// As many stripes in each place, none of them cut.
    pub(super) length_bytes: u64,
    pub(super) stripe_bytes: u64,
    /// Where each place begins on the physical volume.
    pub(super) stripes: Vec<u64>,
}

impl Segment {
    fn end_bytes(&self) -> u64 {
        self.start_bytes + self.length_bytes
    }

    /// Where the byte at `offset` of the segment lies, and how many bytes follow each other there.
    fn place(&self, offset: u64) -> (u64, u64) {
        let stripe = offset / self.stripe_bytes;
        let within = offset % self.stripe_bytes;
        let places = self.stripes.len() as u64;
        let start = self.stripes[(stripe % places) as usize];
        (start + stripe / places * self.stripe_bytes + within, self.stripe_bytes - within)
    }

    /// How many of the first `offset` bytes of the segment lie in the place of this number.
    fn before(&self, number: usize, offset: u64) -> u64 {
        let row_bytes = self.stripe_bytes * self.stripes.len() as u64;
        let rest = (offset % row_bytes).saturating_sub(number as u64 * self.stripe_bytes);
        offset / row_bytes * self.stripe_bytes + rest.min(self.stripe_bytes)
    }

    /// Calls `found` with each piece of the physical volume in which the segment's bytes from `start` to `end` lie.
    /// What follows each other in the segment does so in each place, so there is one piece in each.
    fn pieces(&self, start: u64, end: u64, found: &mut impl FnMut(Extent)) {
        for (number, place) in self.stripes.iter().enumerate() {
            let (before, until) = (self.before(number, start), self.before(number, end));
            if before < until {
                found(Extent { start_bytes: place + before, length_bytes: until - before });
            }
        }
    }
}

/// A logical volume that can be read. Its segments follow each other from 0 on, and lie inside the physical volume.
pub(super) struct View<'a> {
    physical: &'a dyn ReadAt,
    segments: Vec<Segment>,
}

impl<'a> View<'a> {
    pub(super) fn new(physical: &'a dyn ReadAt, segments: Vec<Segment>) -> Self {
        Self { physical, segments }
    }

    /// Calls `found` with each piece of the physical volume in which `extent` of the logical one lies.
    pub(super) fn translate(&self, extent: Extent, mut found: impl FnMut(Extent)) {
        let first = self.segments.partition_point(|segment| segment.end_bytes() <= extent.start_bytes);
        for segment in &self.segments[first..] {
            if segment.start_bytes >= extent.end_bytes() {
                break;
            }
            let start = extent.start_bytes.saturating_sub(segment.start_bytes);
            let end = extent.end_bytes().min(segment.end_bytes()) - segment.start_bytes;
            segment.pieces(start, end, &mut found);
        }
    }
}

impl ReadAt for View<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length_bytes()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut segment = self.segments.partition_point(|segment| segment.end_bytes() <= offset_bytes);
        let (mut rest, mut at) = (buffer, offset_bytes);
        while !rest.is_empty() {
            let here = self.segments.get(segment).ok_or(io::ErrorKind::UnexpectedEof)?;
            let (place, length) = here.place(at - here.start_bytes);
            let length = length.min(rest.len() as u64);
            let (piece, behind) = rest.split_at_mut(length as usize);
            self.physical.read_exact_at(piece, place)?;
            rest = behind;
            at += length;
            segment += usize::from(at == here.end_bytes());
        }
        Ok(())
    }

    fn length_bytes(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop, proptest};

    use super::{Segment, View};
    use crate::{disk::ReadAt, units::Extent};

    /// Segments of a few stripes each, scattered over the physical volume without overlap, and its length.
    fn segments() -> impl Strategy<Value = (Vec<Segment>, u64)> {
        let shape = (1..4_u64, 1..5_u64, 1..9_u64);
        prop::collection::vec(shape, 1..6).prop_flat_map(|shapes| {
            let areas: Vec<(usize, u64)> = shapes
                .iter()
                .enumerate()
                .flat_map(|(index, &(places, stripes, bytes))| {
                    vec![(index, stripes * bytes); places as usize]
                })
                .collect();
            (Just(shapes), Just(areas).prop_shuffle()).prop_map(|(shapes, areas)| {
                let mut at = 3;
                let mut places = vec![Vec::new(); shapes.len()];
                for (index, length) in areas {
                    places[index].push(at);
                    at += length + 2;
                }
                let mut start_bytes = 0;
                let segment = |((count, stripes, stripe_bytes), places): ((u64, u64, u64), Vec<u64>)| {
                    let length_bytes = count * stripes * stripe_bytes;
                    let segment = Segment { start_bytes, length_bytes, stripe_bytes, stripes: places };
                    start_bytes += length_bytes;
                    segment
                };
                (shapes.into_iter().zip(places).map(segment).collect(), at)
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_read_lies_where_it_is_translated_to((segments, length) in segments(), cut in (0..400_u64, 1..400_u64)) {
            let physical: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let physical = &&physical[..];
            let view = View::new(physical, segments);
            let start_bytes = cut.0 % view.length_bytes();
            let length_bytes = cut.1.min(view.length_bytes() - start_bytes);
            let mut read = vec![0; length_bytes as usize];
            view.read_exact_at(&mut read, start_bytes).expect("inside");
            // Every byte alone, and the whole: the same bytes, and each once.
            let mut single = Vec::new();
            for (index, byte) in (start_bytes..).zip(&read) {
                view.translate(Extent { start_bytes: index, length_bytes: 1 }, |piece| {
                    assert_eq!((piece.length_bytes, physical[piece.start_bytes as usize]), (1, *byte));
                    single.push(piece.start_bytes);
                });
            }
            let mut whole = Vec::new();
            view.translate(Extent { start_bytes, length_bytes }, |piece| {
                whole.extend(piece.start_bytes..piece.end_bytes());
            });
            single.sort_unstable();
            whole.sort_unstable();
            assert_eq!(whole, single);
            assert_eq!(whole.len() as u64, length_bytes);
            assert!(view.read_exact_at(&mut [0; 2], view.length_bytes() - 1).is_err());
            assert!(view.read_exact_at(&mut [0], u64::MAX).is_err());
        }
    }
}
