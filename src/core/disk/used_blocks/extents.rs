//! Extents gathered in order, in bounded memory.

use std::ops::Range;

use super::UsedMap;
use crate::units::Extent;

/// Most extents of a map: 16 MiB of memory. A volume of 2 TB with half a billion scattered clusters stays below
/// it because short gaps between extents are then carried too.
pub const EXTENTS_MAX: usize = 1 << 20;

/// Collects used bytes whose starts do not go back by more than has been merged already.
#[derive(Debug)]
pub(super) struct Gathered {
    extents: Vec<Extent>,
    volume_bytes: u64,
    used_bytes: u64,
    /// Gaps up to this length are carried. Zero until the map grows too long.
    gap_bytes: u64,
    extents_max: usize,
}

impl Gathered {
    pub(super) fn new(volume_bytes: u64) -> Self {
        Self { extents: Vec::new(), volume_bytes, used_bytes: 0, gap_bytes: 0, extents_max: EXTENTS_MAX }
    }

    /// Marks `length_bytes` from `start_bytes` as in use: as far as they lie inside the volume and behind what was
    /// marked before.
    pub(super) fn add(&mut self, start_bytes: u64, length_bytes: u64) {
        let done = self.extents.last().map_or(0, |last| last.end_bytes());
        let start = start_bytes.max(done);
        let end = start_bytes.saturating_add(length_bytes).min(self.volume_bytes);
        let Some(piece) = Extent::between(start, end).filter(|piece| piece.length_bytes > 0) else { return };
        self.used_bytes += piece.length_bytes;
        match self.extents.last_mut() {
            Some(last) if start - done <= self.gap_bytes => last.length_bytes = end - last.start_bytes,
            _ => self.extents.push(piece),
        }
        if self.extents.len() > self.extents_max {
            self.coarsen(piece.length_bytes);
        }
    }

    /// Marks every set bit of `bitmap`, whose first bit stands for the `unit_bytes` at `start_bytes`, up to
    /// `units`. Returns how many bits were set.
    pub(super) fn add_bits(&mut self, bitmap: &[u8], start_bytes: u64, unit_bytes: u64, units: u64) -> u64 {
        let mut set = 0;
        for_each_run(bitmap, units, |first, count| {
            set += count;
            self.add(start_bytes + first * unit_bytes, count * unit_bytes);
        });
        set
    }

    /// The map of a file system that is as long as the volume it was gathered for.
    pub(super) fn finish(self, block_bytes: u32) -> UsedMap {
        let Self { extents, volume_bytes, used_bytes, .. } = self;
        UsedMap { block_bytes, used_bytes, extents, zeroed: Vec::new(), end_bytes: volume_bytes }
    }

    /// Doubles the gap that is carried until the map is half as long.
    fn coarsen(&mut self, unit_bytes: u64) {
        while self.extents.len() > self.extents_max / 2 {
            self.gap_bytes = (self.gap_bytes * 2).max(unit_bytes.min(4096)).max(1);
            let gap_bytes = self.gap_bytes;
            self.extents.dedup_by(|next, kept| {
                let close = next.start_bytes - kept.end_bytes() <= gap_bytes;
                if close {
                    kept.length_bytes = next.end_bytes() - kept.start_bytes;
                }
                close
            });
        }
    }
}

/// Sets or clears those bits of `units` that stand in `bitmap`, a part of a larger one whose first bit stands for
/// `first_unit`.
pub(super) fn fill_bits(bitmap: &mut [u8], first_unit: u64, units: &Range<u64>, set: bool) {
    let end = units.end.min(first_unit + bitmap.len() as u64 * 8);
    let mut at = units.start.max(first_unit);
    while at < end {
        let bit = at - first_unit;
        let byte = &mut bitmap[(bit / 8) as usize];
        let (from, until) = (bit % 8, (bit % 8 + end - at).min(8));
        let mask = (0xFF_u8 << from) & (0xFF_u8 >> (8 - until));
        *byte = if set { *byte | mask } else { *byte & !mask };
        at += until - from;
    }
}

