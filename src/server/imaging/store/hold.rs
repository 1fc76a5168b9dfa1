//! Who relies on chunks that no version names yet.
//!
//! A capture is told that a chunk is not missing and does not send it. From then on the chunk must not be collected
//! until the capture's version is listed, or the capture ends. For that, time in the store is counted in holds and
//! collections: each that begins is a tick. A chunk remembers the tick at which somebody was last told that it is
//! there. A collection spares every chunk that was promised at or after the beginning of the oldest hold that is
//! open when the collection begins, and at or after its own beginning; the versions that are listed are marked by
//! promising what they name. So one number for each chunk serves all captures at once, and what a hold relied on
//! is free for the first collection that begins after its end.
//!
//! Nothing of this is on a disk. A server that starts anew has promised nothing: the client learns what is missing
//! when it hands in its manifest, and sends it again.

use mimeo_core::chunk::ChunkId;

use super::Store;

/// Somebody who relies on chunks, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    store: Store,
    since: u32,
}

impl Store {
    /// Begins to rely on chunks.
    pub fn hold(&self) -> Hold {
        let since = self.index_mut().open_hold();
        Hold { store: self.clone(), since }
    }
}

impl Hold {
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Those of `ids` that the store cannot give, in the order asked and each once: never stored, or lost. The others
    /// are durable, and stay while this lives.
    pub fn missing(&self, ids: &[ChunkId]) -> Vec<ChunkId> {
        let mut index = self.store.index_mut();
        let mut seen = std::collections::HashSet::new();
        ids.iter().copied().filter(|&id| !index.promise(id) && seen.insert(id)).collect()
    }

    /// Whether the store has a chunk; if so, it stays while this lives.
    pub fn relies_on(&self, id: ChunkId) -> bool {
        self.store.index_mut().promise(id)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.store.index_mut().close_hold(self.since);
    }
}
