//! How chunks leave the index, or move in it: what a collection does to the store's memory.

use std::collections::{HashMap, HashSet};

use mimeo_core::{chunk::ChunkId, messages::records::HEADER_BYTES};

use super::{Index, Located, Place, is_same_place, place_of};
use crate::imaging::store::pack::{ENTRY_BYTES, PackEntry, PackName, TRAILER_BYTES};

/// How much of a pack somebody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging::store) struct PackUse {
    pub(in crate::imaging::store) name: PackName,
    /// The pack's length.
    pub(in crate::imaging::store) bytes: u64,
    /// Of that, what a pack with nothing else in it would take; 0 where nothing in it is needed.
    pub(in crate::imaging::store) live_bytes: u64,
    pub(in crate::imaging::store) live_chunks: u64,
    /// Of those, the ones that may take less room once they are compressed again.
    pub(in crate::imaging::store) loose_chunks: u64,
}

/// What became of the chunks of a pack.
#[derive(Debug, Default)]
pub(in crate::imaging::store) struct Retired {
    /// Those that somebody needs: they are where they were.
    pub(in crate::imaging::store) live: Vec<Located>,
    /// How many others the store no longer has.
    pub(in crate::imaging::store) dead_chunks: u64,
}

impl Index {
    /// Begins a tick. What is promised from now on is promised at it or later.
    fn begin_tick(&mut self) -> u32 {
        // A tick for each boot of a capture and each collection: more than a century of one each second.
        self.tick = self.tick.saturating_add(1);
        self.tick
    }

    pub(in crate::imaging::store) fn open_hold(&mut self) -> u32 {
        let tick = self.begin_tick();
        self.holds.insert(tick);
        tick
    }

    pub(in crate::imaging::store) fn close_hold(&mut self, tick: u32) {
        self.holds.remove(&tick);
    }

    pub(in crate::imaging::store) fn tick(&self) -> u32 {
        self.tick
    }

    /// Begins a collection, and gives the tick from which on it spares what was promised.
    pub(in crate::imaging::store) fn begin_collection(&mut self) -> u32 {
        let own = self.begin_tick();
        self.holds.first().copied().unwrap_or(own)
    }

    /// Says whether the chunk is here and, if so, promises that it stays. Where it was lost, its damaged copy stays.
    pub(in crate::imaging::store) fn promise(&mut self, id: ChunkId) -> bool {
        if let Some(place) = self.places.get_mut(&id) {
            place.promised = self.tick;
            return true;
        }
        if let Some(lost) = self.damaged.get_mut(&id) {
            lost.promised = self.tick;
        }
        false
    }

    /// The packs with damaged copies of chunks that have no other, and that were promised or asked for at `floor` or
    /// later.
    pub(in crate::imaging::store) fn pinned(&self, floor: u32) -> HashSet<PackName> {
        self.damaged_copies(floor).collect()
    }

    /// Whether this is one of [`Index::pinned`].
    pub(in crate::imaging::store) fn pins(&self, name: PackName, floor: u32) -> bool {
        self.damaged_copies(floor).any(|pack| pack == name)
    }

