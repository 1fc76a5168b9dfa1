//! Sizes, rates and durations as people write them.

use std::time::Duration;

use crate::messages::Language;

/// Between a number and its unit: a space at which no line is broken.
const SPACE: char = '\u{a0}';

/// A quantity of bytes in decimal units, as disks are sold: `512 GB`, `1.5 TB`; in French `512 Go`, `1,5 To`.
pub fn bytes(language: Language, bytes: u64) -> String {
    const UNITS: [(&str, &str); 6] =
        [("B", "o"), ("kB", "ko"), ("MB", "Mo"), ("GB", "Go"), ("TB", "To"), ("PB", "Po")];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Three digits say all that a person reads: 1.53, 15.3, 153.
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let number = trim_zeros(format!("{value:.digits$}"));
    let (english, french) = UNITS[unit];
    match language {
        Language::En => format!("{number}{SPACE}{english}"),
        Language::Fr => format!("{}{SPACE}{french}", number.replace('.', ",")),
    }
}

/// A number with all of its digits, in groups of three: `549 755 813 888`. Spaces divide them in every language (The
/// International System of Units, section 5.4.4).
pub fn exact(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(SPACE);
        }
        text.push(digit);
    }
    text
}

/// A rate, per second.
pub fn rate(language: Language, bytes_per_second: f64) -> String {
    format!("{}/s", bytes(language, bytes_per_second.max(0.0) as u64))
}

/// A duration to the second: `42 s`, `3 min 05 s`, `1 h 02 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// A duration below a minute to a tenth of a second: `0.4 s`; in French `0,4 s`. A longer one as [`duration`] has it.
pub fn short_duration(language: Language, length: Duration) -> String {
    let tenths = format!("{:.1}", length.as_secs_f64());
    match language {
        _ if length.as_secs() >= 60 => duration(length),
        Language::En => format!("{tenths}{SPACE}s"),
        Language::Fr => format!("{}{SPACE}s", tenths.replace('.', ",")),
    }
}

fn trim_zeros(number: String) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, exact};
    use crate::messages::Language;

    #[test]
    fn sizes_have_three_digits_and_the_language_s_unit() {
        for (count, english, french) in [
            (0, "0 B", "0 o"),
            (999, "999 B", "999 o"),
            (1000, "1 kB", "1 ko"),
            (1530, "1.53 kB", "1,53 ko"),
            (999_600, "1 MB", "1 Mo"),
            (512_110_190_592, "512 GB", "512 Go"),
            (1_500_000_000_000, "1.5 TB", "1,5 To"),
            (u64::MAX, "18447 PB", "18447 Po"),
        ] {
            assert_eq!(bytes(Language::En, count), english.replace(' ', "\u{a0}"));
            assert_eq!(bytes(Language::Fr, count), french.replace(' ', "\u{a0}"));
        }
    }

    #[test]
    fn exact_numbers_stand_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (549_755_813_888, "549 755 813 888")]
        {
            assert_eq!(exact(number), text.replace(' ', "\u{a0}"));
        }
    }

    #[test]
    fn durations_drop_what_no_longer_matters() {
        assert_eq!(duration(Duration::from_millis(42_900)), "42 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(duration(Duration::from_secs(3720)), "1 h 02 min");
    }
}