/// Calls `found(first, count)` for each run of set bits among the first `bits` of a little-endian bitmap. Bits
/// beyond the end of `bitmap` count as clear.
pub(super) fn for_each_run(bitmap: &[u8], bits: u64, mut found: impl FnMut(u64, u64)) {
    let bits = bits.min(bitmap.len() as u64 * 8);
    let mut run_start = None;
    for (index, chunk) in bitmap.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        let base = index as u64 * 64;
        // Most words of a bitmap are all set or all clear, and change nothing.
        if word == if run_start.is_some() { u64::MAX } else { 0 } {
            continue;
        }
        for bit in 0..64 {
            let set = word >> bit & 1 == 1;
            match run_start {
                None if set => run_start = Some(base + bit),
                Some(start) if !set => {
                    run_start = None;
                    emit(start, base + bit, bits, &mut found);
                }
                _ => {}
            }
        }
    }
    if let Some(start) = run_start {
        emit(start, bits, bits, &mut found);
    }
}

fn emit(start: u64, end: u64, bits: u64, found: &mut impl FnMut(u64, u64)) {
    let end = end.min(bits);
    if start < end {
        found(start, end - start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Gathered, fill_bits, for_each_run};
    use crate::units::Extent;

    fn bit(bitmap: &[u8], index: u64) -> bool {
        bitmap.get(index as usize / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    proptest! {
        #[test]
        fn runs_are_exactly_the_set_bits(
            bitmap in proptest::collection::vec(proptest::sample::select(vec![0u8, 0xFF, 0x80, 0x01, 0x5A]), 0..40),
            bits in 0u64..400,
        ) {
            let mut seen = vec![false; 400];
            let mut previous_end = None;
            for_each_run(&bitmap, bits, |first, count| {
                assert!(count > 0 && previous_end.is_none_or(|end| first > end), "runs are apart and in order");
                previous_end = Some(first + count);
                seen[first as usize..(first + count) as usize].fill(true);
            });
            for index in 0..400 {
                prop_assert_eq!(seen[index as usize], index < bits && bit(&bitmap, index), "bit {}", index);
            }
        }

        #[test]
        fn a_part_of_a_bitmap_takes_its_share_of_the_units(
            bitmap in proptest::collection::vec(any::<u8>(), 0..20),
            first_unit in 0u64..100,
            (start, length) in (0u64..300, 0u64..200),
            set in any::<bool>(),
        ) {
            let mut filled = bitmap.clone();
            fill_bits(&mut filled, first_unit, &(start..start + length), set);
            for index in 0..bitmap.len() as u64 * 8 {
                let expected = if (start..start + length).contains(&(first_unit + index)) { set } else { bit(&bitmap, index) };
                prop_assert_eq!(bit(&filled, index), expected, "bit {}", index);
            }
        }

        #[test]
        fn a_map_that_grows_too_long_covers_more_never_less(
            pieces in proptest::collection::vec((0u64..50, 1u64..20), 0..200),
            volume_bytes in any::<u16>(),
        ) {
            let mut gathered = Gathered { extents_max: 8, ..Gathered::new(volume_bytes.into()) };
            let (mut at, mut used, mut marked) = (0, 0, Vec::new());
            for (gap, length) in pieces {
                gathered.add(at + gap, length);
                let end = (at + gap + length).min(volume_bytes.into());
                used += end.saturating_sub(at + gap);
                marked.push(Extent { start_bytes: at + gap, length_bytes: end.saturating_sub(at + gap) });
                at += gap + length;
            }
            let map = gathered.finish(1);
            prop_assert!(map.extents.len() <= 8);
            prop_assert_eq!(map.used_bytes, used);
            prop_assert!(map.extents.windows(2).all(|pair| pair[0].end_bytes() < pair[1].start_bytes));
            for piece in marked.iter().filter(|piece| piece.length_bytes > 0) {
                prop_assert!(map.extents.iter().any(|extent| extent.start_bytes <= piece.start_bytes
                    && piece.end_bytes() <= extent.end_bytes()));
            }
        }
    }
}
