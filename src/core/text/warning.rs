//! A warning about a version as a sentence that says what it means and what to do.

use super::Texts;
use crate::{disk::table::WHOLE_DISK, manifest::warning::Warning};

/// What the version does not show until it is deployed, and what to do about it.
pub fn sentence(texts: &Texts, warning: &Warning) -> String {
    match *warning {
        Warning::Luks { partition } => of_partition(texts, "warning-luks", partition),
        Warning::BitLocker { partition } => of_partition(texts, "warning-bitlocker", partition),
        Warning::RaidMember { partition } => of_partition(texts, "warning-raid-member", partition),
    }
}

fn of_partition(texts: &Texts, key: &str, partition: u32) -> String {
    let place = match partition {
        WHOLE_DISK => texts.say("warning-place-disk"),
        partition => texts.say_with("warning-place-partition", &[("partition", &partition.to_string())]),
    };
    texts.say_with(key, &[("place", &place)])
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::{manifest::warning::Warning, messages::Language, text::texts};

    #[test]
    fn every_warning_is_a_whole_sentence_in_both_languages_that_names_its_place() {
        for (language, partition, disk) in [
            (Language::En, "Partition 3:", "The whole disk:"),
            (Language::Fr, "Partition 3\u{a0}:", "Le disque entier\u{a0}:"),
        ] {
            let of = |partition| {
                [
                    Warning::Luks { partition },
                    Warning::BitLocker { partition },
                    Warning::RaidMember { partition },
                ]
            };
            for (number, place) in [(3, partition), (0, disk)] {
                for warning in of(number) {
                    let sentence = sentence(texts(language), &warning);
                    assert!(
                        sentence.starts_with(place) && !sentence.contains('{'),
                        "{warning:?}: {sentence}"
                    );
                    assert!(sentence.ends_with('.'), "{warning:?}: {sentence}");
                }
            }
        }
    }
}
