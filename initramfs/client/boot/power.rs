//! The way out of the client.

use nix::sys::reboot::{RebootMode, reboot};

/// How the client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Reboot,
    PowerOff,
}

impl Leave {
    /// How the client says it to PID 1. Codes that neither a shell nor a panic of Rust (101) uses.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Reboot => 10,
            Self::PowerOff => 11,
        }
    }

    pub fn from_exit_code(code: i32) -> Option<Self> {
        [Self::Reboot, Self::PowerOff].into_iter().find(|how| i32::from(how.exit_code()) == code)
    }
}

/// Writes everything back and leaves. Only PID 1 may; it must not return, so where the kernel refuses, this
/// waits for the power button.
pub fn leave(how: Leave) -> ! {
    nix::unistd::sync();
    let mode = match how {
        Leave::Reboot => RebootMode::RB_AUTOBOOT,
        Leave::PowerOff => RebootMode::RB_POWER_OFF,
    };
    let Err(_refused) = reboot(mode);
    loop {
        nix::unistd::pause();
    }
}
