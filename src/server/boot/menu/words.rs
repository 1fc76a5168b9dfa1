//! What boot menus say, in the languages that Mimeo speaks.
//!
//! These are not among the texts of `mimeo_core::text`, because a boot loader's screen is no page: it shows ASCII only
//! (French without its accents, as on the BIOS screens around it), in lines of 80 columns.

use mimeo_core::messages::Language;

/// The words of one language.
pub(super) struct Words {
    pub(super) unknown_computer: &'static str,
    pub(super) own_disk: &'static str,
    pub(super) start_client: &'static str,
    pub(super) register: &'static str,
    pub(super) memory_test: &'static str,
    pub(super) reboot: &'static str,
    pub(super) power_off: &'static str,
    pub(super) loading: &'static str,
    pub(super) failed: &'static str,
    pub(super) no_disk: &'static str,
    pub(super) no_power_off: &'static str,
}

const FRENCH: Words = Words {
    unknown_computer: "ordinateur inconnu",
    own_disk: "Demarrer depuis le disque de cet ordinateur",
    start_client: "Lancer Mimeo",
    register: "Enregistrer cet ordinateur",
    memory_test: "Tester la memoire",
    reboot: "Redemarrer",
    power_off: "Eteindre",
    loading: "Chargement de Mimeo...",
    failed: "Impossible de charger Mimeo depuis le serveur.",
    no_disk: "Aucun systeme trouve sur les disques de cet ordinateur.",
    no_power_off: "Ce programme ne sait pas eteindre cet ordinateur : utilisez son bouton.",
};

const ENGLISH: Words = Words {
    unknown_computer: "unknown computer",
    own_disk: "Start this computer from its own disk",
    start_client: "Start Mimeo",
    register: "Register this computer",
    memory_test: "Test the memory",
    reboot: "Reboot",
    power_off: "Power off",
    loading: "Loading Mimeo...",
    failed: "Mimeo could not be loaded from the server.",
    no_disk: "No system was found on the disks of this computer.",
    no_power_off: "This program cannot power this computer off: use its button.",
};

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::Fr => &FRENCH,
        Language::En => &ENGLISH,
    }
}

/// The plain letter under an accent, for the letters of western European names.
pub(super) fn without_accent(letter: char) -> Option<char> {
    let plain = match letter {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        'À'..='Å' => 'A',
        'Ç' => 'C',
        'È'..='Ë' => 'E',
        'Ì'..='Ï' => 'I',
        'Ñ' => 'N',
        'Ò'..='Ö' | 'Ø' => 'O',
        'Ù'..='Ü' => 'U',
        'Ý' => 'Y',
        // Names are often typed with the apostrophe and the quotes of a word processor.
        '\'' | '\u{2019}' => ' ',
        _ => return None,
    };
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::{ENGLISH, FRENCH, Words};

    #[test]
    fn every_word_can_be_shown_by_every_loader() {
        let all = |words: &Words| {
            let Words { unknown_computer, own_disk, start_client, register, memory_test, reboot, .. } =
                *words;
            let Words { power_off, loading, failed, no_disk, no_power_off, .. } = *words;
            [unknown_computer, own_disk, start_client, register, memory_test, reboot].into_iter().chain([
                power_off,
                loading,
                failed,
                no_disk,
                no_power_off,
            ])
        };
        for text in all(&FRENCH).chain(all(&ENGLISH)) {
            let plain = |c: char| c.is_ascii_alphanumeric() || " .,:".contains(c);
            assert!(!text.is_empty() && text.len() < 76 && text.chars().all(plain), "{text:?}");
        }
    }
}
