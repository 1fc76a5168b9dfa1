//! Questions to the person at the terminal: which disk is meant, and whether its content may go.

use std::io::{self, BufRead, IsTerminal, Write};

use mimeo_core::messages::DiskPin;

use super::{
    failure::CliError,
    screen::plain,
    sessions::{Unclear, choose},
    words::Words,
};
use crate::api::sessions::{DiskPreview, JobKind, SessionPreview};

/// How often somebody may mistype a disk before the command gives up: they have to look at it again.
const TRIES: usize = 3;

/// Who can be asked: whoever sits at the terminal, or nobody.
pub(super) struct Person {
    words: Words,
    input: Option<Box<dyn BufRead>>,
}

impl Person {
    pub(super) fn at_terminal(words: Words) -> Self {
        let input = io::stdin();
        let input: Option<Box<dyn BufRead>> =
            if input.is_terminal() { Some(Box::new(input.lock())) } else { None };
        Self { words, input }
    }

    pub(super) fn is_there(&self) -> bool {
        self.input.is_some()
    }

    /// Asks for a line. `None` where nobody answers.
    pub(super) fn ask(&mut self, question: &str) -> Result<Option<String>, CliError> {
        let Some(input) = &mut self.input else { return Ok(None) };
        let failed = |error: io::Error| CliError::Refused(error.to_string());
        // Not on the standard output, which is for the answer.
        let mut output = io::stderr();
        output.write_all(question.as_bytes()).and_then(|()| output.flush()).map_err(failed)?;
        let mut typed = String::new();
        let bytes = input.read_line(&mut typed).map_err(failed)?;
        Ok(Some(typed.trim().to_owned()).filter(|_| bytes > 0))
    }

    /// The disk that is meant where several could be. Whoever types nothing wants nothing.
    pub(super) fn which_disk(&mut self, preview: &SessionPreview) -> Result<DiskPin, CliError> {
        let words = self.words;
        let pins: Vec<DiskPin> = preview.disks.iter().map(|disk| disk.pin.clone()).collect();
        let question = words.say(match preview.kind {
            JobKind::Capture => "ask-disk-read",
            JobKind::Deploy => "ask-disk-erase",
        });
        let mut text = format!("{}{question} ", disks(words, preview));
        for _ in 0..TRIES {
            let Some(typed) = self.ask(&text)?.filter(|typed| !typed.is_empty()) else { break };
            let unclear = match choose(&pins, &typed) {
                Ok(pin) => return Ok(pin.clone()),
                Err(Unclear::None) => words.say_of("ask-no-such-disk", "typed", plain(&typed)),
                Err(Unclear::Several) => words.say_of("error-several-such-disks", "typed", plain(&typed)),
            };
            text = format!("{unclear}\n{question} ");
        }
        Err(CliError::Refused(words.say("ask-nothing-done")))
    }

    /// Shows what will be erased and asks whether it may be.
    pub(super) fn confirm(&mut self, erased: &[(String, &DiskPreview)]) -> Result<(), CliError> {
        let words = self.words;
        let mut text = format!("{}\n", words.say("ask-erase"));
        for (computer, disk) in erased {
            text.push_str(&lost(words, &format!("{computer}: "), disk));
        }
        if !self.is_there() {
            return Err(CliError::Refused(format!("{}\n{}", text.trim_end(), words.say("ask-nobody"))));
        }
        let yes = words.say("ask-yes");
        match self.ask(&format!("{text}{} ", words.say_of("ask-type", "word", &yes)))? {
            Some(typed) if typed == yes => Ok(()),
            _ => Err(CliError::Refused(words.say("ask-nothing-done"))),
        }
    }
}

/// Why nothing is done where nobody can be asked which disk is meant.
pub(super) fn several_disks(words: Words, preview: &SessionPreview) -> String {
    let mut text = words.say_of("ask-several", "computer", &preview.computer_name);
    for disk in &preview.disks {
        text.push_str(&format!("\n  {}", words.disk(&disk.pin)));
    }
    text
}

/// The disks that could be meant, numbered, with what is on each.
fn disks(words: Words, preview: &SessionPreview) -> String {
    let mut text = format!("{}\n", words.say_of("ask-disks", "computer", &preview.computer_name));
    for (number, disk) in (1..).zip(&preview.disks) {
        text.push_str(&lost(words, &format!("{number}  "), disk));
    }
    text
}

