//! What a command shows, on its way to the terminal.
//!
//! Serial numbers, models and partition names come from machines that nobody has to trust. In a terminal their bytes
//! could move the cursor over what is about to be erased, so none of them gets there as it came.

use std::{
    io::{self, ErrorKind, Write},
    process,
};

use serde_json::Value;

/// Shown in the place of what a terminal would obey.
const MARK: char = '\u{fffd}';

/// Prints lines on the standard output.
pub(super) fn print(text: &str) {
    let lines = text.trim_end().chars().map(|char| if char != '\n' && commands(char) { MARK } else { char });
    put(&lines.collect::<String>());
}

/// Prints lines beside the answer, on the standard error output. Nobody has to read them.
pub(super) fn print_aside(text: &str) {
    let lines = text.trim_end().chars().map(|char| if char != '\n' && commands(char) { MARK } else { char });
    let _unheard = writeln!(io::stderr(), "{}", lines.collect::<String>());
}

pub(super) fn print_json(value: &Value) {
    print_json_line(&format!("{value:#}"));
}

/// JSON as it was written, where a terminal would obey a character as its number.
pub(super) fn print_json_line(json: &str) {
    put(&escaped(json));
}

/// Text of a machine as part of a line: without line breaks and whatever else a terminal obeys.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|char| if commands(char) { MARK } else { char }).collect()
}

/// Outside of its strings JSON has no such characters but line breaks, so each may be written as a number.
pub(super) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match commands(char) && char != '\n' {
            true => text.push_str(&format!("\\u{:04x}", u32::from(char))),
            false => text.push(char),
        }
    }
    text
}

/// Whether a terminal obeys a character instead of showing it: control characters, and those that reverse the order
/// of writing (Unicode Standard Annex 9) or break a line.
fn commands(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn put(text: &str) {
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads, `head` say, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            let _unheard = writeln!(io::stderr(), "mimeo: writing the answer: {error}");
            process::exit(1);
        }
        Ok(()) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{escaped, plain};

    #[test]
    fn what_a_machine_says_cannot_steer_the_terminal() {
        assert_eq!(plain("Samsung SSD 980 é 盘"), "Samsung SSD 980 é 盘");
        assert_eq!(plain("A\u{1b}[2K\u{9b}1A\r\nB"), "A\u{fffd}[2K\u{fffd}1A\u{fffd}\u{fffd}B");
        assert_eq!(plain("\u{202e}987654"), "\u{fffd}987654");
    }

    #[test]
    fn json_keeps_its_meaning_and_loses_what_a_terminal_obeys() {
        let value = json!({ "serial": "A\u{9b}1A\u{202e}\n\u{1b}é" });
        let text = escaped(&format!("{value:#}"));
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("still JSON"), value);
    }
}
