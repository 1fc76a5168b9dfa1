//! What people read, in their language.
//!
//! The sentences stand in `fr.ftl` and `en.ftl` (Fluent's format), one key in both; a test compares the two.
//! The client's console and the server's pages say the same thing in the same words.

pub mod failure;
pub mod report;
pub mod size;
pub mod warning;

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use unic_langid::{LanguageIdentifier, langid};

use crate::messages::Language;

const FRENCH: &str = include_str!("fr.ftl");
const ENGLISH: &str = include_str!("en.ftl");

/// The sentences of one language.
pub struct Texts {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

/// The sentences that client and server share.
pub fn texts(language: Language) -> &'static Texts {
    static FR: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::Fr, FRENCH));
    static EN: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::En, ENGLISH));
    match language {
        Language::Fr => &FR,
        Language::En => &EN,
    }
}

impl Texts {
    /// Reads sentences in Fluent's format.
    ///
    /// # Panics
    /// Where `source` is not well formed: it is part of the program, and a test reads it.
    pub fn new(language: Language, source: &str) -> Self {
        let locale: LanguageIdentifier = match language {
            Language::Fr => langid!("fr"),
            Language::En => langid!("en"),
        };
        let mut bundle = FluentBundle::new_concurrent(vec![locale]);
        // The marks that isolate left-to-right text would show as boxes on a bare console.
        bundle.set_use_isolating(false);
        let resource = FluentResource::try_new(source.to_owned())
            .unwrap_or_else(|(_, errors)| panic!("the sentences are not well formed: {errors:?}"));
        bundle.add_resource_overriding(resource);
        Self { language, bundle }
    }

    pub fn language(&self) -> Language {
        self.language
    }

    /// The sentence under `key`; the key itself where there is none, which a person can still report.
    pub fn say(&self, key: &str) -> String {
        self.say_with(key, &[])
    }

    /// As [`Texts::say`], with values for the sentence's `{ $names }`.
    pub fn say_with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let Some(pattern) = self.bundle.get_message(key).and_then(|message| message.value()) else {
            return key.to_owned();
        };
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set(*name, FluentValue::from(*value));
        }
        self.bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
    }
}

/// The keys that a Fluent source defines, for the test that compares languages.
pub fn keys(source: &str) -> Vec<&str> {
    let starts = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    source.lines().filter(starts).filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()).collect()
}

#[cfg(test)]
mod tests {
    use super::{ENGLISH, FRENCH, keys, texts};
    use crate::messages::Language;

    #[test]
    fn every_sentence_is_said_in_both_languages() {
        assert_eq!(keys(FRENCH), keys(ENGLISH));
        assert!(!keys(FRENCH).is_empty());
    }

    #[test]
    fn both_languages_use_the_same_values_in_a_sentence() {
        let values = |source: &str| -> Vec<Vec<String>> {
            let lines = source.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
            lines
                .map(|line| {
                    let mut names: Vec<_> = line
                        .split("{ $")
                        .skip(1)
                        .filter_map(|rest| rest.split(' ').next())
                        .map(str::to_owned)
                        .collect();
                    names.sort();
                    names
                })
                .collect()
        };
        assert_eq!(values(FRENCH), values(ENGLISH));
    }

    #[test]
    fn a_key_that_nobody_wrote_shows_itself() {
        assert_eq!(texts(Language::En).say("no-such-key"), "no-such-key");
    }
}