/// A disk with what stands on it, each on a line of its own.
fn lost(words: Words, before: &str, preview: &DiskPreview) -> String {
    let mut text = format!("  {before}{} ({})\n", words.disk(&preview.pin), plain(&preview.kernel_name));
    if preview.partitions.is_empty() {
        text.push_str(&format!("      {}\n", words.say("disk-no-partitions")));
    }
    for partition in &preview.partitions {
        text.push_str(&format!("      {}\n", words.partition(partition)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use mimeo_core::messages::Language;
    use serde_json::json;

    use super::{Person, disks, lost};
    use crate::{
        api::sessions::{DiskPreview, SessionPreview},
        cli::words::Words,
    };

    fn typing(language: Language, lines: &'static str) -> Person {
        Person { words: Words::new(language), input: Some(Box::new(Cursor::new(lines))) }
    }

    fn nobody() -> Person {
        Person { words: Words::new(Language::En), input: None }
    }

    fn disk(serial: Option<&str>) -> serde_json::Value {
        json!({ "kernel_name": "sda", "model": "Disk", "serial": serial, "wwn": null, "size_bytes": 1000,
                "logical_sector": 512,
                "partitions": [{ "number": 1, "place": { "start_bytes": 0, "length_bytes": 1000 },
                                 "name": "Data", "filesystem": "ntfs" }] })
    }

    fn preview() -> SessionPreview {
        let preview = json!({
            "kind": "deploy", "computer": 1, "computer_name": "pc-1", "master": "debian", "version": 3,
            "shown": "00", "disks": [disk(Some("AAA")), disk(None), disk(Some("CCC")), disk(Some("CCC"))],
        });
        serde_json::from_value(preview).expect("a preview")
    }

    #[test]
    fn what_is_erased_stands_on_lines_of_its_own_whatever_a_machine_calls_it() {
        let preview = serde_json::from_value::<DiskPreview>(json!({
            "kernel_name": "sda\n  pc-2: nothing", "model": "Disk\u{1b}[2K", "serial": "S1\r", "wwn": null,
            "size_bytes": 1000, "logical_sector": 512,
            "partitions": [{ "number": 1, "place": { "start_bytes": 0, "length_bytes": 1000 },
                             "name": "Data\n      nothing", "filesystem": null }],
        }));
        let text = lost(Words::new(Language::En), "pc-1: ", &preview.expect("a preview"));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            !text.contains(['\u{1b}', '\r']) && text.contains("unknown content  1\u{a0}kB  Data"),
            "{text}"
        );
    }

    #[test]
    fn whoever_is_asked_sees_each_disk_with_its_partitions() {
        let text = disks(Words::new(Language::Fr), &preview());
        for part in ["pc-1 a plusieurs disques", "  1  Disk 1\u{a0}ko, numéro de série AAA (sda)", "NTFS"] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert_eq!(text.matches("Data").count(), 4, "{text}");
    }

    #[test]
    fn a_disk_is_chosen_by_serial_number_or_number_also_one_without_a_name() {
        for (lines, chosen) in [("aaa\n", 0), ("2\n", 1), ("CCC\n9\n3\n", 2)] {
            let pin = typing(Language::En, lines).which_disk(&preview()).expect(lines);
            assert_eq!(pin, preview().disks[chosen].pin, "{lines:?}");
        }
        for lines in ["", "\n", "\n1\n", "x\ny\nz\n1\n", "CCC\n"] {
            let refused = typing(Language::En, lines).which_disk(&preview()).expect_err(lines);
            assert_eq!(refused.sentence(&Words::new(Language::En)), "nothing was done", "{lines:?}");
        }
    }

    #[test]
    fn nothing_is_erased_without_the_whole_word() {
        let preview = preview();
        let erased = [("pc-1".to_owned(), &preview.disks[0])];
        assert!(typing(Language::En, "yes\n").confirm(&erased).is_ok());
        assert!(typing(Language::Fr, "oui\n").confirm(&erased).is_ok());
        for lines in ["", "\n", "y\n", "no\n", "yes please\n"] {
            assert!(typing(Language::En, lines).confirm(&erased).is_err(), "{lines:?}");
        }
        let refused = nobody().confirm(&erased).expect_err("nobody is there");
        let sentence = refused.sentence(&Words::new(Language::En));
        assert!(sentence.contains("pc-1: Disk") && sentence.contains("--yes"), "{sentence}");
    }
}
