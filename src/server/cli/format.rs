//! Numbers, times, disks and tables as people read them.

use std::fmt::Write;

use mimeo_core::{
    failure::Failure,
    machine::PartitionReport,
    manifest::warning::Warning,
    messages::{DiskPin, Phase},
    text::{
        failure::{self, filesystem_name},
        size, warning,
    },
};
use serde::Serialize;
use serde_json::Value;

use super::{screen::plain, words::Words};
use crate::clock::Timestamp;

impl Words {
    /// Columns as wide as their widest cell, two spaces apart, under the words of `columns`. Without rows: the sentence
    /// `none`.
    pub(super) fn table(&self, columns: &[&str], rows: &[Vec<String>], none: &str) -> String {
        if rows.is_empty() {
            return self.say(none);
        }
        let header: Vec<String> = columns.iter().map(|key| self.say(key)).collect();
        lines_of(&header, rows)
    }

    /// As disks are sold: 500 GB, 1.5 TB.
    pub(crate) fn bytes(&self, bytes: u64) -> String {
        size::bytes(self.language(), bytes)
    }

    /// That part of what a version was made from could not be read; `None` where all of it was.
    pub(super) fn unread(&self, version: &str, sectors: u64, bytes: u64) -> Option<String> {
        let values =
            [("version", version), ("sectors", &*sectors.to_string()), ("bytes", &*self.bytes(bytes))];
        (sectors > 0).then(|| self.say_with("version-unread", &values))
    }

    /// How long ago a moment was.
    pub(super) fn ago(&self, then: Timestamp, now: Timestamp) -> String {
        match now.since(then).as_secs() {
            0..60 => self.say("ago-now"),
            seconds @ 60..3600 => self.say_of("ago-minutes", "number", seconds / 60),
            seconds @ 3600..172_800 => self.say_of("ago-hours", "number", seconds / 3600),
            seconds => self.say_of("ago-days", "number", seconds / 86_400),
        }
    }

    /// A disk in one line, by which a person knows it.
    pub(super) fn disk(&self, pin: &DiskPin) -> String {
        let model = pin.model.clone().unwrap_or_else(|| self.say("disk-nameless"));
        let mut line = format!("{model} {}", self.bytes(pin.size_bytes));
        for (key, name, value) in [("disk-serial", "serial", &pin.serial), ("disk-wwn", "wwn", &pin.wwn)] {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _written = write!(line, ", {}", self.say_of(key, name, value));
            }
        }
        plain(&line)
    }

    /// A partition in one line: its number, what is on it, how much, and its name.
    pub(super) fn partition(&self, partition: &PartitionReport) -> String {
        let content = match partition.filesystem {
            Some(filesystem) => filesystem_name(filesystem).to_owned(),
            None => self.say("disk-unknown-content"),
        };
        let size = self.bytes(partition.place.length_bytes);
        let line = format!("{}  {content}  {size}  {}", partition.number, plain(&partition.name));
        line.trim_end().to_owned()
    }

    pub(super) fn phase(&self, phase: Phase) -> String {
        failure::phase(self.shared(), phase)
    }

    /// What to know of a version, and what to do about it.
    pub(super) fn warning(&self, warning: &Warning) -> String {
        plain(&warning::sentence(self.shared(), warning))
    }

    /// What went wrong and what to do next.
    pub(super) fn failure(&self, failed: &Failure) -> String {
        plain(&failure::sentence(self.shared(), &failed.cause))
    }
}

fn lines_of(header: &[String], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells =
            std::iter::once(header).chain(rows.iter().map(Vec::as_slice)).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _written = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// The name under which the API knows a thing, the same in every language.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;

    use super::super::words::Words;
    use crate::clock::Timestamp;

    #[test]
    fn moments_are_told_by_how_long_ago_they_were() {
        let [english, french] = [Language::En, Language::Fr].map(Words::new);
        let now = Timestamp(10_000_000);
        assert_eq!(english.ago(now, now), "just now");
        assert_eq!(english.ago(Timestamp(10_000_000 - 180_000), now), "3 min ago");
        assert_eq!(french.ago(Timestamp(10_000_000 - 7_200_000), now), "il y a 2 h");
        assert_eq!(english.ago(Timestamp(10_000_001), now), "just now", "clocks differ");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let [english, french] = [Language::En, Language::Fr].map(Words::new);
        let rows = vec![vec!["pc-é".to_owned(), "x".to_owned()], vec!["pc-long".to_owned(), "y".to_owned()]];
        let columns = ["column-name", "column-disk"];
        assert_eq!(
            english.table(&columns, &rows, "none-computers"),
            "NAME     DISK\npc-é     x\npc-long  y\n"
        );
        assert_eq!(
            french.table(&columns, &rows, "none-computers"),
            "NOM      DISQUE\npc-é     x\npc-long  y\n"
        );
        assert_eq!(french.table(&columns, &[], "none-phases"), "Elle n'a pas commencé.");
    }
}
