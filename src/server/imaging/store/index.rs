//! Which chunk lies where: the store's memory, rebuilt from the packs' footers at every start.
//!
//! It names only what is durable. A chunk that lies in several packs (two captures brought it at once) has one
//! place that is read and the others in reserve; one that proves damaged in its last place is known as damaged
//! and counts as missing, so that the next capture brings it again.
//!
//! A place takes some 60 bytes: 18 MB for the 305,000 chunks of a 40 GB master.

use std::collections::HashMap;

use mimeo_core::{chunk::ChunkId, messages::records::HEADER_BYTES};

use super::{
    error::{Damage, StoreError},
    pack::{PackEntry, PackError, PackName},
};

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Position in [`Index::packs`].
    pack: u32,
    pub(super) offset: u32,
    pub(super) plain_bytes: u32,
    pub(super) frame_bytes: u32,
    /// Whether this server has read the chunk back from the backend and hashed it since it started.
    proved: bool,
}

impl Place {
    /// Length of the chunk's record, its header included.
    pub(super) fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.frame_bytes)
    }
}

/// A place with the pack's name: what a read needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) id: ChunkId,
    pub(super) pack: PackName,
    pub(super) place: Place,
}

/// A pack that is left aside, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadablePack {
    pub pack: PackName,
    pub error: PackError,
}

/// How many and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) chunks: u64,
    pub(super) packs: u64,
    pub(super) pack_bytes: u64,
    pub(super) damaged_chunks: u64,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    packs: Vec<PackName>,
    numbers: HashMap<PackName, u32>,
    pack_bytes: u64,
    places: HashMap<ChunkId, Place>,
    reserve: HashMap<ChunkId, Vec<Place>>,
    damaged: HashMap<ChunkId, Damage>,
    unreadable: Vec<UnreadablePack>,
}

impl Index {
    /// Takes in the chunks of a pack that is durable.
    ///
    /// Where a pack of this name was known, it has just been written anew with the same chunks at the same
    /// places.
    pub(super) fn add_pack(&mut self, name: PackName, bytes: u64, entries: &[PackEntry]) {
        let pack = match self.numbers.get(&name) {
            Some(&number) => number,
            None => {
                // A pack takes a file, and no backend holds four thousand million of them.
                let number = u32::try_from(self.packs.len()).unwrap_or_else(|_| panic!("too many packs"));
                self.packs.push(name);
                self.numbers.insert(name, number);
                self.pack_bytes += bytes;
                number
            }
        };
        self.unreadable.retain(|unreadable| unreadable.pack != name);
        for &PackEntry { id, offset, plain_bytes, frame_bytes } in entries {
            self.add_place(id, Place { pack, offset, plain_bytes, frame_bytes, proved: false });
        }
    }

    fn add_place(&mut self, id: ChunkId, place: Place) {
        self.damaged.remove(&id);
        match self.places.get_mut(&id) {
            None => {
                self.places.insert(id, place);
            }
            Some(known) if is_same_place(known, &place) => *known = place,
            Some(_) => {
                let reserve = self.reserve.entry(id).or_default();
                reserve.retain(|known| !is_same_place(known, &place));
                reserve.push(place);
            }
        }
    }

    /// Notes a pack that cannot be read, with the chunks that can still be recognised in it.
    pub(super) fn add_unreadable(&mut self, pack: PackName, error: PackError, ids: &[ChunkId]) {
        for &chunk in ids {
            let damage = Damage { chunk, pack, detail: error.to_string() };
            if !self.places.contains_key(&chunk) {
                self.damaged.insert(chunk, damage);
            }
        }
        self.unreadable.push(UnreadablePack { pack, error });
    }

    /// Where to read a chunk.
    pub(super) fn locate(&self, id: ChunkId) -> Result<Located, StoreError> {
        match (self.places.get(&id), self.damaged.get(&id)) {
            (Some(&place), _) => Ok(Located { id, pack: self.packs[place.pack as usize], place }),
            (None, Some(damage)) => Err(StoreError::Damaged(damage.clone())),
            (None, None) => Err(StoreError::Missing { chunk: id, unreadable_packs: self.unreadable.len() }),
        }
    }

