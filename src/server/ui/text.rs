//! What the pages say, in the language of the one who reads.

use std::{fmt, sync::LazyLock};

use askama::filters::HtmlSafe;
use mimeo_core::{
    failure::FailureCause,
    manifest::warning::Warning,
    messages::{DiskPin, Language, Phase},
    text::{Texts, failure, size, texts, warning},
};

use crate::{
    boot::{dhcp::sentences, notices::Notice},
    clock::Timestamp,
};

const FRENCH: &str = include_str!("fr.ftl");
const ENGLISH: &str = include_str!("en.ftl");

/// The words of one language. Templates ask them for every sentence.
#[derive(Clone, Copy)]
pub struct Words {
    pages: &'static Texts,
}

impl Words {
    pub fn new(language: Language) -> Self {
        static FR: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::Fr, FRENCH));
        static EN: LazyLock<Texts> = LazyLock::new(|| Texts::new(Language::En, ENGLISH));
        Self {
            pages: match language {
                Language::Fr => &FR,
                Language::En => &EN,
            },
        }
    }

    pub fn language(&self) -> Language {
        self.pages.language()
    }

    /// The language's code, as HTML knows it.
    pub fn code(&self) -> &'static str {
        code_of(self.language())
    }

    pub fn say(&self, key: &str) -> String {
        self.pages.say(key)
    }

    /// A sentence with one value in it.
    pub fn say_of(&self, key: &str, name: &str, value: impl fmt::Display) -> String {
        self.pages.say_with(key, &[(name, &value.to_string())])
    }

    pub fn say_with(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.pages.say_with(key, values)
    }

    pub fn bytes(&self, bytes: u64) -> String {
        size::bytes(self.language(), bytes)
    }

    pub fn phase(&self, phase: Phase) -> String {
        failure::phase(self.shared(), phase)
    }

    pub fn disk(&self, pin: &DiskPin) -> String {
        failure::disk(self.shared(), pin)
    }

    pub fn failure(&self, cause: &FailureCause) -> String {
        failure::sentence(self.shared(), cause)
    }

    pub fn warning(&self, warning: &Warning) -> String {
        warning::sentence(self.shared(), warning)
    }

    pub fn notice(&self, notice: &Notice) -> String {
        sentences::notice(self.shared(), notice)
    }

    /// The sentences that client and server share.
    pub fn shared(&self) -> &'static Texts {
        texts(self.language())
    }
}

/// The code of a language, in HTML, in forms and in the cookie.
pub fn code_of(language: Language) -> &'static str {
    match language {
        Language::Fr => "fr",
        Language::En => "en",
    }
}

/// A moment as an element that the script tells in the browser's own zone; in UTC without it.
pub struct Moment(pub Timestamp);

/// Digits and signs of our own.
impl HtmlSafe for Moment {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0.div_euclid(1000);
        let (year, month, day) = date_of(seconds.div_euclid(86_400));
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "<time datetime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\">\
             {year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC</time>"
        )
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use mimeo_core::text::keys;

    use super::{ENGLISH, FRENCH, Moment};
    use crate::clock::Timestamp;

    /// The names of the values in each sentence of a source.
    fn values(source: &str) -> Vec<BTreeSet<&str>> {
        let sentences = source.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        sentences
            .map(|line| line.split("{ $").skip(1).filter_map(|rest| rest.split([' ', '}']).next()).collect())
            .collect()
    }

    /// Every text between quotation marks in the sources and templates of the pages.
    fn quoted(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                quoted(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "html") {
                let text = fs::read_to_string(&path).expect("text");
                found.extend(text.split('"').map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_sentence_is_said_in_both_languages_with_the_same_values() {
        assert_eq!(keys(FRENCH), keys(ENGLISH));
        assert_eq!(values(FRENCH), values(ENGLISH));
        assert_eq!(
            keys(FRENCH).len(),
            keys(FRENCH).iter().collect::<BTreeSet<_>>().len(),
            "a key stands twice"
        );
    }

    #[test]
    fn every_sentence_that_a_page_asks_for_is_there_and_every_one_that_is_there_is_asked_for() {
        let mut asked = BTreeSet::new();
        quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ui"), &mut asked);
        let unused: Vec<_> = keys(FRENCH).into_iter().filter(|key| !asked.contains(*key)).collect();
        assert_eq!(unused, Vec::<&str>::new());
        let mut said = BTreeSet::new();
        for folder in ["ui/templates", "ui/pages"] {
            let mut texts = Vec::new();
            for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder") {
                texts.push(fs::read_to_string(entry.expect("an entry").path()).expect("text"));
            }
            for text in &texts {
                for call in text.split(".say").skip(1) {
                    let key = call.split_once("(\"").filter(|(name, _)| name.len() <= 5);
                    said.extend(key.and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned));
                }
            }
        }
        assert!(said.len() > 50, "only {} keys are asked for", said.len());
        let missing: Vec<_> = said.iter().filter(|key| !keys(FRENCH).contains(&key.as_str())).collect();
        assert_eq!(missing, Vec::<&String>::new());
    }

    #[test]
    fn moments_are_told_in_utc() {
        for (ms, expect) in [
            (0, "<time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00 UTC</time>"),
            (951_782_399_999, "<time datetime=\"2000-02-28T23:59:59Z\">2000-02-28 23:59 UTC</time>"),
            (951_782_400_000, "<time datetime=\"2000-02-29T00:00:00Z\">2000-02-29 00:00 UTC</time>"),
            (1_795_316_645_000, "<time datetime=\"2026-11-22T03:04:05Z\">2026-11-22 03:04 UTC</time>"),
        ] {
            assert_eq!(Moment(Timestamp(ms)).to_string(), expect);
        }
    }
}
