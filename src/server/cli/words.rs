//! What the terminal says, in the language of the one who sits at it.

use std::sync::LazyLock;

use mimeo_core::{
    messages::Language,
    text::{Texts, texts},
};

const FRENCH: &str = include_str!("fr.ftl");
const ENGLISH: &str = include_str!("en.ftl");

/// The variables that name the language of messages; the first that is set and not empty counts (POSIX.1-2017, Base
/// Definitions, section 8.2).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// The words of one language.
#[derive(Clone, Copy)]
pub struct Words {
    own: &'static Texts,
}

impl Words {
    pub fn new(language: Language) -> Self {
        static FR: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::Fr, FRENCH));
        static EN: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::En, ENGLISH));
        Self {
            own: match language {
                Language::Fr => &FR,
                Language::En => &EN,
            },
        }
    }

    /// In the language of the environment for people; for programs always in the same.
    pub fn of_environment(json: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self::new(if json { Language::En } else { language_of(variable) })
    }

    pub fn language(&self) -> Language {
        self.own.language()
    }

    pub fn say(&self, key: &str) -> String {
        self.own.say(key)
    }

    /// A sentence with one value in it.
    pub fn say_of(&self, key: &str, name: &str, value: impl ToString) -> String {
        self.own.say_with(key, &[(name, &value.to_string())])
    }

    pub fn say_with(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.own.say_with(key, values)
    }

    /// The sentences that the console, the pages and the terminal share.
    pub fn shared(&self) -> &'static Texts {
        texts(self.language())
    }
}

/// The language of a locale such as `fr_CA.UTF-8`; English where it is another or none.
fn language_of(variable: impl Fn(&str) -> Option<String>) -> Language {
    let locale = VARIABLES.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default();
    match locale.split(['_', '-', '.', '@']).next() {
        Some(code) if code.eq_ignore_ascii_case("fr") => Language::Fr,
        _ => Language::En,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use mimeo_core::{messages::Language, text::keys};

    use super::{ENGLISH, FRENCH, Words, language_of};

    #[test]
    fn the_first_variable_that_says_something_names_the_language() {
        for (all, messages, lang, expect) in [
            ("", "", "fr_FR.UTF-8", Language::Fr),
            ("", "", "FR", Language::Fr),
            ("", "", "fr@euro", Language::Fr),
            ("", "", "frr_DE.UTF-8", Language::En),
            ("", "", "de_DE.UTF-8", Language::En),
            ("", "", "", Language::En),
            ("", "fr_BE", "en_GB", Language::Fr),
            ("C", "fr_BE", "fr_FR", Language::En),
            ("fr_CA", "C.UTF-8", "POSIX", Language::Fr),
        ] {
            let variable = |name: &str| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LC_MESSAGES" => Some(messages.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            };
            assert_eq!(language_of(variable), expect, "{all:?} {messages:?} {lang:?}");
        }
        assert_eq!(language_of(|_| None), Language::En);
        assert_eq!(Words::of_environment(true).language(), Language::En, "programs need one language");
    }

    /// The names of the values in each sentence of a source.
    fn values(source: &str) -> Vec<BTreeSet<&str>> {
        let sentences = source.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        sentences
            .map(|line| line.split("{ $").skip(1).filter_map(|rest| rest.split([' ', '}']).next()).collect())
            .collect()
    }

    /// What the sources of the command line and of the doctor have between quotation marks and could be a key.
    fn quoted(path: &Path, found: &mut BTreeSet<String>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("the sources are there") {
                quoted(&entry.expect("an entry").path(), found);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(path).expect("text");
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            let plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            found.extend(program.split('"').filter(plain).map(str::to_owned));
        }
    }

    #[test]
    fn every_sentence_is_said_in_both_languages_with_the_same_values() {
        assert_eq!(keys(FRENCH), keys(ENGLISH));
        assert_eq!(values(FRENCH), values(ENGLISH));
        let once: BTreeSet<_> = keys(FRENCH).into_iter().collect();
        assert_eq!(once.len(), keys(FRENCH).len(), "a key stands twice");
    }

    #[test]
    fn every_sentence_that_is_asked_for_is_there_and_every_one_that_is_there_is_asked_for() {
        let mut quoted_texts = BTreeSet::new();
        for place in ["cli", "doctor", "doctor.rs"] {
            quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut quoted_texts);
        }
        let said: BTreeSet<String> = keys(FRENCH).into_iter().map(str::to_owned).collect();
        let begin = |key: &str| key.split_once('-').map(|(begin, _)| begin.to_owned());
        let begins: BTreeSet<_> = said.iter().filter_map(|key| begin(key)).collect();
        let asked: BTreeSet<String> = quoted_texts
            .into_iter()
            .filter(|text| begin(text).is_some_and(|begin| begins.contains(&begin)))
            .collect();
        assert_eq!(said.difference(&asked).collect::<Vec<_>>(), Vec::<&String>::new(), "said by nobody");
        assert_eq!(asked.difference(&said).collect::<Vec<_>>(), Vec::<&String>::new(), "without a sentence");
    }
}