    pub(super) fn contains(&self, id: ChunkId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn plain_bytes(&self, id: ChunkId) -> Option<u32> {
        self.places.get(&id).map(|place| place.plain_bytes)
    }

    pub(super) fn is_proved(&self, id: ChunkId) -> bool {
        self.places.get(&id).is_some_and(|place| place.proved)
    }

    /// Notes that the chunk was read back from this place and was what its id says.
    pub(super) fn mark_proved(&mut self, located: &Located) {
        if let Some(place) = self.places.get_mut(&located.id)
            && is_same_place(place, &located.place)
        {
            place.proved = true;
        }
    }

    /// Notes that the chunk is lost at this place, and turns to another where there is one: then the next
    /// [`Index::locate`] names that.
    pub(super) fn mark_damaged(&mut self, located: &Located, detail: String) {
        let id = located.id;
        let lost = |place: &Place| is_same_place(place, &located.place);
        if let Some(reserve) = self.reserve.get_mut(&id) {
            reserve.retain(|place| !lost(place));
        }
        if !self.places.get(&id).is_some_and(lost) {
            return;
        }
        match self.reserve.get_mut(&id).and_then(Vec::pop) {
            Some(other) => {
                self.places.insert(id, other);
            }
            None => {
                self.places.remove(&id);
                self.damaged.insert(id, Damage { chunk: id, pack: located.pack, detail });
            }
        }
        if self.reserve.get(&id).is_some_and(Vec::is_empty) {
            self.reserve.remove(&id);
        }
    }

    pub(super) fn unreadable(&self) -> &[UnreadablePack] {
        &self.unreadable
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            chunks: self.places.len() as u64,
            packs: self.packs.len() as u64,
            pack_bytes: self.pack_bytes,
            damaged_chunks: self.damaged.len() as u64,
        }
    }
}

fn is_same_place(one: &Place, other: &Place) -> bool {
    (one.pack, one.offset) == (other.pack, other.offset)
}

#[cfg(test)]
mod tests {
    use mimeo_core::chunk::ChunkId;

    use super::Index;
    use crate::imaging::store::{
        error::StoreError,
        pack::{PackEntry, PackError, PackName},
    };

    const CHUNK: ChunkId = ChunkId([1; 32]);
    const ONE: PackName = PackName([0xa; 32]);
    const OTHER: PackName = PackName([0xb; 32]);

    fn entry(id: ChunkId) -> PackEntry {
        PackEntry { id, offset: 0, plain_bytes: 10, frame_bytes: 10 }
    }

    fn with_packs(names: &[PackName]) -> Index {
        let mut index = Index::default();
        names.iter().for_each(|&name| index.add_pack(name, 200, &[entry(CHUNK)]));
        index
    }

    #[test]
    fn a_chunk_that_lies_twice_survives_the_loss_of_one_place() {
        let mut index = with_packs(&[ONE, OTHER]);
        let first = index.locate(CHUNK).expect("it was added");
        index.mark_damaged(&first, "hash".into());
        let second = index.locate(CHUNK).expect("it lies in the other pack too");
        assert_ne!(first.pack, second.pack);
        index.mark_damaged(&second, "hash".into());
        assert!(
            matches!(index.locate(CHUNK), Err(StoreError::Damaged(damage)) if damage.pack == second.pack)
        );
        assert!(!index.contains(CHUNK));
    }

    #[test]
    fn a_late_report_about_a_place_that_is_no_longer_used_changes_nothing() {
        let mut index = with_packs(&[ONE]);
        let old = index.locate(CHUNK).expect("it was added");
        index.mark_damaged(&old, "hash".into());
        index.add_pack(OTHER, 200, &[entry(CHUNK)]);
        index.mark_damaged(&old, "hash".into());
        index.mark_proved(&old);
        assert_eq!(index.locate(CHUNK).map(|located| located.pack).ok(), Some(OTHER));
        assert!(!index.is_proved(CHUNK));
    }

    #[test]
    fn a_pack_that_is_written_anew_is_to_be_proved_anew() {
        let mut index = with_packs(&[ONE]);
        let place = index.locate(CHUNK).expect("it was added");
        index.mark_proved(&place);
        assert!(index.is_proved(CHUNK));
        index.add_pack(ONE, 200, &[entry(CHUNK)]);
        assert!(!index.is_proved(CHUNK));
        assert_eq!(index.totals().packs, 1);
        assert_eq!(index.totals().pack_bytes, 200);
    }

    #[test]
    fn an_unreadable_pack_names_what_it_held_unless_another_pack_holds_it() {
        let mut index = Index::default();
        index.add_unreadable(ONE, PackError::FooterDamaged, &[CHUNK]);
        assert!(matches!(index.locate(CHUNK), Err(StoreError::Damaged(damage)) if damage.pack == ONE));
        index.add_pack(OTHER, 200, &[entry(CHUNK)]);
        assert!(index.contains(CHUNK));
        assert_eq!(index.unreadable().len(), 1);
        // The same pack written anew is whole again.
        index.add_pack(ONE, 200, &[entry(CHUNK)]);
        assert_eq!(index.unreadable(), []);
    }
}
