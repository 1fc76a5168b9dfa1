//! What the server refuses, in the language of the one who asked. The API's own sentences are English, for programs'
//! logs; its words and details are what says the same here.

use mimeo_core::{failure::FailureCause, text::failure};
use serde::Deserialize;
use serde_json::Value;

use super::words::Words;
use crate::api::error::ErrorBody;

/// The nouns of which the server says that there is none of that name, as its details have them.
const UNKNOWN: [(&str, &str); 4] = [
    ("computer", "refused-computer"),
    ("master", "refused-master"),
    ("session", "refused-session"),
    ("token", "refused-token"),
];

/// Why the server says no. What another version of it says is passed on as it came.
pub(super) fn sentence(words: &Words, body: &ErrorBody) -> String {
    known(words, body).unwrap_or_else(|| body.message.clone())
}

fn known(words: &Words, body: &ErrorBody) -> Option<String> {
    let named = |detail: &str, key: &str| Some(words.say_of(key, "name", text(body.details.get(detail)?)));
    match body.error.as_str() {
        "not_found" => UNKNOWN.iter().find_map(|(detail, key)| named(detail, key)),
        "bad_name" => {
            named("computer", "refused-computer-name").or_else(|| Some(words.say("refused-token-name")))
        }
        "name_taken" => named("computer", "refused-name-taken"),
        "token_exists" => named("token", "refused-token-exists"),
        "bad_master" => named("master", "refused-master-name"),
        "no_disk" => {
            let cause = FailureCause::deserialize(&body.details).ok()?;
            Some(failure::sentence(words.shared(), &cause))
        }
        "not_now" => match body.details.get("reason")?.as_str()? {
            "ended" => Some(words.say("refused-ended")),
            "not_asked" => Some(words.say("refused-not-asked")),
            _ => None,
        },
        "bad_disk" => Some(words.say("refused-disk")),
        "disks_changed" => Some(words.say("refused-disks-changed")),
        "computer_busy" => Some(words.say("refused-busy")),
        "unauthenticated" => Some(words.say("refused-unknown-token")),
        "local_only" => Some(words.say("refused-local-only")),
        "no_library" => named("folder", "refused-no-library"),
        "not_empty" => named("folder", "refused-not-empty"),
        "library_in_use" => named("folder", "refused-library-in-use"),
        "not_genuine" => named("version", "refused-not-genuine"),
        "another_name" => named("version", "refused-another-name"),
        "internal" => Some(words.say("refused-failed")),
        "disk_full" => Some(words.say("refused-disk-full")),
        "database_locked" => Some(words.say("refused-database-locked")),
        _ => None,
    }
}

/// A detail as a person typed it.
fn text(detail: &Value) -> String {
    detail.as_str().map_or_else(|| detail.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;
    use serde_json::json;

    use super::{Words, sentence};

    fn said(language: Language, body: serde_json::Value) -> String {
        sentence(&Words::new(language), &serde_json::from_value(body).expect("a refusal"))
    }

    #[test]
    fn a_refusal_is_said_in_the_language_of_the_one_who_asked() {
        let body = json!({ "error": "not_found", "message": "there is no computer pc-9",
                           "details": { "computer": "pc-9" } });
        assert!(said(Language::Fr, body.clone()).starts_with("il n'y a pas d'ordinateur pc-9"));
        assert!(said(Language::En, body).starts_with("there is no computer pc-9"));
        let small = json!({ "error": "no_disk", "message": "The disk is too small",
                            "details": { "cause": "disk_too_small", "needed_bytes": 2000, "actual_bytes": 1000 } });
        let french = said(Language::Fr, small);
        assert!(french.starts_with("Le disque est trop petit") && french.contains("1000"), "{french}");
    }

    #[test]
    fn what_this_version_does_not_know_is_passed_on_word_for_word() {
        for body in [
            json!({ "error": "eclipse", "message": "the moon is in the way" }),
            json!({ "error": "not_found", "message": "the moon is in the way", "details": { "moon": 1 } }),
            json!({ "error": "no_disk", "message": "the moon is in the way", "details": { "cause": "moon" } }),
        ] {
            assert_eq!(said(Language::Fr, body), "the moon is in the way");
        }
    }
}