    fn damaged_copies(&self, floor: u32) -> impl Iterator<Item = PackName> + '_ {
        let needed = self.damaged.iter().filter(move |(_, lost)| lost.promised >= floor);
        needed.flat_map(|(id, lost)| {
            let others = self.condemned.get(id).into_iter().flatten().copied();
            std::iter::once(lost.damage.pack).chain(others)
        })
    }

    /// Whether any chunk is lost that was promised or asked for at `floor` or later.
    fn lacks_needed(&self, floor: u32) -> bool {
        self.damaged.values().any(|lost| lost.promised >= floor)
    }

    /// How much of each pack is needed, where what was promised before `floor` is not.
    pub(in crate::imaging::store) fn pack_uses(&self, floor: u32) -> Vec<PackUse> {
        let mut uses: HashMap<u32, PackUse> = HashMap::with_capacity(self.numbers.len());
        for (&name, &number) in &self.numbers {
            let bytes = self.packs.get(number as usize).copied().flatten().map_or(0, |pack| pack.bytes);
            uses.insert(number, PackUse { name, bytes, live_bytes: 0, live_chunks: 0, loose_chunks: 0 });
        }
        for place in self.places.values().filter(|place| place.promised >= floor) {
            if let Some(pack) = uses.get_mut(&place.pack) {
                if pack.live_chunks == 0 {
                    pack.live_bytes = TRAILER_BYTES as u64;
                }
                pack.live_bytes += (HEADER_BYTES + ENTRY_BYTES) as u64 + u64::from(place.frame_bytes);
                pack.live_chunks += 1;
                pack.loose_chunks += u64::from(place.is_loose());
            }
        }
        let mut uses: Vec<_> = uses.into_values().collect();
        uses.sort_unstable_by_key(|pack| pack.name.0);
        uses
    }

    /// The chunks in a pack that are read from another. What was proved there may have rotted since: it is to be read
    /// back before this copy goes.
    pub(in crate::imaging::store) fn spares(&self, name: PackName, entries: &[PackEntry]) -> Vec<ChunkId> {
        let Some(&number) = self.numbers.get(&name) else { return Vec::new() };
        let is_spare = |entry: &&PackEntry| {
            let main = self.places.get(&entry.id);
            main.is_some_and(|main| !is_same_place(main, &place_of(number, entry)))
        };
        entries.iter().filter(is_spare).map(|entry| entry.id).collect()
    }

    /// Takes out of the index what nobody needs of a pack, and gives what somebody does. From here on the former is
    /// missing to whoever asks. A chunk that is read from another pack, where it was proved, is not needed here.
    pub(in crate::imaging::store) fn retire(
        &mut self,
        name: PackName,
        entries: &[PackEntry],
        floor: u32,
    ) -> Retired {
        let mut retired = Retired::default();
        let Some(&number) = self.numbers.get(&name) else { return retired };
        for entry in entries {
            let (id, here) = (entry.id, place_of(number, entry));
            match self.places.get(&id).copied() {
                Some(main) if is_same_place(&main, &here) && main.promised < floor => {
                    self.places.remove(&id);
                    self.reserve.remove(&id);
                    retired.dead_chunks += 1;
                }
                Some(main) if is_same_place(&main, &here) => {
                    retired.live.push(Located { id, pack: name, place: main });
                }
                Some(main) if main.proved => {
                    self.remove_reserve(id, &here);
                }
                Some(_) if self.is_reserve(id, &here) => {
                    retired.live.push(Located { id, pack: name, place: here });
                }
                _ => {}
            }
        }
        retired
    }

    fn is_reserve(&self, id: ChunkId, place: &Place) -> bool {
        self.reserve.get(&id).is_some_and(|all| all.iter().any(|known| is_same_place(known, place)))
    }

    /// Chunks have been copied into a pack that is durable and was read back: they are read from there now.
    pub(in crate::imaging::store) fn move_to(
        &mut self,
        name: PackName,
        bytes: u64,
        moved: &[(Located, PackEntry)],
    ) {
        let entries: Vec<PackEntry> = moved.iter().map(|(_, entry)| *entry).collect();
        // Makes the pack known, and each chunk's place in it a further one.
        self.add_proved_pack(name, bytes, &entries);
        let Some(&number) = self.numbers.get(&name) else { return };
        for (old, entry) in moved {
            let new = Place { proved: true, ..place_of(number, entry) };
            if is_same_place(&old.place, &new) {
                continue;
            }
            self.remove_reserve(entry.id, &old.place);
            // Else it moved or was lost meanwhile, and the new place is the main one or a further one already.
            if let Some(main) = self.places.get_mut(&entry.id)
                && is_same_place(main, &old.place)
            {
                *main = Place { promised: main.promised, ..new };
                self.remove_reserve(entry.id, &new);
            }
        }
    }

    /// Forgets a pack in which no chunk is any more, and says whether it did: a capture may have brought the very
    /// same pack again meanwhile, or a chunk in it may have proved damaged that is needed from `floor` on. Where `listed` are
    /// not all of its entries, everything is looked through.
    pub(in crate::imaging::store) fn forget_pack(
        &mut self,
        name: PackName,
        listed: &[PackEntry],
        all_are_listed: bool,
        floor: u32,
    ) -> bool {
        let places = if all_are_listed { self.places_in(name, listed) } else { self.find_places_in(name) };
        // A spare copy is no longer among the places. Where the one that it was a spare of was lost meanwhile, it is the last.
        let is_last =
            |entry: &PackEntry| self.damaged.get(&entry.id).is_some_and(|lost| lost.promised >= floor);
        if !places.is_empty() || listed.iter().any(is_last) || self.pins(name, floor) {
            return false;
        }
        if let Some(number) = self.numbers.remove(&name)
            && let Some(pack) = self.packs.get_mut(number as usize).and_then(Option::take)
        {
            self.pack_bytes -= pack.bytes;
        }
        self.damaged.retain(|_, lost| lost.damage.pack != name);
        self.condemned.retain(|_, packs| {
            packs.retain(|&condemned| condemned != name);
            !packs.is_empty()
        });
        true
    }

    /// Forgets a pack that could not be read, and what is known of the chunks that were lost with it. Says whether it
    /// did: not while anything is lost that is needed from `floor` on, for it may be in there unrecognised.
    pub(in crate::imaging::store) fn forget_unreadable(&mut self, name: PackName, floor: u32) -> bool {
        if self.lacks_needed(floor) {
            return false;
        }
        self.unreadable.retain(|unreadable| unreadable.pack != name);
        self.damaged.retain(|_, lost| lost.damage.pack != name);
        true
    }

    /// Whether the pack is one that somebody may read.
    pub(in crate::imaging::store) fn knows(&self, name: PackName) -> bool {
        self.numbers.contains_key(&name) || self.unreadable.iter().any(|unreadable| unreadable.pack == name)
    }
}
