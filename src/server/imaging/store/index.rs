//! Which chunk lies where: the store's memory, rebuilt from the packs at every start.
//!
//! It names only what is durable. A chunk that lies in several packs (two captures brought it at once) has one
//! place that is read and the others in reserve; one that proves damaged in its last place is known as damaged
//! and counts as missing, so that the next capture brings it again.
//!
//! A place takes some 60 bytes: 18 MB for the 305,000 chunks of a 40 GB master.
//!
//! `index/retire.rs` is how chunks leave it, `hold.rs` tells who may rely on them until then.

use std::collections::{BTreeSet, HashMap};

use mimeo_core::{
    chunk::{ChunkId, Codec},
    messages::records::HEADER_BYTES,
};

use crate::clock::Timestamp;

use super::{
    READ_BACK_EVERY,
    error::{Damage, StoreError},
    pack::{PackEntry, PackError, PackName, salvage::Salvage},
};

pub(super) mod retire;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Position in [`Index::packs`].
    pack: u32,
    pub(super) offset: u32,
    pub(super) plain_bytes: u32,
    pub(super) frame_bytes: u32,
    pub(super) codec: Codec,
    /// The tick at which somebody was last told that the chunk is here (`hold.rs`).
    promised: u32,
    /// Whether this process has read the chunk back from the backend and hashed it since it started.
    proved: bool,
}

impl Place {
    /// Whether compressing the chunk again may make it smaller.
    pub(super) fn is_loose(&self) -> bool {
        self.codec == Codec::Zstd
    }

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

impl Located {
    /// As the pack's footer says it.
    pub(super) fn entry(&self) -> PackEntry {
        let Place { offset, plain_bytes, frame_bytes, codec, .. } = self.place;
        PackEntry { id: self.id, offset, plain_bytes, frame_bytes, codec }
    }
}

/// A chunk that was here and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lost {
    /// Where it was lost last.
    damage: Damage,
    /// The tick at which somebody was last told that it is here, or asked for it: who needs it then needs its damaged
    /// copy too, for there is no other.
    promised: u32,
}

/// A pack whose footer cannot be read, and why. What its records gave is known all the same.
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

/// A pack that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownPack {
    name: PackName,
    bytes: u64,
    /// How many chunks its footer names.
    chunks: usize,
    /// When an earlier process had read all of it back.
    proved_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By number. A number is never used again: whoever still has a place of a pack that is gone must not take it for
    /// one of another.
    packs: Vec<Option<KnownPack>>,
    numbers: HashMap<PackName, u32>,
    pack_bytes: u64,
    places: HashMap<ChunkId, Place>,
    reserve: HashMap<ChunkId, Vec<Place>>,
    damaged: HashMap<ChunkId, Lost>,
    /// The packs in which a chunk proved damaged, lost or not: who loses its last copy may want to look at the others
    /// again, for what failed may have been the way from the disk.
    condemned: HashMap<ChunkId, Vec<PackName>>,
    unreadable: Vec<UnreadablePack>,
    /// Holds and collections that have begun so far.
    tick: u32,
    /// The ticks at which the open holds began.
    holds: BTreeSet<u32>,
}

impl Index {
    /// Takes in the chunks of a pack that is durable. Whoever brought them relies on them.
    ///
    /// Where a pack of this name was known, it has just been written anew with the same chunks at the same
    /// places.
    pub(super) fn add_pack(&mut self, name: PackName, bytes: u64, entries: &[PackEntry]) {
        self.add(name, bytes, entries, false);
    }

    /// As [`Index::add_pack`] for a pack of proved chunks that was read back from the backend.
    pub(super) fn add_proved_pack(&mut self, name: PackName, bytes: u64, entries: &[PackEntry]) {
        self.add(name, bytes, entries, true);
    }

    fn add(&mut self, name: PackName, bytes: u64, entries: &[PackEntry], proved: bool) {
        let pack = match self.numbers.get(&name) {
            Some(&number) => {
                // What it takes the place of may have been longer, or cut short.
                if let Some(known) = self.packs.get_mut(number as usize).and_then(Option::as_mut) {
                    self.pack_bytes = self.pack_bytes - known.bytes + bytes;
                    let chunks = known.chunks.max(entries.len());
                    *known = KnownPack { name, bytes, chunks, proved_at: None };
                }
                number
            }
            None => {
                // A pack takes a file, and no backend holds four thousand million of them.
                let number = u32::try_from(self.packs.len()).unwrap_or_else(|_| panic!("too many packs"));
                self.packs.push(Some(KnownPack { name, bytes, chunks: entries.len(), proved_at: None }));
                self.numbers.insert(name, number);
                self.pack_bytes += bytes;
                number
            }
        };
        self.unreadable.retain(|unreadable| unreadable.pack != name);
        for &PackEntry { id, offset, plain_bytes, frame_bytes, codec } in entries {
            let promised = self.tick;
            self.add_place(id, Place { pack, offset, plain_bytes, frame_bytes, codec, promised, proved });
        }
    }

