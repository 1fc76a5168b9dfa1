//! Whether the clock may be trusted with what cannot be undone.
//!
//! A machine whose battery is empty starts in 1970, one that was set wrong starts in 2050, and the network's time comes
//! later or never. By such a clock every version is young or every version is old, and what went for its age does not
//! come back. So ages count only while the clock is *steady*, by what the database has seen of it:
//!
//! - it does not stand before the newest version that is listed;
//! - since the last look no more than [`GAP_MAX`] went by, and it did not go back;
//! - else it jumped, or the server was off: nobody here can tell which. Then, and where nobody has looked yet, ages count again once it has gone on steadily
//!   for [`STEADY_AFTER`].
//!
//! What that costs is that old versions stay a week longer after a holiday.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;

use super::setting;
use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The row of table `setting` that holds the last look.
const SETTING: &str = "retention_clock";

/// Longest time between two looks, which are a day apart while the server runs: a week in which it is off is ordinary, and
/// a jump of a week makes nothing old that was not nearly so.
const GAP_MAX: Duration = DAY.saturating_mul(7);

/// How far the clock may be set back between two looks: by what the network's time corrects in a day, and far more.
const BACK_MAX: Duration = Duration::from_secs(3600);

/// How long a clock that jumped has to go on: long enough for somebody to notice a wrong date.
const STEADY_AFTER: Duration = DAY.saturating_mul(7);

/// What was seen of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Watch {
    looked: Timestamp,
    /// Since when it has not jumped.
    since: Timestamp,
}

/// Why ages do not count now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsteady {
    /// A version was captured at a moment that is yet to come.
    BeforeNewest { newest: Timestamp, now: Timestamp },
    /// It jumped, or the server was off, and has gone on since then.
    Jumped { since: Timestamp, now: Timestamp },
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeNewest { newest, now } => {
                write!(
                    f,
                    "the clock stands {} h before the newest version",
                    newest.since(*now).as_secs() / 3600
                )
            }
            Self::Jumped { since, now } => write!(
                f,
                "the clock is watched for {} h only, since it jumped or the server was off; ages count after {} h",
                now.since(*since).as_secs() / 3600,
                STEADY_AFTER.as_secs() / 3600
            ),
        }
    }
}

impl Watch {
    /// Before anybody looked, nothing is known of the clock: the newest version may have been captured by a wrong one.
    fn first(now: Timestamp) -> Self {
        Self { looked: now, since: now }
    }

    /// A look at the clock.
    fn look(self, newest: Timestamp, now: Timestamp) -> (Self, Result<(), Unsteady>) {
        let jumped = now.since(self.looked) > GAP_MAX || self.looked.since(now) > BACK_MAX;
        let since = if jumped { now } else { self.since };
        let steady = if now < newest {
            Err(Unsteady::BeforeNewest { newest, now })
        } else if now.since(since) < STEADY_AFTER {
            Err(Unsteady::Jumped { since, now })
        } else {
            Ok(())
        };
        (Self { looked: now, since }, steady)
    }
}

/// Looks at the clock, and keeps what was seen for the next look. `newest` is when the newest version was captured.
pub(super) async fn check_clock(
    db: &SqlitePool,
    newest: Timestamp,
    now: Timestamp,
) -> Result<Result<(), Unsteady>, sqlx::Error> {
    let watch = setting::load(db, SETTING).await?.unwrap_or_else(|| Watch::first(now));
    let (watch, steady) = watch.look(newest, now);
    // Kept before anything is removed: a look that is not remembered would be taken for none.
    setting::keep(db, SETTING, &watch).await?;
    Ok(steady)
}

#[cfg(test)]
mod tests {
    use super::{Unsteady, Watch};
    use crate::clock::Timestamp;

    const HOUR_MS: i64 = 3600 * 1000;

    /// Hours from an ordinary moment.
    fn at(hours: i64) -> Timestamp {
        Timestamp(1_800_000_000_000 + hours * HOUR_MS)
    }

    /// Watched for a week at hour 0.
    const STEADY: Watch = Watch {
        looked: Timestamp(1_800_000_000_000),
        since: Timestamp(1_800_000_000_000 - 7 * 24 * HOUR_MS),
    };

    /// Whether ages count at each of these looks, a version having been captured at hour 0.
    fn looks(hours: &[i64]) -> Vec<bool> {
        let mut watch = STEADY;
        let look = |&hour: &i64| {
            let (next, steady) = watch.look(at(0), at(hour));
            watch = next;
            steady.is_ok()
        };
        hours.iter().map(look).collect()
    }

    #[test]
    fn ages_count_while_the_server_looks_day_by_day() {
        assert_eq!(looks(&[1, 25, 49, 73]), [true; 4]);
        assert_eq!(looks(&[1, 25, 25 + 7 * 24, 25 + 8 * 24]), [true; 4], "a week off is ordinary");
        assert_eq!(looks(&[24, 24, 23, 48]), [true; 4], "the network's time sets it back a little");
    }

    #[test]
    fn after_a_jump_ages_count_once_the_clock_has_gone_on_for_a_week() {
        let ten_years = 10 * 365 * 24;
        let days = |first: i64| (0..9).map(|day| first + day * 24).collect::<Vec<_>>();
        let after = [false, false, false, false, false, false, false, true, true];
        assert_eq!(looks(&days(ten_years)), after);
        // Set right again after two days: that is a jump too, and back.
        let looked = looks(&[&[1, 25, ten_years, ten_years + 24][..], &days(73)].concat());
        assert_eq!(looked, [&[true, true, false, false][..], &after].concat());
        assert_eq!(looks(&[1, 25, 24 * 60]), [true, true, false], "a holiday cannot be told from it");
    }

    #[test]
    fn a_clock_that_stands_before_what_was_captured_makes_nothing_old() {
        let (watch, steady) = STEADY.look(at(0), Timestamp(0));
        assert_eq!(steady, Err(Unsteady::BeforeNewest { newest: at(0), now: Timestamp(0) }));
        let (_, steady) = watch.look(at(0), Timestamp(i64::MAX));
        assert!(matches!(steady, Err(Unsteady::Jumped { .. })), "{steady:?}");
        let (_, steady) = Watch::first(Timestamp(i64::MAX)).look(Timestamp(i64::MIN), at(0));
        assert!(matches!(steady, Err(Unsteady::Jumped { .. })), "{steady:?}");
    }

    #[test]
    fn a_clock_that_nobody_watched_yet_is_watched_for_a_week_first() {
        let mut watch = Watch::first(at(0));
        for (hour, steady) in [(0, false), (24, false), (6 * 24, false), (7 * 24, true)] {
            let (next, found) = watch.look(at(0), at(hour));
            assert_eq!(found.is_ok(), steady, "hour {hour}");
            watch = next;
        }
    }
}
