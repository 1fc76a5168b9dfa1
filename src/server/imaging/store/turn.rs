//! Who collects: one at a time, and one that can wait gives way to one that cannot.
//!
//! A collection may be dropped at any point, so giving way is dropping it: whoever runs one that gives way waits for its
//! end and for [`Store::wanted_for_collection`], whichever is first.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    time::timeout,
};

use super::{Store, collect::Collection, error::StoreError};

/// How long one that asked waits for the other to give way. Dropping a collection takes as long as the step at which it
/// is, which is milliseconds; one that does not give way takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The turn to collect, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: Arc<Mutex<()>>,
    /// How many wait.
    waiting: watch::Sender<usize>,
}

/// Held by the one collection that is under way.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Somebody who waits for the turn.
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn begin(turns: &'a Turns) -> Self {
        turns.waiting.send_modify(|count| *count += 1);
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|count| *count -= 1);
    }
}

impl Turns {
    pub(super) fn try_take(&self) -> Option<Turn> {
        self.turn.clone().try_lock_owned().ok()
    }

    /// Waits for the turn, as long as one that gives way may take.
    async fn take(&self) -> Option<Turn> {
        if let Some(turn) = self.try_take() {
            return Some(turn);
        }
        let _asks_for_it = Waiting::begin(self);
        timeout(PATIENCE, self.turn.clone().lock_owned()).await.ok()
    }
}

impl Store {
    /// As [`Store::begin_collection`], where one that is under way is asked to give way. [`StoreError::Collecting`] where
    /// it does not.
    pub async fn begin_collection_in_turn(&self) -> Result<Collection, StoreError> {
        let turn = self.shared.turns.take().await.ok_or(StoreError::Collecting)?;
        Ok(self.collection(turn))
    }

    /// Waits until somebody wants to collect who is not to wait for the end of a collection in the background.
    ///
    /// CANCEL-SAFETY: nothing is lost.
    pub async fn wanted_for_collection(&self) {
        let mut waiting = self.shared.turns.waiting.subscribe();
        // The store lives, and with it the sender.
        if waiting.wait_for(|&count| count > 0).await.is_err() {
            std::future::pending().await
        }
    }
}