    fn add_place(&mut self, id: ChunkId, place: Place) {
        self.damaged.remove(&id);
        if let Some(pack) = self.packs.get(place.pack as usize).copied().flatten() {
            self.acquit(id, pack.name);
        }
        match self.places.get_mut(&id) {
            None => {
                self.places.insert(id, place);
            }
            Some(known) if is_same_place(known, &place) => *known = place,
            Some(known) => {
                known.promised = known.promised.max(place.promised);
                let reserve = self.reserve.entry(id).or_default();
                reserve.retain(|known| !is_same_place(known, &place));
                reserve.push(place);
            }
        }
    }

    /// Notes a pack whose footer cannot be read, with what its records say. What lies in a pack that is known is read
    /// there.
    pub(super) fn add_unreadable(&mut self, pack: PackName, bytes: u64, error: PackError, found: &Salvage) {
        let new: Vec<PackEntry> =
            found.sound.iter().filter(|entry| !self.contains(entry.id)).copied().collect();
        if !new.is_empty() {
            self.add_proved_pack(pack, bytes, &new);
        }
        for &chunk in &found.lost {
            let damage = Damage { chunk, pack, detail: error.to_string() };
            if !self.places.contains_key(&chunk) {
                self.damaged.insert(chunk, Lost { damage, promised: 0 });
            }
        }
        self.note_unreadable(pack, error);
    }

    /// Notes that the footer of a pack cannot be read, and that nothing could be done about it.
    pub(super) fn note_unreadable(&mut self, pack: PackName, error: PackError) {
        self.unreadable.retain(|unreadable| unreadable.pack != pack);
        self.unreadable.push(UnreadablePack { pack, error });
    }

    /// Where to read a chunk.
    pub(super) fn locate(&self, id: ChunkId) -> Result<Located, StoreError> {
        let located = self.places.get(&id).and_then(|&place| self.located(id, place));
        match (located, self.damaged.get(&id)) {
            (Some(located), _) => Ok(located),
            (None, Some(lost)) => Err(StoreError::Damaged(lost.damage.clone())),
            (None, None) => Err(StoreError::Missing { chunk: id, unreadable_packs: self.unreadable.len() }),
        }
    }

    fn located(&self, id: ChunkId, place: Place) -> Option<Located> {
        let pack = self.packs.get(place.pack as usize).copied().flatten()?.name;
        Some(Located { id, pack, place })
    }

