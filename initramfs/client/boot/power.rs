//! The way out of the client.

use nix::sys::reboot::{RebootMode, reboot};

/// How the client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Reboot,
    PowerOff,
}

/// Writes everything back and leaves. PID 1 must not return, so where the kernel refuses, this waits for the power
/// button.
pub fn leave(how: Leave) -> ! {
    nix::unistd::sync();
    let mode = match how {
        Leave::Reboot => RebootMode::RB_AUTOBOOT,
        Leave::PowerOff => RebootMode::RB_POWER_OFF,
    };
    let Err(errno) = reboot(mode);
    tracing::error!(%errno, ?how, "the kernel refused; switch the computer off by hand");
    loop {
        nix::unistd::pause();
    }
}
