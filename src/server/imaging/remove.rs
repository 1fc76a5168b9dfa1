//! How a version, or a master with all of its versions, goes: because a person says so, or a rule.
//!
//! It is taken off the list in one transaction, in which no session that needs it waits or runs; the request for a
//! deploy looks at the list in a transaction of its own, so neither misses the other. What only the version needed in
//! the store is garbage from then on, and collected later (`imaging/upkeep/collect.rs`).

use mimeo_core::ids::{SessionId, VersionNumber};
use sqlx::SqlitePool;

use super::{
    master::{self, MasterError, MasterName, MasterRef, Version},
    session::table::{self, TableError},
};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub name: MasterName,
    pub versions: Vec<VersionNumber>,
}

/// Removes the version that is named; without one, every version of the master. Durable when it returns. Numbers that
/// were given stay given: the next capture under the name has the next number.
///
/// With `shown`, refused where other versions would go than the person saw, in ascending order.
pub async fn remove(
    db: &SqlitePool,
    wanted: &MasterRef,
    shown: Option<&[VersionNumber]>,
) -> Result<Removed, RemoveError> {
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let (id, name, versions) = master::find_named_versions(&mut transaction, wanted).await?;
    if shown.is_some_and(|shown| shown != versions) {
        return Err(RemoveError::Changed { name });
    }
    let users = table::list_open_sessions_of(&mut transaction, &name, wanted.version).await?;
    if let Some(&session) = users.first() {
        let wanted = MasterRef { name, version: wanted.version };
        return Err(RemoveError::InUse { wanted, session, sessions: users.len() });
    }
    for &number in &versions {
        master::delete_version(&mut transaction, id, number).await?;
    }
    transaction.commit().await?;
    Ok(Removed { name, versions })
}

/// What became of versions that a rule chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    pub removed: Vec<VersionNumber>,
    /// Those that stay for now, each with the oldest session that uses it.
    pub in_use: Vec<(VersionNumber, SessionId)>,
}

/// Removes what `choose` chooses of all versions that the master has now, the oldest first; what a session uses stays. So
/// does the latest, whatever is chosen: only a person removes a master's last version. What is not there is no error.
///
/// It chooses inside the transaction that removes: a version that a person removes meanwhile was never counted on.
pub async fn remove_chosen(
    db: &SqlitePool,
    name: &MasterName,
    choose: impl FnOnce(&[Version]) -> Vec<VersionNumber>,
) -> Result<Chosen, RemoveError> {
    let mut chosen = Chosen::default();
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let versions = master::list_versions_named(&mut transaction, name).await?;
    let Some((_latest, older)) = versions.split_last() else { return Ok(chosen) };
    let wanted = choose(&versions);
    for &Version { master, number, .. } in older.iter().filter(|version| wanted.contains(&version.number)) {
        let users = table::list_open_sessions_of(&mut transaction, name, Some(number)).await?;
        if let Some(&session) = users.first() {
            chosen.in_use.push((number, session));
            continue;
        }
        master::delete_version(&mut transaction, master, number).await?;
        chosen.removed.push(number);
    }
    transaction.commit().await?;
    Ok(chosen)
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("{wanted} is used by session {session}, one of {sessions} that wait or run")]
    InUse {
        wanted: MasterRef,
        /// The oldest of them.
        session: SessionId,
        sessions: usize,
    },
    #[error("the versions of {name} are not those that were shown: look again")]
    Changed { name: MasterName },
    #[error(transparent)]
    Master(#[from] MasterError),
    #[error(transparent)]
    Sessions(#[from] TableError),
}

impl From<sqlx::Error> for RemoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Master(error.into())
    }
}

#[cfg(test)]
mod tests;
