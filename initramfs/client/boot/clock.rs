//! The computer's clock, as far as certificates need it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_settime},
};

/// Puts a clock that lies before `unix_seconds` there: the battery of an old PC is dead, and a certificate that the
/// server made yesterday would not be valid yet.
#[expect(clippy::disallowed_methods, reason = "the wall clock itself is the subject")]
pub fn not_before(unix_seconds: u64) {
    let earliest = Duration::from_secs(unix_seconds);
    if SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now >= earliest) {
        return;
    }
    match clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(earliest)) {
        Ok(()) => tracing::warn!(unix_seconds, "this computer's clock was behind the server's"),
        Err(errno) => tracing::error!(%errno, "setting the clock"),
    }
}