    pub(super) fn contains(&self, id: ChunkId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn plain_bytes(&self, id: ChunkId) -> Option<u32> {
        self.places.get(&id).map(|place| place.plain_bytes)
    }

    /// The length of a chunk's record.
    pub(super) fn stored_bytes(&self, id: ChunkId) -> Option<u64> {
        self.places.get(&id).map(|place| HEADER_BYTES as u64 + u64::from(place.frame_bytes))
    }

    /// Whether any chunk may take less room once it is compressed again.
    pub(super) fn may_shrink(&self) -> bool {
        self.places.values().any(Place::is_loose)
    }

    /// Whether the chunk was read back and hashed, by this process or not long ago by one before it.
    pub(super) fn is_proved(&self, id: ChunkId, now: Timestamp) -> bool {
        self.places.get(&id).is_some_and(|place| place.proved || self.proof_of(place.pack, now).is_some())
    }

    /// When an earlier process had read a pack back, while that counts.
    fn proof_of(&self, pack: u32, now: Timestamp) -> Option<Timestamp> {
        let at = self.packs.get(pack as usize).copied().flatten()?.proved_at?;
        // Of a proof of the future, when the clock was set back, nobody knows the age.
        (at <= now && now.since(at) < READ_BACK_EVERY).then_some(at)
    }

    /// Notes when an earlier process had read a whole pack back.
    pub(super) fn note_earlier_proof(&mut self, pack: PackName, proved_at: Option<Timestamp>) {
        if let Some(pack) = self.pack_mut(pack) {
            pack.proved_at = proved_at;
        }
    }

    fn pack_mut(&mut self, name: PackName) -> Option<&mut KnownPack> {
        let number = *self.numbers.get(&name)?;
        self.packs.get_mut(number as usize)?.as_mut()
    }

    /// The packs of which each chunk was read back, with the time of that: `opened`, when this process began, or that of an
    /// earlier one.
    pub(super) fn proved_packs(&self, opened: Timestamp) -> Vec<(PackName, Timestamp)> {
        let mut proved: HashMap<u32, usize> = HashMap::new();
        let places = self.places.values().chain(self.reserve.values().flatten());
        for place in places.filter(|place| place.proved) {
            *proved.entry(place.pack).or_default() += 1;
        }
        let packs = self.packs.iter().zip(0..).filter_map(|(pack, number)| Some((pack.as_ref()?, number)));
        let has_footer = |(pack, _): &(&KnownPack, u32)| {
            !self.unreadable.iter().any(|unreadable| unreadable.pack == pack.name)
        };
        let proof = |(pack, number): (&KnownPack, u32)| {
            // What was retired, or lost, was not seen and comes back with the next process.
            let all = proved.get(&number) == Some(&pack.chunks);
            Some((pack.name, if all { opened } else { self.proof_of(number, opened)? }))
        };
        packs.filter(has_footer).filter_map(proof).collect()
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
    /// [`Index::locate`] names that. Gives whether the place was known: the chunk may have moved meanwhile.
    pub(super) fn mark_damaged(&mut self, located: &Located, detail: String) -> bool {
        let id = located.id;
        let lost = |place: &Place| is_same_place(place, &located.place);
        let was_reserve = self.remove_reserve(id, &located.place);
        let known = self.places.get(&id).copied().filter(lost);
        if was_reserve || known.is_some() {
            // What it lost one chunk of may have lost others.
            self.note_earlier_proof(located.pack, None);
            self.condemned.entry(id).or_default().push(located.pack);
        }
        let Some(known) = known else { return was_reserve };
        match self.reserve.get_mut(&id).and_then(Vec::pop) {
            Some(other) => {
                self.places.insert(id, Place { promised: known.promised, ..other });
            }
            None => {
                self.places.remove(&id);
                let damage = Damage { chunk: id, pack: located.pack, detail };
                self.damaged.insert(id, Lost { damage, promised: known.promised });
            }
        }
        self.remove_empty_reserve(id);
        true
    }

    /// Forgets that a chunk proved damaged in a pack: it has just been written there anew.
    fn acquit(&mut self, id: ChunkId, pack: PackName) {
        let Some(packs) = self.condemned.get_mut(&id) else { return };
        packs.retain(|&condemned| condemned != pack);
        if packs.is_empty() {
            self.condemned.remove(&id);
        }
    }

    /// Forgets one of the further places of a chunk, and says whether there was such a one.
    fn remove_reserve(&mut self, id: ChunkId, place: &Place) -> bool {
        let Some(reserve) = self.reserve.get_mut(&id) else { return false };
        let before = reserve.len();
        reserve.retain(|known| !is_same_place(known, place));
        let removed = reserve.len() < before;
        self.remove_empty_reserve(id);
        removed
    }

    fn remove_empty_reserve(&mut self, id: ChunkId) {
        if self.reserve.get(&id).is_some_and(Vec::is_empty) {
            self.reserve.remove(&id);
        }
    }

    /// Every pack that can be read, by name.
    pub(super) fn pack_names(&self) -> Vec<PackName> {
        let mut names: Vec<_> = self.numbers.keys().copied().collect();
        names.sort_unstable_by_key(|name| name.0);
        names
    }

    /// The number of a pack that can be read: another one once it was removed and brought again.
    pub(super) fn number_of(&self, name: PackName) -> Option<u32> {
        self.numbers.get(&name).copied()
    }

    /// The places of chunks in this pack, of which `entries` are some or all.
    pub(super) fn places_in(&self, name: PackName, entries: &[PackEntry]) -> Vec<Located> {
        let Some(&number) = self.numbers.get(&name) else { return Vec::new() };
        let is_there = |id: ChunkId, place: &Place| {
            let known = |known: &Place| is_same_place(known, place);
            self.places.get(&id).is_some_and(known)
                || self.reserve.get(&id).is_some_and(|all| all.iter().any(known))
        };
        let places = entries.iter().map(|entry| (entry.id, place_of(number, entry)));
        places
            .filter(|(id, place)| is_there(*id, place))
            .map(|(id, place)| Located { id, pack: name, place })
            .collect()
    }

    /// As [`Index::places_in`] for a pack whose footer is lost: looks through everything.
    pub(super) fn find_places_in(&self, name: PackName) -> Vec<Located> {
        let Some(&number) = self.numbers.get(&name) else { return Vec::new() };
        let reserve =
            self.reserve.iter().flat_map(|(id, places)| places.iter().map(move |place| (id, place)));
        let all = self.places.iter().chain(reserve).filter(|(_, place)| place.pack == number);
        all.map(|(&id, &place)| Located { id, pack: name, place }).collect()
    }

    pub(super) fn unreadable(&self) -> &[UnreadablePack] {
        &self.unreadable
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            chunks: self.places.len() as u64,
            packs: self.numbers.len() as u64,
            pack_bytes: self.pack_bytes,
            damaged_chunks: self.damaged.len() as u64,
        }
    }
}

/// Where an entry of a pack's footer says that a chunk lies.
fn place_of(pack: u32, entry: &PackEntry) -> Place {
    let &PackEntry { offset, plain_bytes, frame_bytes, codec, .. } = entry;
    Place { pack, offset, plain_bytes, frame_bytes, codec, promised: 0, proved: false }
}

fn is_same_place(one: &Place, other: &Place) -> bool {
    (one.pack, one.offset) == (other.pack, other.offset)
}

#[cfg(test)]
mod tests {
    use mimeo_core::chunk::{ChunkId, Codec};

