//! Numbers, times and tables as people read them.

use std::{fmt::Write, time::Duration};

use mimeo_core::{failure::Failure, messages::DiskPin};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;

/// Columns as wide as their widest cell, two spaces apart. Without rows: the sentence `none`.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
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

/// As disks are sold: 500 GB, 1.0 TB.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut unit = 0;
    let mut divisor: u64 = 1;
    // 999.95 of a unit would be shown as 1000.0.
    while bytes / divisor >= 1000 && unit + 1 < UNITS.len() {
        divisor *= 1000;
        unit += 1;
    }
    let tenths = bytes / (divisor / 10).max(1);
    if unit == 0 || tenths >= 1000 {
        format!("{} {}", bytes / divisor, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// `42 s`, `3 min 07 s`, `2 h 05 min`, `4 days`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
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
    line
}

/// The name under which the API knows a phase, a state, a file system.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// A failure with its numbers: `write: disk_too_small, actual_bytes 5, needed_bytes 9`.
pub(super) fn failure(failure: &Failure) -> String {
    let cause = serde_json::to_value(&failure.cause).unwrap_or_default();
    format!("{}: {}", word(&failure.phase), details(&cause))
}

/// The facts of a JSON object as a line. The cause comes first.
pub(super) fn details(facts: &Value) -> String {
    let Value::Object(facts) = facts else { return String::new() };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cause = facts.get("cause").map(&plain);
    let others = facts.iter().filter(|(name, _)| *name != "cause");
    cause.into_iter().chain(others.map(|(name, value)| format!("{name} {}", plain(value)))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ago, bytes, duration, table};
    use crate::clock::Timestamp;

    #[test]
    fn sizes_read_as_disks_are_sold() {
        for (size, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (500_107_862_016, "500 GB"),
            (1_000_204_886_016, "1.0 TB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(size), expect);
        }
    }

    #[test]
    fn times_read_as_people_say_them() {
        for (seconds, expect) in [(0, "0 s"), (187, "3 min 07 s"), (7500, "2 h 05 min"), (345_600, "4 days")] {
            assert_eq!(duration(Duration::from_secs(seconds)), expect);
        }
        let now = Timestamp(10_000_000);
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(Timestamp(10_000_000 - 180_000), now), "3 min ago");
        assert_eq!(ago(Timestamp(10_000_001), now), "just now");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["pc-é".to_owned(), "x".to_owned()], vec!["pc-long".to_owned(), "y".to_owned()]];
        assert_eq!(table(&["NAME", "B"], &rows, "none"), "NAME     B\npc-é     x\npc-long  y\n");
        assert_eq!(table(&["NAME"], &[], "There is none."), "There is none.");
    }
}
