//! What a session did, once it is over.

use mimeo_core::text::report::{taken_over, verification};

use super::words::Words;
use crate::api::sessions::SessionView;

/// What there is to say of a session beyond how it ended: sentences, each on a line.
pub(super) fn report(words: Words, session: &SessionView) -> String {
    let mut text = String::new();
    if let Some(verify) = session.verify.filter(|_| session.state == "succeeded") {
        let texts = words.shared();
        let sentences =
            [taken_over(texts, &session.progress), verification(texts, verify, &session.phase_seconds)];
        for sentence in sentences.into_iter().flatten() {
            text.push_str(&sentence);
            text.push('\n');
        }
    }
    if session.progress.unread_sectors > 0 {
        text.push_str(&words.say_of("session-unread", "sectors", session.progress.unread_sectors));
        text.push('\n');
    }
    text
}
