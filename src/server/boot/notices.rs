//! What an administrator has to see about booting: the state of things now, where events are what happened.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mimeo_core::ids::MacAddr;
use serde::{Deserialize, Serialize};

use super::dhcp::{observe::Obstacle, settings::Mode};
use crate::clock::Timestamp;

/// Notices that are kept; a person reads the first few. What was noted longest ago makes room.
const NOTICES_MAX: usize = 256;
/// A notice that was not repeated for so long is over: somebody tries at least daily what does not work.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// How long a machine has to show that it boots after all: its firmware fetches iPXE, which is heard of within seconds
/// where Secure Boot is off.
const SETTLING: Duration = Duration::from_secs(60);

/// Something that keeps machines from booting, and that a person can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A UEFI machine was given iPXE, which Secure Boot refuses, and iPXE was not heard of since.
    SecureBootOutOfReach { mac: MacAddr, obstacle: Obstacle, mode: Mode },
    /// No address of the pool was left for a machine.
    PoolExhausted { addresses: usize },
}

/// The notices of now. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    by_subject: Arc<Mutex<HashMap<Subject, Noted>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Machine(MacAddr),
    Pool,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    notice: Notice,
    first: Timestamp,
    last: Timestamp,
}

impl Notices {
    /// Something is as the notice says, now.
    pub fn note(&self, notice: Notice, now: Timestamp) {
        let subject = match notice {
            Notice::SecureBootOutOfReach { mac, .. } => Subject::Machine(mac),
            Notice::PoolExhausted { .. } => Subject::Pool,
        };
        let mut noted = self.lock();
        let first = noted.get(&subject).filter(|noted| !noted.is_over(now)).map_or(now, |noted| noted.first);
        if noted.len() >= NOTICES_MAX && !noted.contains_key(&subject) {
            let oldest = noted.iter().min_by_key(|(_, noted)| noted.last).map(|(subject, _)| *subject);
            oldest.and_then(|subject| noted.remove(&subject));
        }
        noted.insert(subject, Noted { notice, first, last: now });
    }

    /// The machine boots: what was said of it is no longer so.
    pub fn machine_boots(&self, mac: MacAddr) {
        self.lock().remove(&Subject::Machine(mac));
    }

    /// What is to be shown, with the moment at which it was last seen to be so, the latest first.
    pub fn list(&self, now: Timestamp) -> Vec<(Notice, Timestamp)> {
        let noted = self.lock();
        let is_shown = |noted: &&Noted| !noted.is_over(now) && noted.is_settled(now);
        let mut shown: Vec<_> =
            noted.values().filter(is_shown).map(|noted| (noted.notice, noted.last)).collect();
        shown.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        shown
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Noted>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.by_subject.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last) >= MEMORY
    }

    fn is_settled(&self, now: Timestamp) -> bool {
        match self.notice {
            Notice::SecureBootOutOfReach { .. } => now.since(self.first) >= SETTLING,
            Notice::PoolExhausted { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::{MEMORY, NOTICES_MAX, Notice, Notices, SETTLING};
    use crate::{
        boot::dhcp::{observe::Obstacle, settings::Mode},
        clock::Timestamp,
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn out_of_reach(number: u16) -> Notice {
        let [high, low] = number.to_be_bytes();
        let mac = MacAddr([2, 0, 0, 0, high, low]);
        Notice::SecureBootOutOfReach { mac, obstacle: Obstacle::NobodyHeard, mode: Mode::Proxy }
    }

    #[test]
    fn a_machine_is_shown_once_it_had_time_to_boot_and_until_it_does() {
        let notices = Notices::default();
        notices.note(out_of_reach(1), NOW);
        assert_eq!(notices.list(NOW), [], "it may still boot");
        let later = NOW.plus(SETTLING);
        notices.note(out_of_reach(1), later);
        assert_eq!(notices.list(later), [(out_of_reach(1), later)]);
        notices.machine_boots(MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(notices.list(later), []);
    }

    #[test]
    fn a_notice_that_nothing_repeats_is_over() {
        let notices = Notices::default();
        notices.note(Notice::PoolExhausted { addresses: 4 }, NOW);
        assert_eq!(notices.list(NOW), [(Notice::PoolExhausted { addresses: 4 }, NOW)]);
        assert_eq!(notices.list(NOW.plus(MEMORY)), []);
    }

    #[test]
    fn a_flood_of_machines_pushes_out_what_was_noted_longest_ago() {
        let notices = Notices::default();
        for number in 0..=NOTICES_MAX as u16 {
            notices.note(out_of_reach(number), Timestamp(i64::from(number)));
        }
        let shown = notices.list(NOW);
        assert_eq!(shown.len(), NOTICES_MAX);
        assert_eq!(shown[0].0, out_of_reach(NOTICES_MAX as u16), "the latest first");
        assert!(!shown.iter().any(|(notice, _)| *notice == out_of_reach(0)));
    }
}
