//! What has to be done every few seconds for as long as the server runs.

use std::time::Duration;

use super::Services;
use crate::{
    clock::Timestamp,
    imaging::session::{requests::SessionError, table::SessionFilter},
};

/// How often leases are looked at: a lost client shows within this of its lease's end.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Services {
    /// Keeps sessions until it is dropped: first gives those that ran when the server stopped their grace, then ends
    /// leases that are over and lets go of captures that have ended.
    ///
    /// CANCEL-SAFETY: may be dropped at any point; every step is a transaction of its own.
    pub async fn keep_sessions(&self) {
        if let Err(error) = self.sessions.resume_after_start(Timestamp::now()).await {
            tracing::error!(%error, "leases cannot be extended");
        }
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tidy_sessions(Timestamp::now()).await {
                tracing::error!(%error, "leases cannot be looked at");
            }
        }
    }

    /// One look at all sessions, and at what their captures hold.
    pub async fn tidy_sessions(&self, now: Timestamp) -> Result<(), SessionError> {
        self.sessions.expire_leases(now).await?;
        let open = self.sessions.list(SessionFilter { open_only: true, computer: None }).await?;
        self.captures.keep_only(&open);
        self.captures.settle().await;
        Ok(())
    }
}
