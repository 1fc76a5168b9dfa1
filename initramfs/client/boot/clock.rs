//! The computer's clock, as far as certificates need it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_settime},
};

/// What the clock says, in seconds since 1970; 0 where it lies before that.
#[expect(clippy::disallowed_methods, reason = "the wall clock itself is the subject")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Sets the clock of this boot. The one on the main board stays as it is: it belongs to the computer's own system.
pub fn set(unix_seconds: u64) {
    let was = self::unix_seconds();
    match clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(Duration::from_secs(unix_seconds))) {
        Ok(()) => tracing::warn!(was, unix_seconds, "this computer's clock did not fit the server's"),
        Err(errno) => tracing::error!(%errno, "setting the clock"),
    }
}
