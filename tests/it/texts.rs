//! The sentences that people read: that each is said and none is missing, and French typography.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use mimeo_core::text::keys;

const SHARED_FRENCH: &str = include_str!("../../src/core/text/fr.ftl");
const PAGES_FRENCH: &str = include_str!("../../src/server/ui/fr.ftl");
const TERMINAL_FRENCH: &str = include_str!("../../src/server/cli/fr.ftl");

/// With what the keys begin of the sentences that are not the pages' own, and where they are asked for.
const SHARED_BEGIN: [&str; 10] = [
    "disk-", "phase-", "source-", "failure-", "report-", "warning-", "console-", "trouble-", "dhcp-",
    "notice-",
];
const SHARED_ASKED_IN: [&str; 4] =
    ["src/core/text", "initramfs/client", "src/server/boot", "src/server/doctor"];

/// At which no line is broken.
const SPACE: char = '\u{a0}';

/// The same, but narrow. A bare console, which shows the shared sentences and the terminal's, has none.
const NARROW_SPACE: char = '\u{202f}';

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_shared_sentence_is_asked_for_and_every_one_that_is_asked_for_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in SHARED_ASKED_IN {
        rust_files(&root.join(folder), &mut files);
    }
    let mut asked = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        // What tests look for on the screen is not asked for.
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        // What stands between the quoted texts has blanks and signs in it.
        let quoted = program.split('"');
        let plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let shared =
            quoted.filter(plain).filter(|text| SHARED_BEGIN.iter().any(|begin| text.starts_with(begin)));
        asked.extend(shared.map(str::to_owned));
    }
    let said: BTreeSet<String> = keys(SHARED_FRENCH).into_iter().map(str::to_owned).collect();
    assert!(said.len() > 40, "only {} sentences", said.len());
    assert_eq!(said.difference(&asked).collect::<Vec<_>>(), Vec::<&String>::new(), "said by nobody");
    assert_eq!(asked.difference(&said).collect::<Vec<_>>(), Vec::<&String>::new(), "without a sentence");
}

/// The signs that do not stand where French typography puts them, in sentences whose high signs have `high` before
/// them.
fn misplaced(catalogue: &str, high: char) -> Vec<String> {
    let mut broken = Vec::new();
    for line in catalogue.lines().filter(|line| !line.starts_with('#')) {
        let Some((key, sentence)) = line.split_once(" = ") else { continue };
        let characters: Vec<char> = sentence.chars().collect();
        for (place, sign) in characters.iter().enumerate() {
            let before = place.checked_sub(1).map(|place| characters[place]);
            let after = characters.get(place + 1).copied();
            let well = match sign {
                ';' | '!' | '?' => before == Some(high),
                ':' | '»' | '%' => before == Some(SPACE),
                '«' => after == Some(SPACE),
                _ => true,
            };
            if !well {
                broken.push(format!("{key}: {sign:?} in {sentence}"));
            }
        }
    }
    broken
}

#[test]
fn french_punctuation_stays_on_the_line_of_its_word() {
    assert_eq!(misplaced(PAGES_FRENCH, NARROW_SPACE), Vec::<String>::new());
    assert_eq!(misplaced(SHARED_FRENCH, SPACE), Vec::<String>::new());
    assert_eq!(misplaced(TERMINAL_FRENCH, SPACE), Vec::<String>::new());
    for wrong in ["a = Quoi ?", "a = Quoi?", "a = Ici: là", "a = « Ici\u{a0}»", "a = 5 %"] {
        assert_eq!(misplaced(wrong, SPACE).len(), 1, "{wrong}");
    }
}
