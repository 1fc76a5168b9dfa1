//! A warning about a version as a sentence that says what it means and what to do.

use super::Texts;
use crate::{
    disk::table::WHOLE_DISK,
    manifest::warning::{Opaque, Warning},
};

/// What the version does not show until it is deployed, and what to do about it.
pub fn sentence(texts: &Texts, warning: &Warning) -> String {
    let mut place = match warning.partition {
        WHOLE_DISK => texts.say("warning-place-disk"),
        partition => texts.say_with("warning-place-partition", &[("partition", &partition.to_string())]),
    };
    if let Some(volume) = &warning.volume {
        let values = [("place", &*place), ("volume", volume.as_str())];
        place = texts.say_with("warning-place-volume", &values);
    }
    let key = match warning.what {
        Opaque::Luks => "warning-luks",
        Opaque::BitLocker => "warning-bitlocker",
        Opaque::RaidMember => "warning-raid-member",
    };
    texts.say_with(key, &[("place", &place)])
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::{
        manifest::warning::{Opaque, Warning},
        messages::Language,
        text::texts,
    };

    #[test]
    fn every_warning_is_a_whole_sentence_in_both_languages_that_names_its_place() {
        let volume = || Some(String::from("debian/home").try_into().expect("a name"));
        for (language, number, volume, place) in [
            (Language::En, 3, None, "Partition 3:"),
            (Language::En, 0, None, "The whole disk:"),
            (Language::En, 3, volume(), "Partition 3, volume debian/home:"),
            (Language::Fr, 3, None, "Partition 3\u{a0}:"),
            (Language::Fr, 0, None, "Le disque entier\u{a0}:"),
            (Language::Fr, 0, volume(), "Le disque entier, volume debian/home\u{a0}:"),
        ] {
            for what in [Opaque::Luks, Opaque::BitLocker, Opaque::RaidMember] {
                let warning = Warning { what, partition: number, volume: volume.clone() };
                let sentence = sentence(texts(language), &warning);
                assert!(sentence.starts_with(place) && !sentence.contains('{'), "{warning:?}: {sentence}");
                assert!(sentence.ends_with('.'), "{warning:?}: {sentence}");
            }
        }
    }
}
