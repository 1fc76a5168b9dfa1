//! The question which of several disks is meant, as the person in front of the computer needs it: what is to be done with
//! the disk, where to answer, and the disks with what stands on them.

use mimeo_core::{
    machine::{DiskReport, PartitionReport, disk_facts},
    messages::{DiskPin, DiskQuestion, DiskUse},
    text::{Texts, failure, size},
};
use ratatui::text::{Line, Text};

use super::draw::alarm;

/// Disks that are shown: with everything above them, so many fit the 25 lines of a text console whatever their names
/// are. Computers with more are servers, and their question is answered in the page.
const CANDIDATES_SHOWN_MAX: usize = 4;

/// Before what belongs to a disk's number.
const INDENT: &str = "     ";

/// A question, with what the client knows of the disks.
#[derive(Debug, Clone)]
pub struct Question {
    asked: DiskQuestion,
    /// What was seen on each candidate.
    partitions: Vec<Vec<PartitionReport>>,
}

impl Question {
    /// `disks` are this computer's own.
    pub fn new(asked: DiskQuestion, disks: &[DiskReport]) -> Self {
        let seen = |pin: &DiskPin| disk_facts::find(pin, disks).map(|disk| disk.partitions.clone());
        let partitions = asked.candidates.iter().map(|pin| seen(pin).unwrap_or_default()).collect();
        Self { asked, partitions }
    }

    /// The question on a screen of `columns`. What a person cannot do without stands first.
    pub(super) fn text<'a>(&self, texts: &Texts, page: &str, columns: usize) -> Text<'a> {
        let columns = columns.saturating_sub(INDENT.len());
        let DiskQuestion { session, wanted_for, candidates } = &self.asked;
        let page = format!("{page}/sessions/{session}");
        let mut lines = vec![
            alarm(match wanted_for {
                DiskUse::Capture { master_name } => {
                    texts.say_with("console-question-capture", &[("master", master_name)])
                }
                DiskUse::Deploy { master_name, version } => {
                    let master = format!("{master_name}@{version}");
                    texts.say_with("console-question-deploy", &[("master", &master)])
                }
            }),
            Line::default(),
            Line::raw(texts.say_with("console-question-page", &[("page", &page)])),
            Line::raw(texts.say_with("console-question-command", &[("session", &session.to_string())])),
            Line::raw(more(texts, candidates.len())),
        ];
        let numbered = (1..).zip(candidates.iter().zip(&self.partitions));
        for (number, (pin, partitions)) in numbered.take(CANDIDATES_SHOWN_MAX) {
            lines.push(Line::raw(format!("{number:>3}  {}", failure::disk(texts, pin))));
            lines.push(Line::raw(format!("{INDENT}{}", clip(&seen(texts, partitions), columns))));
        }
        Text::from(lines)
    }
}

/// That not all disks are shown, where that is so.
fn more(texts: &Texts, count: usize) -> String {
    if count <= CANDIDATES_SHOWN_MAX {
        return String::new();
    }
    let numbers = [("shown", &*CANDIDATES_SHOWN_MAX.to_string()), ("count", &*count.to_string())];
    texts.say_with("console-question-more", &numbers)
}

/// The partitions in one line: number, file system, size, name.
fn seen(texts: &Texts, partitions: &[PartitionReport]) -> String {
    if partitions.is_empty() {
        return texts.say("console-question-no-partitions");
    }
    let one = |partition: &PartitionReport| {
        let filesystem = partition.filesystem.map_or("?", failure::filesystem_name);
        let size = size::bytes(texts.language(), partition.place.length_bytes);
        let line = format!("{} {filesystem} {size} {}", partition.number, partition.name);
        line.trim_end().to_owned()
    };
    partitions.iter().map(one).collect::<Vec<_>>().join(" · ")
}

/// The beginning of a text that is too long. (The console's own letters have no ellipsis.)
fn clip(text: &str, columns: usize) -> String {
    const MORE: &str = "...";
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(MORE.len())).collect::<String>() + MORE
}

#[cfg(test)]
pub(super) mod tests {
    use mimeo_core::{
        disk::filesystem::FileSystem,
        ids::{SessionId, VersionNumber},
        machine::{DiskReport, PartitionReport, disk_facts::DiskFacts},
        messages::{DiskQuestion, DiskUse},
        units::{Extent, MIB, SectorSize},
    };

    use super::{Question, clip};

    /// A question about so many disks, each of them but the second with three partitions.
    pub(crate) fn question(wanted_for: DiskUse, count: u64) -> Question {
        let disks: Vec<_> = (1..=count).map(disk).collect();
        let candidates = disks.iter().map(|disk| disk.facts.pin()).collect();
        Question::new(DiskQuestion { session: SessionId(42), wanted_for, candidates }, &disks)
    }

    /// For a master with a long name.
    pub(crate) fn deploy() -> DiskUse {
        let master_name = "salle-de-technologie-et-laboratoire-de-langues-2026".into();
        DiskUse::Deploy { master_name, version: VersionNumber(17) }
    }

    fn disk(number: u64) -> DiskReport {
        let partition = |number, filesystem, name: &str, length_bytes| PartitionReport {
            number,
            place: Extent { start_bytes: MIB, length_bytes },
            name: name.into(),
            filesystem,
        };
        let partitions = vec![
            partition(1, Some(FileSystem::Fat32), "EFI system partition", 104_857_600),
            partition(2, None, "", 16_777_216),
            partition(3, Some(FileSystem::Ntfs), "Basic data partition", 499_000_000_000),
        ];
        let facts = DiskFacts {
            kernel_name: "nvme0n1".into(),
            // As long as the standards allow: 40 and 20 letters.
            model: Some("WDC WD40EFRX-68N32N0 in its own cradle 1".into()),
            serial: Some(format!("{number:0>20}")),
            wwn: None,
            size_bytes: number * 500_107_862_016,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            removable: false,
            transport: None,
            rotational: false,
        };
        DiskReport { facts, partitions: if number == 2 { vec![] } else { partitions } }
    }

    #[test]
    fn a_disk_that_is_gone_meanwhile_is_still_in_question() {
        let disks = [disk(1), disk(3)];
        let candidates = vec![disk(3).facts.pin(), disk(4).facts.pin()];
        let asked = DiskQuestion { session: SessionId(1), wanted_for: deploy(), candidates };
        let question = Question::new(asked, &disks);
        assert_eq!(question.partitions, [disk(3).partitions, vec![]]);
    }

    #[test]
    fn a_text_is_cut_where_it_is_too_long() {
        for (columns, expect) in [(6, "àbcdef"), (5, "àb..."), (2, "..."), (0, "...")] {
            assert_eq!(clip("àbcdef", columns), expect);
        }
    }
}
