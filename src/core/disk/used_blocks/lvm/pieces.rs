//! What is in use of a physical volume, gathered from logical volumes whose extents lie between each other's.

use super::view::View;
use crate::{
    disk::used_blocks::{
        UsedMap,
        extents::{EXTENTS_MAX, Gathered},
    },
    units::Extent,
};

/// LVM accounts in sectors.
const BLOCK_BYTES: u32 = 512;
/// Most pieces that are held before they are put in order and made fewer: 64 MiB of memory.
const PIECES_MAX: usize = 4 * EXTENTS_MAX;

/// Pieces in any order.
pub(super) struct Pieces {
    volume_bytes: u64,
    used_bytes: u64,
    used: Vec<Extent>,
    zeroed: Vec<Extent>,
}

impl Pieces {
    pub(super) fn new(volume_bytes: u64) -> Self {
        Self { volume_bytes, used_bytes: 0, used: Vec::new(), zeroed: Vec::new() }
    }

    pub(super) fn add_used(&mut self, piece: Extent) {
        self.used_bytes = self.used_bytes.saturating_add(piece.length_bytes);
        self.push_used(piece);
    }

    /// Adds what is in use of a logical volume, by its own map.
    pub(super) fn add_map(&mut self, view: &View<'_>, map: &UsedMap) {
        self.used_bytes = self.used_bytes.saturating_add(map.used_bytes);
        for &extent in &map.extents {
            view.translate(extent, |piece| self.push_used(piece));
        }
        for &extent in &map.zeroed {
            view.translate(extent, |piece| match self.zeroed.len() {
                // Beyond that, zeros are carried as what stands there.
                EXTENTS_MAX.. => self.push_used(piece),
                _ => self.zeroed.push(piece),
            });
        }
    }

    pub(super) fn finish(self) -> UsedMap {
        let Self { volume_bytes, used_bytes, used, zeroed } = self;
        let mut map = in_order(used, volume_bytes);
        let covered: u64 = map.extents.iter().map(|extent| extent.length_bytes).sum();
        map.used_bytes = used_bytes.min(covered);
        map.zeroed = outside(in_order(zeroed, volume_bytes).extents, &map.extents);
        map
    }

    fn push_used(&mut self, piece: Extent) {
        self.used.push(piece);
        if self.used.len() > PIECES_MAX {
            self.used = in_order(std::mem::take(&mut self.used), self.volume_bytes).extents;
        }
    }
}

/// The same bytes, sorted and merged, and more where the map would grow too long.
fn in_order(mut pieces: Vec<Extent>, volume_bytes: u64) -> UsedMap {
    pieces.sort_unstable();
    let mut gathered = Gathered::new(volume_bytes);
    pieces.iter().for_each(|piece| gathered.add(piece.start_bytes, piece.length_bytes));
    gathered.finish(BLOCK_BYTES)
}

/// What of `pieces` lies outside of `extents`; both are sorted and disjoint.
fn outside(pieces: Vec<Extent>, extents: &[Extent]) -> Vec<Extent> {
    let mut rest = Vec::new();
    for piece in pieces {
        let first = extents.partition_point(|extent| extent.end_bytes() <= piece.start_bytes);
        let mut at = piece.start_bytes;
        for extent in extents[first..].iter().take_while(|extent| extent.start_bytes < piece.end_bytes()) {
            rest.extend(Extent::between(at, extent.start_bytes).filter(|gap| gap.length_bytes > 0));
            at = extent.end_bytes();
        }
        rest.extend(Extent::between(at, piece.end_bytes()).filter(|gap| gap.length_bytes > 0));
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::Pieces;
    use crate::{
        disk::used_blocks::{
            UsedMap,
            lvm::view::{Segment, View},
        },
        units::Extent,
    };

    #[test]
    fn what_a_logical_volume_uses_and_what_comes_back_as_zeros_lies_where_its_segments_are() {
        let segment = |start_bytes, place| Segment {
            start_bytes,
            length_bytes: 8,
            stripe_bytes: 8,
            stripes: vec![place],
        };
        let memory = &&[0; 100][..];
        let view = View::new(memory, vec![segment(0, 60), segment(8, 20)]);
        let extent = |start_bytes, length_bytes| Extent { start_bytes, length_bytes };
        let inside = UsedMap {
            block_bytes: 1,
            used_bytes: 5,
            extents: vec![extent(0, 2), extent(13, 3)],
            zeroed: vec![extent(6, 5)],
            end_bytes: 16,
        };
        let mut pieces = Pieces::new(100);
        pieces.add_used(extent(28, 2));
        pieces.add_map(&view, &inside);
        let map = pieces.finish();
        assert_eq!(map.extents, [extent(25, 5), extent(60, 2)]);
        assert_eq!(map.zeroed, [extent(20, 3), extent(66, 2)]);
        assert_eq!(map.used_bytes, 7);
    }

    proptest! {
        #[test]
        fn every_byte_is_used_or_zeroed_or_neither_as_it_was_added(
            used in prop::collection::vec((0..200_u64, 1..30_u64), 0..20),
            zeroed in prop::collection::vec((0..200_u64, 1..30_u64), 0..20),
        ) {
            let extents = |list: &[(u64, u64)]| -> Vec<Extent> {
                list.iter().map(|&(start_bytes, length_bytes)| Extent { start_bytes, length_bytes }).collect()
            };
            let mut pieces = Pieces::new(220);
            extents(&used).into_iter().for_each(|piece| pieces.add_used(piece));
            pieces.zeroed = extents(&zeroed);
            let map = pieces.finish();
            for list in [&map.extents, &map.zeroed] {
                prop_assert!(list.windows(2).all(|pair| pair[0].end_bytes() <= pair[1].start_bytes));
            }
            let holds = |list: &[Extent], byte| {
                list.iter().any(|extent| (extent.start_bytes..extent.end_bytes()).contains(&byte))
            };
            for byte in 0..220 {
                let is_used = holds(&extents(&used), byte);
                prop_assert_eq!(holds(&map.extents, byte), is_used);
                prop_assert_eq!(holds(&map.zeroed, byte), !is_used && holds(&extents(&zeroed), byte));
            }
        }
    }
}
