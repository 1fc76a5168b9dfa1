//! What a machine says of itself, made harmless for whoever reads it: it is shown in terminals and pages, and
//! firmware, disks and file systems hold whatever somebody wrote into them.

use super::{DiskReport, Identity, MachineReport, NicReport, PartitionReport, Processor};

/// The longest text that is kept: as long as a page of SCSI's vital product data. A GPT partition's name has 36
/// characters, an SMBIOS string hardly more than 64.
const TEXT_CHARS_MAX: usize = 256;

/// What stands where a character steers a terminal or turns the reading order round.
const HARMLESS: char = '\u{fffd}';

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
    text.as_deref().map(printable)
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
    DiskReport {
        kernel_name: printable(&disk.kernel_name),
        model: maybe(disk.model),
        serial: maybe(disk.serial),
        wwn: maybe(disk.wwn),
        transport: maybe(disk.transport),
        partitions: disk.partitions.into_iter().map(partition).collect(),
        ..disk
    }
}

fn nic(nic: NicReport) -> NicReport {
    NicReport { kernel_name: printable(&nic.kernel_name), driver: maybe(nic.driver), ..nic }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::printable;

    #[test]
    fn nothing_steers_the_terminal_of_who_reads_it() {
        assert_eq!(
            printable("S1\x1b[2J\x07\u{9b}3;J\r\n"),
            "S1\u{fffd}[2J\u{fffd}\u{fffd}3;J\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("a\u{202e}b\u{2066}c\0"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(printable("Samsung SSD 980 é 日本"), "Samsung SSD 980 é 日本");
    }

    proptest! {
        #[test]
        fn a_text_is_short_harmless_and_stays_as_it_is(text in any::<String>()) {
            let once = printable(&text.repeat(40));
            assert!(once.chars().count() <= 256 && !once.chars().any(char::is_control));
            assert_eq!(printable(&once), once);
        }
    }
}
