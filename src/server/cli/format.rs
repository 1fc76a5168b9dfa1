//! Numbers, times and tables as people read them.

use std::fmt::Write;

use mimeo_core::{
    failure::Failure,
    messages::{DiskPin, Language},
    text::{failure, size, texts},
};
use serde::Serialize;
use serde_json::Value;

use super::screen::plain;
use crate::clock::Timestamp;

/// Columns as wide as their widest cell, two spaces apart. Without rows: the sentence `none`.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
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

/// As disks are sold: 500 GB, 1.5 TB.
pub(super) fn bytes(bytes: u64) -> String {
    size::bytes(Language::En, bytes)
}

/// How long ago a moment was.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.since(then).as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

pub(super) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// A disk in one line, by which a person knows it.
pub(super) fn disk(pin: &DiskPin) -> String {
    let mut line = format!("{} {}", pin.model.as_deref().unwrap_or("disk"), bytes(pin.size_bytes));
    if let Some(serial) = &pin.serial {
        let _written = write!(line, ", serial {serial}");
    }
    if let Some(wwn) = &pin.wwn {
        let _written = write!(line, ", WWN {wwn}");
    }
    plain(&line)
}

/// The name under which the API knows a phase, a state, a file system.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// What went wrong and what to do next.
pub(super) fn failure(failed: &Failure) -> String {
    plain(&failure::sentence(texts(Language::En), &failed.cause))
}

#[cfg(test)]
mod tests {
    use super::{ago, table};
    use crate::clock::Timestamp;

    #[test]
    fn moments_are_told_by_how_long_ago_they_were() {
        let now = Timestamp(10_000_000);
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(Timestamp(10_000_000 - 180_000), now), "3 min ago");
        assert_eq!(ago(Timestamp(10_000_001), now), "just now", "clocks differ");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["pc-é".to_owned(), "x".to_owned()], vec!["pc-long".to_owned(), "y".to_owned()]];
        assert_eq!(table(&["NAME", "B"], &rows, "none"), "NAME     B\npc-é     x\npc-long  y\n");
        assert_eq!(table(&["NAME"], &[], "There is none."), "There is none.");
    }
}