    use super::{Index, Timestamp};
    use crate::imaging::store::{
        error::StoreError,
        pack::{PackEntry, PackError, PackName, salvage::Salvage},
    };

    const CHUNK: ChunkId = ChunkId([1; 32]);
    const ONE: PackName = PackName([0xa; 32]);
    const OTHER: PackName = PackName([0xb; 32]);
    const NOW: Timestamp = Timestamp(0);

    fn entry(id: ChunkId) -> PackEntry {
        PackEntry { id, offset: 0, plain_bytes: 10, frame_bytes: 10, codec: Codec::Raw }
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
    fn every_copy_of_a_lost_chunk_is_kept_while_somebody_needs_it() {
        let mut index = with_packs(&[ONE, OTHER]);
        let floor = index.begin_collection();
        let first = index.locate(CHUNK).expect("it was added");
        index.mark_damaged(&first, "hash".into());
        assert_eq!(index.pinned(0).len(), 0, "there is a copy that can be read");
        let second = index.locate(CHUNK).expect("it lies in the other pack too");
        index.mark_damaged(&second, "hash".into());
        assert_eq!(index.pinned(floor).len(), 0, "nobody has asked for it since");
        assert!(!index.promise(CHUNK));
        assert_eq!(index.pinned(floor), [ONE, OTHER].into());
        assert!(index.pins(ONE, floor) && index.pins(OTHER, floor));
        // One of them is brought again, and then lost again: the other has not been forgotten.
        index.add_pack(first.pack, 200, &[entry(CHUNK)]);
        assert!(!index.pins(second.pack, floor));
        let again = index.locate(CHUNK).expect("it was brought");
        index.mark_damaged(&again, "hash".into());
        assert!(index.pins(second.pack, floor));
        assert!(!index.forget_pack(second.pack, &[], false, floor));
        assert!(index.forget_pack(second.pack, &[], false, u32::MAX));
        assert!(!index.pins(second.pack, floor));
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
        assert!(!index.is_proved(CHUNK, NOW));
    }

    #[test]
    fn a_pack_that_is_written_anew_is_to_be_proved_anew() {
        let mut index = with_packs(&[ONE]);
        let place = index.locate(CHUNK).expect("it was added");
        index.mark_proved(&place);
        assert!(index.is_proved(CHUNK, NOW));
        index.add_pack(ONE, 200, &[entry(CHUNK)]);
        assert!(!index.is_proved(CHUNK, NOW));
        assert_eq!(index.totals().packs, 1);
        assert_eq!(index.totals().pack_bytes, 200);
    }

    #[test]
    fn an_unreadable_pack_names_what_it_held_unless_another_pack_holds_it() {
        let mut index = Index::default();
        let found = Salvage { sound: vec![], lost: vec![CHUNK] };
        index.add_unreadable(ONE, 200, PackError::FooterDamaged, &found);
        assert!(matches!(index.locate(CHUNK), Err(StoreError::Damaged(damage)) if damage.pack == ONE));
        index.add_pack(OTHER, 200, &[entry(CHUNK)]);
        assert!(index.contains(CHUNK));
        assert_eq!(index.unreadable().len(), 1);
        // The same pack written anew is whole again.
        index.add_pack(ONE, 300, &[entry(CHUNK)]);
        assert_eq!(index.unreadable(), []);
        assert_eq!(index.totals().pack_bytes, 500);
    }

    #[test]
    fn what_the_records_of_an_unreadable_pack_gave_is_read_there_where_no_other_pack_has_it() {
        let found = Salvage { sound: vec![entry(CHUNK)], lost: vec![] };
        let mut index = Index::default();
        index.add_unreadable(ONE, 200, PackError::FooterDamaged, &found);
        assert_eq!(index.locate(CHUNK).map(|located| located.pack).ok(), Some(ONE));
        assert_eq!((index.totals().packs, index.unreadable().len()), (1, 1));
        let mut index = with_packs(&[OTHER]);
        index.add_unreadable(ONE, 200, PackError::FooterDamaged, &found);
        assert_eq!(index.pack_names(), [OTHER]);
        assert_eq!(index.find_places_in(OTHER).len(), 1);
    }
}
