//! What a session did, once it is over.

use mimeo_core::text::report::verification;

use super::words::Words;
use crate::api::sessions::SessionView;

/// What there is to say of a session beyond how it ended: sentences, each on a line.
pub(super) fn report(words: Words, session: &SessionView) -> String {
    let mut text = String::new();
    if session.state == "succeeded"
        && let Some(verify) = session.verify
        && let Some(verification) = verification(words.shared(), verify, &session.phase_seconds)
    {
        text.push_str(&verification);
        text.push('\n');
    }
    if session.progress.unread_sectors > 0 {
        text.push_str(&words.say_of("session-unread", "sectors", session.progress.unread_sectors));
        text.push('\n');
    }
    text
}
