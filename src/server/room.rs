//! Memory that many share, counted in bytes: whoever needs some of it waits until there is enough.
//!
//! Those who wait are served in the order in which they came, so somebody who needs much is not passed over for ever
//! by many who need little.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Room is counted in pieces, of which a semaphore can count enough.
pub const PIECE_BYTES: usize = 1024;

/// A room in memory. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Room {
    pieces: Arc<Semaphore>,
    all_pieces: u32,
}

/// A part of a room, given back when this is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Room {
    pub fn new(bytes: usize) -> Self {
        let all_pieces = u32::try_from(bytes / PIECE_BYTES).unwrap_or(u32::MAX);
        Self { pieces: Arc::new(Semaphore::new(all_pieces as usize)), all_pieces }
    }

    /// Room for so many bytes, where there is some and nobody waits for it. Who needs more than there is at all gets
    /// the whole room.
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        self.pieces.clone().try_acquire_many_owned(self.pieces_of(bytes)).ok().map(Share)
    }

    /// As [`Room::try_take`], but waits; `None` where patience ends first.
    ///
    /// CANCEL-SAFETY: whoever no longer waits has lost the place in the queue and nothing else.
    pub async fn take(&self, bytes: usize, patience: Duration) -> Option<Share> {
        let pieces = self.pieces.clone().acquire_many_owned(self.pieces_of(bytes));
        timeout(patience, pieces).await.ok()?.ok().map(Share)
    }

    /// Whether more than half of it is taken.
    pub fn is_short(&self) -> bool {
        self.pieces.available_permits() < self.all_pieces as usize / 2
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.pieces.available_permits() * PIECE_BYTES
    }

    fn pieces_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX).min(self.all_pieces)
    }
}

impl Share {
    /// Takes so many bytes off this share, or what is left of it.
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        self.0.split(bytes.div_ceil(PIECE_BYTES).min(self.0.num_permits())).map(Self)
    }

    /// Adds another share of the same room to this one.
    pub fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PIECE_BYTES, Room};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn no_more_is_given_than_there_is_and_what_is_dropped_is_given_again() {
        let room = Room::new(8 * PIECE_BYTES);
        let mut first = room.take(5 * PIECE_BYTES - 1, SHORT).await.expect("all is free");
        assert!(room.is_short());
        assert!(
            room.try_take(4 * PIECE_BYTES).is_none() && room.take(4 * PIECE_BYTES, SHORT).await.is_none()
        );
        let part = first.split(2 * PIECE_BYTES).expect("a part of it");
        drop(first);
        let mut second = room.try_take(6 * PIECE_BYTES).expect("all but the part");
        second.merge(part);
        assert_eq!(room.free_bytes(), 0);
        drop(second);
        assert_eq!(room.free_bytes(), 8 * PIECE_BYTES);
        assert!(room.try_take(usize::MAX).is_some(), "the whole room is all that anybody can have");
    }

    #[tokio::test]
    async fn who_needs_much_is_not_passed_over_for_those_who_need_little() {
        let room = Room::new(4 * PIECE_BYTES);
        let held = room.try_take(PIECE_BYTES).expect("free");
        let waits = room.take(4 * PIECE_BYTES, LONG);
        tokio::pin!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        assert!(room.try_take(PIECE_BYTES).is_none(), "others stand behind it");
        drop(held);
        assert!(waits.await.is_some());
    }
}
