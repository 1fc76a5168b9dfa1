//! How long versions are kept, where the configuration limits that.

use std::{collections::HashMap, num::NonZeroU32};

use mimeo_core::ids::VersionNumber;
use sqlx::SqlitePool;

use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::{
        master::{self, MasterName, MasterRef},
        remove::{RemoveError, remove},
    },
};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Which versions of a master may go by themselves. Where both rules are given, a version goes only when it breaks both;
/// the latest version of a master never goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest versions of each master stay; `None`: their number is no reason to go or to stay.
    pub keep_versions: Option<NonZeroU32>,
    /// Versions stay for so many days; `None`: their age is no reason.
    pub keep_days: Option<NonZeroU32>,
}

impl Retention {
    /// Those that go now, of one master's versions.
    fn expired(self, versions: &[(VersionNumber, Timestamp)], now: Timestamp) -> Vec<VersionNumber> {
        if self == Self::default() {
            return Vec::new();
        }
        let keep_versions = self.keep_versions.map_or(1, NonZeroU32::get) as usize;
        let keep_ms = self.keep_days.map(|days| i64::from(days.get()) * DAY_MS);
        let mut newest_first = versions.to_vec();
        newest_first.sort_unstable_by_key(|&(number, _)| std::cmp::Reverse(number));
        let is_old =
            |created: Timestamp| keep_ms.is_none_or(|keep_ms| now.0.saturating_sub(created.0) >= keep_ms);
        let older = newest_first.into_iter().skip(keep_versions);
        older.filter(|&(_, created)| is_old(created)).map(|(number, _)| number).collect()
    }

    /// Removes what may go and no session uses, and gives it.
    pub async fn apply(
        self,
        db: &SqlitePool,
        events: &Events,
        now: Timestamp,
    ) -> Result<Vec<MasterRef>, RemoveError> {
        let mut by_master: HashMap<MasterName, Vec<(VersionNumber, Timestamp)>> = HashMap::new();
        for listed in master::list_all_versions(db).await? {
            by_master
                .entry(listed.name)
                .or_default()
                .push((listed.version.number, listed.version.created_at));
        }
        let mut removed = Vec::new();
        for (name, versions) in by_master {
            for version in self.expired(&versions, now) {
                let wanted = MasterRef { name: name.clone(), version: Some(version) };
                match remove(db, &wanted, None).await {
                    Ok(_) => {
                        tracing::info!(%wanted, "the version went, as the rules of the store say");
                        events.emit(Event::VersionRemoved { name: name.to_string(), version });
                        removed.push(wanted);
                    }
                    Err(RemoveError::InUse { session, .. }) => {
                        tracing::info!(%wanted, %session, "the version may go and is in use");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use mimeo_core::ids::VersionNumber;

    use super::{DAY_MS, Retention};
    use crate::clock::Timestamp;

    /// Which of versions 1 to 5, captured on days 0, 10, 20, 30 and 40, go on a day.
    fn gone(keep_versions: u32, keep_days: u32, day: i64) -> Vec<u32> {
        let rule = Retention {
            keep_versions: NonZeroU32::new(keep_versions),
            keep_days: NonZeroU32::new(keep_days),
        };
        let day_of = |day: i64| Timestamp(day * DAY_MS);
        let versions: Vec<_> =
            (1..=5).map(|number| (VersionNumber(number), day_of(10 * (i64::from(number) - 1)))).collect();
        let mut gone: Vec<u32> =
            rule.expired(&versions, day_of(day)).into_iter().map(|number| number.0).collect();
        gone.sort_unstable();
        gone
    }

    #[test]
    fn without_a_rule_everything_stays() {
        assert_eq!(gone(0, 0, 10_000), [0; 0]);
    }

    #[test]
    fn the_newest_stay_and_of_the_others_those_that_are_young() {
        assert_eq!(gone(2, 0, 40), [1, 2, 3]);
        assert_eq!(gone(0, 30, 40), [1, 2], "thirty days are over");
        assert_eq!(gone(2, 30, 40), [1, 2]);
        assert_eq!(gone(4, 30, 40), [1], "both rules have to say so");
    }

    #[test]
    fn the_latest_stays_however_old_it_is_and_whatever_the_clock_says() {
        assert_eq!(gone(0, 1, 10_000), [1, 2, 3, 4]);
        assert_eq!(gone(1, 0, 0), [1, 2, 3, 4]);
        assert_eq!(gone(0, 1, -10_000), [0; 0]);
    }
}
