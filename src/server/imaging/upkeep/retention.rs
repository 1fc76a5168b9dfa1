//! How long versions are kept, where the configuration limits that.

use std::num::NonZeroU32;

use mimeo_core::ids::VersionNumber;
use sqlx::SqlitePool;

use super::{audit::BrokenVersion, steady::check_clock};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::{
        master::{self, MasterName, MasterRef, Version},
        remove::{RemoveError, remove_chosen},
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
        let mut aged = versions.to_vec();
        aged.sort_unstable_by_key(|&(number, _)| number);
        // A version is no older than those before it, whatever the clock said when it was captured.
        let mut newest = Timestamp(i64::MIN);
        for (_, created) in &mut aged {
            newest = newest.max(*created);
            *created = newest;
        }
        let is_old =
            |created: Timestamp| keep_ms.is_none_or(|keep_ms| now.0.saturating_sub(created.0) >= keep_ms);
        let older = aged.into_iter().rev().skip(keep_versions);
        older.filter(|&(_, created)| is_old(created)).map(|(number, _)| number).collect()
    }

    /// Removes what may go and no session uses, and gives it. By age nothing goes while the clock is not steady
    /// (`upkeep/steady.rs`), and of a master nothing while what would stay of it is among the `broken`: what goes may be
    /// all that can still be deployed.
    pub async fn apply(
        self,
        db: &SqlitePool,
        events: &Events,
        broken: &[BrokenVersion],
        now: Timestamp,
    ) -> Result<Vec<MasterRef>, RemoveError> {
        let mut removed = Vec::new();
        let listed = master::list_all_versions(db).await?;
        let newest = listed.iter().map(|listed| listed.version.created_at).max();
        let Some(newest) = newest.filter(|_| self != Self::default()) else { return Ok(removed) };
        if self.keep_days.is_some()
            && let Err(why) = check_clock(db, newest, now).await?
        {
            tracing::warn!(%why, "versions stay though their time may be over: {why}");
            return Ok(removed);
        }
        let mut names: Vec<MasterName> = listed.into_iter().map(|listed| listed.name).collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        for name in names {
            // Chosen of what is there then: a person may have removed some meanwhile.
            let choose = |versions: &[Version]| {
                let dated = versions.iter().map(|version| (version.number, version.created_at));
                let mut gone = self.expired(&dated.collect::<Vec<_>>(), now);
                let stays = |found: &MasterRef| {
                    found.name == name && found.version.is_none_or(|number| !gone.contains(&number))
                };
                if let Some(found) = broken.iter().find(|found| stays(&found.version)) {
                    tracing::warn!(version = %found.version, "a version is broken, older ones of its master stay");
                    gone.clear();
                }
                gone
            };
            let chosen = remove_chosen(db, &name, choose).await?;
            for (number, session) in chosen.in_use {
                tracing::info!(master = %name, version = %number, %session, "a version may go and is in use");
            }
            for version in chosen.removed {
                let wanted = MasterRef { name: name.clone(), version: Some(version) };
                tracing::info!(%wanted, "the version went, as the rules of the store say");
                events.emit(Event::VersionRemoved { name: name.to_string(), version });
                removed.push(wanted);
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use mimeo_core::ids::VersionNumber;

    use sqlx::SqlitePool;

    use super::{BrokenVersion, DAY_MS, Retention};
    use crate::{
        clock::Timestamp,
        db,
        events::Events,
        imaging::master::{self, NewVersion, insert_version},
    };

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

    #[test]
    fn a_version_is_no_older_than_those_before_it() {
        let rule = Retention { keep_versions: None, keep_days: NonZeroU32::new(30) };
        let day_of = |day: i64| Timestamp(day * DAY_MS);
        // The second was captured while the clock stood in 1970.
        let versions =
            [(1, 20_000), (2, 0), (3, 20_010)].map(|(number, day)| (VersionNumber(number), day_of(day)));
        assert_eq!(rule.expired(&versions, day_of(20_011)), []);
        assert_eq!(rule.expired(&versions, day_of(20_030)), [VersionNumber(2), VersionNumber(1)]);
    }

    async fn publish(db: &SqlitePool, day: i64) {
        let new = NewVersion {
            master: "debian".parse().expect("a name"),
            description: String::new(),
            manifest_root: mimeo_core::manifest::ManifestRoot([day as u8; 32]),
            disk_bytes: 1,
            carried_bytes: 1,
            stored_bytes: 1,
            unread_bytes: 0,
            unread_sectors: 0,
            computer: None,
            session: None,
            provenance: None,
            warnings: vec![],
        };
        insert_version(db, &new, Timestamp(day * DAY_MS)).await.expect("inserted");
    }

    #[tokio::test]
    async fn a_clock_that_jumps_removes_nothing_by_age_and_the_rule_of_numbers_needs_no_clock() {
        let db = db::open_in_memory().await.expect("a database");
        for day in [20_000, 20_001, 20_002] {
            publish(&db, day).await;
        }
        let by_age = Retention { keep_versions: None, keep_days: NonZeroU32::new(30) };
        let apply = async |rule: Retention, day: i64| {
            let now = Timestamp(day * DAY_MS);
            let removed = rule.apply(&db, &Events::new(), &[], now).await.expect("applied");
            removed.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(apply(by_age, 20_003).await, [""; 0]);
        for day in [24_000, 24_001, 0, 20_004] {
            assert_eq!(apply(by_age, day).await, [""; 0], "day {day}");
        }
        assert_eq!(master::list_all_versions(&db).await.expect("listed").len(), 3);
        // The clock is right again and goes on: what is thirty days old goes in the end.
        for day in 20_005..20_030 {
            assert_eq!(apply(by_age, day).await, [""; 0], "day {day}");
        }
        assert_eq!(apply(by_age, 20_030).await, ["debian@1"]);
        let by_number = Retention { keep_versions: NonZeroU32::new(1), keep_days: None };
        assert_eq!(apply(by_number, 0).await, ["debian@2"], "numbers need no clock");
    }

    #[tokio::test]
    async fn where_what_would_stay_is_broken_nothing_of_its_master_goes() {
        let db = db::open_in_memory().await.expect("a database");
        for day in [1, 2, 3] {
            publish(&db, day).await;
        }
        let rule = Retention { keep_versions: NonZeroU32::new(1), keep_days: None };
        let apply = async |broken: &str| {
            let version = broken.parse().expect("a version");
            let lacks = BrokenVersion { version, lost_chunks: 1, first_lost: None, without_manifest: false };
            let removed = rule.apply(&db, &Events::new(), &[lacks], Timestamp(0)).await.expect("applied");
            removed.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(apply("debian@3").await, [""; 0]);
        assert_eq!(apply("debian@2").await.len(), 2, "it would have gone itself");
    }
}
