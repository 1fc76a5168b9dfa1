//! What a machine says of itself, made harmless for whoever reads it: it is shown in terminals and pages, and
//! firmware, disks and file systems hold whatever somebody wrote into them.

use super::{DiskFacts, DiskReport, Identity, MachineReport, NicReport, PartitionReport, Processor};

/// The longest text that is kept: as long as a page of SCSI's vital product data. A GPT partition's name has 36
/// characters, an SMBIOS string hardly more than 64.
const TEXT_CHARS_MAX: usize = 256;

/// What stands where a character steers a terminal or turns the reading order round.
const HARMLESS: char = '\u{fffd}';

/// A name or a number as it is kept, shown and compared: [`printable`], without the blanks and zeros that fill fields of
/// fixed length; `None` where nothing is left. Doing it twice changes nothing.
pub fn word(text: &str) -> Option<String> {
    let filling = |c: char| c.is_whitespace() || c == '\0';
    // Cutting off what is too long may leave a blank at the end.
    let word = printable(text.trim_matches(filling));
    let word = word.trim_end();
    (!word.is_empty()).then(|| word.to_owned())
}

/// The text without control characters (line ends and escapes among them) and without the marks that change the
/// direction of what follows, at most [`TEXT_CHARS_MAX`] characters of it. Doing it twice changes nothing.
pub fn printable(text: &str) -> String {
    let harmless = |c: char| {
        let steers = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if steers { HARMLESS } else { c }
    };
    text.chars().take(TEXT_CHARS_MAX).map(harmless).collect()
}

impl MachineReport {
    /// The report with every text in it [`printable`].
    pub fn into_printable(self) -> Self {
        let Self { identity, firmware, secure_boot, processor, memory_bytes, disks, nics } = self;
        Self {
            identity: identity_of(identity),
            firmware,
            secure_boot,
            processor: Processor { model: printable(&processor.model), threads: processor.threads },
            memory_bytes,
            disks: disks.into_iter().map(disk).collect(),
            nics: nics.into_iter().map(nic).collect(),
        }
    }
}

fn maybe(text: Option<String>) -> Option<String> {
    text.as_deref().and_then(word)
}

fn identity_of(identity: Identity) -> Identity {
    let Identity { system_uuid, system_serial, board_serial, chassis_serial, manufacturer, model } = identity;
    Identity {
        system_uuid: maybe(system_uuid),
        system_serial: maybe(system_serial),
        board_serial: maybe(board_serial),
        chassis_serial: maybe(chassis_serial),
        manufacturer: maybe(manufacturer),
        model: maybe(model),
    }
}

fn disk(disk: DiskReport) -> DiskReport {
    let partition =
        |partition: PartitionReport| PartitionReport { name: printable(&partition.name), ..partition };
    let DiskReport { facts, partitions } = disk;
    DiskReport {
        facts: DiskFacts {
            kernel_name: printable(&facts.kernel_name),
            model: maybe(facts.model),
            serial: maybe(facts.serial),
            wwn: maybe(facts.wwn),
            transport: maybe(facts.transport),
            ..facts
        },
        partitions: partitions.into_iter().map(partition).collect(),
    }
}

fn nic(nic: NicReport) -> NicReport {
    NicReport { kernel_name: printable(&nic.kernel_name), driver: maybe(nic.driver), ..nic }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{printable, word};

    #[test]
    fn nothing_steers_the_terminal_of_who_reads_it() {
        assert_eq!(
            printable("S1\x1b[2J\x07\u{9b}3;J\r\n"),
            "S1\u{fffd}[2J\u{fffd}\u{fffd}3;J\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("a\u{202e}b\u{2066}c\0"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(printable("Samsung SSD 980 é 日本"), "Samsung SSD 980 é 日本");
    }

    #[test]
    fn a_word_is_what_stands_between_the_filling() {
        assert_eq!(word("  QM0001 \0\0"), Some("QM0001".into()));
        assert_eq!(word(&format!("{:<255}x   y", "a")), Some(format!("{:<255}x", "a")));
        assert_eq!(word(&format!("{:<300}x", "a")), Some("a".into()));
        for nothing in ["", " \0\n"] {
            assert_eq!(word(nothing), None);
        }
    }

    proptest! {
        #[test]
        fn a_word_stays_as_it_is(text in any::<String>()) {
            if let Some(once) = word(&text.repeat(40)) {
                assert_eq!(word(&once), Some(once.clone()));
                assert_eq!(printable(&once), once);
            }
        }

        #[test]
        fn a_text_is_short_harmless_and_stays_as_it_is(text in any::<String>()) {
            let once = printable(&text.repeat(40));
            assert!(once.chars().count() <= 256 && !once.chars().any(char::is_control));
            assert_eq!(printable(&once), once);
        }
    }
}
