//! Whether the server answers, for the screen.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Since when the server has answered nothing that it was asked. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Contact {
    lost_since: Arc<Mutex<Option<Instant>>>,
}

impl Contact {
    /// `None` while it answers, and before it was asked anything.
    pub fn lost_since(&self) -> Option<Instant> {
        *self.lock()
    }

    pub(crate) fn note(&self, answered: bool, now: Instant) {
        let mut lost_since = self.lock();
        *lost_since = if answered { None } else { Some(lost_since.unwrap_or(now)) };
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // A value is written in one go.
        self.lost_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Contact;

    #[test]
    fn contact_is_lost_from_the_first_silence_until_any_answer() {
        let (contact, start) = (Contact::default(), Instant::now());
        assert_eq!(contact.lost_since(), None);
        contact.note(false, start);
        contact.note(false, start + Duration::from_secs(9));
        assert_eq!(contact.clone().lost_since(), Some(start));
        contact.note(true, start);
        assert_eq!(contact.lost_since(), None);
    }
}
