//! `mimeo doctor`: looks at everything that the server needs and says of each what to do about it.
//!
//! It runs without a server and beside one, and changes nothing.

pub(crate) mod network;
mod sentences;

use std::{collections::BTreeSet, fs, io, path::Path, process::ExitCode};

use mimeo_core::causes::causes;
use serde::Serialize;

use crate::{
    boot::artefacts::Artefacts,
    cli::{connection::Connection, failure, notices, screen::plain, words::Words},
    clock::Timestamp,
    config::{
        Config,
        interface::{self, InterfaceError, ServedInterface},
    },
    db,
    folder_lock::FolderLock,
    imaging::store::{RESERVE_BYTES, SHORT_OF_ROOM_BYTES},
    serve::local_socket,
};

/// 2026-01-01: no server that runs this program can live before it.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    Configuration,
    Clock,
    Artefacts,
    Database,
    Store,
    Interface,
    Ports,
    #[serde(rename = "DHCP")]
    Dhcp,
    Notices,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: Check,
    pub verdict: Verdict,
    /// What was found, and what to do where something is wrong.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Finding {
    fn ok(check: Check, message: String) -> Self {
        Self { check, verdict: Verdict::Ok, message }
    }

    fn warn(check: Check, message: String) -> Self {
        Self { check, verdict: Verdict::Warn, message }
    }

    fn fail(check: Check, message: String) -> Self {
        Self { check, verdict: Verdict::Fail, message }
    }
}

/// Looks, prints, and fails where anything would keep the server from its work.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub async fn run(config_file: Option<&Path>, json: bool) -> ExitCode {
    let words = Words::of_environment(json);
    let findings = examine(words, config_file).await;
    if json {
        println!("{:#}", serde_json::json!(findings));
    } else {
        for finding in &findings {
            println!("{}", line(words, finding));
        }
    }
    match findings.iter().any(|finding| finding.verdict == Verdict::Fail) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// A finding as people read it; what follows its first line stands under the message.
fn line(words: Words, Finding { check, verdict, message }: &Finding) -> String {
    let (verdict, check) = (sentences::verdict(&words, *verdict), sentences::check(&words, *check));
    let message: Vec<String> = message.lines().map(plain).collect();
    format!("{verdict:9} {check:14} {}", message.join(&format!("\n{:25}", "")))
}

/// Everything that can be looked at with this configuration.
pub async fn examine(words: Words, config_file: Option<&Path>) -> Vec<Finding> {
    let config = match Config::load(config_file) {
        Ok(config) => config,
        Err(error) => return vec![Finding::fail(Check::Configuration, failure::config(&words, &error))],
    };
    let mut findings = vec![Finding::ok(Check::Configuration, words.say("doctor-configuration-ok"))];
    findings.push(clock(words, Timestamp::now()));
    findings.push(artefacts(words, &config.server.artefacts_dir));
    findings.push(database(words, &config.server.data_dir).await);
    findings.push(store(words, &config.store.path));
    let running = FolderLock::is_taken(&config.server.data_dir);
    let served = interface::find(&config.network);
    findings.push(interface(words, &served));
    if let Ok(served) = &served {
        findings.extend(network::ports(words, &config, served, running).await);
        findings.push(network::dhcp(words.shared(), &config, served).await);
    }
    if running {
        findings.extend(notices(words, &config.server.data_dir).await);
    }
    findings
}

/// What the running server knows to keep machines from booting.
async fn notices(words: Words, data_dir: &Path) -> Vec<Finding> {
    let asked = match Connection::through_socket(&local_socket(data_dir)) {
        Ok(connection) => notices::ask(&connection).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(known) if known.is_empty() => vec![Finding::ok(Check::Notices, words.say("none-notices"))],
        Ok(known) => {
            let finding = |notice| Finding::warn(Check::Notices, notices::sentence(words, notice));
            known.iter().map(finding).collect()
        }
        Err(error) => {
            let sentence = words.say_of("doctor-notices-unasked", "error", error.sentence(&words));
            vec![Finding::warn(Check::Notices, sentence)]
        }
    }
}

fn clock(words: Words, now: Timestamp) -> Finding {
    match now < EARLIEST {
        true => Finding::fail(Check::Clock, words.say("doctor-clock-behind")),
        false => Finding::ok(Check::Clock, words.say("doctor-clock-ok")),
    }
}

fn artefacts(words: Words, dir: &Path) -> Finding {
    // The certificate is added to the initramfs and plays no part in whether the files are whole.
    match Artefacts::load(dir, "", Timestamp::now()) {
        Ok(artefacts) => {
            let list = artefacts.list();
            let packages: BTreeSet<String> =
                list.iter().map(|artefact| format!("{} {}", artefact.package, artefact.version)).collect();
            let packages = packages.into_iter().collect::<Vec<_>>().join(", ");
            let values = [("count", &*list.len().to_string()), ("packages", &*packages)];
            Finding::ok(Check::Artefacts, words.say_with("doctor-artefacts-ok", &values))
        }
        Err(error) => {
            Finding::fail(Check::Artefacts, words.say_of("doctor-artefacts-bad", "error", causes(&error)))
        }
    }
}

async fn database(words: Words, data_dir: &Path) -> Finding {
    let file = data_dir.join("mimeo.db");
    if !file.exists() {
        return Finding::ok(Check::Database, words.say("doctor-database-none"));
    }
    match db::check(&file).await {
        Ok(complaints) if complaints.is_empty() => {
            Finding::ok(Check::Database, words.say("doctor-database-ok"))
        }
        Ok(complaints) => {
            let complaints = complaints.join("; ");
            Finding::fail(Check::Database, words.say_of("doctor-database-bad", "complaints", complaints))
        }
        Err(error) => {
            Finding::fail(Check::Database, words.say_of("doctor-database-failed", "error", causes(&error)))
        }
    }
}

fn store(words: Words, path: &Path) -> Finding {
    let at = |key: &str, place: &Path| words.say_of(key, "path", place.display());
    // Before the first start, what counts is the disk on which it will be made.
    let Some(existing) = path.ancestors().find(|folder| folder.exists()) else {
        return Finding::fail(Check::Store, at("doctor-store-nowhere", path));
    };
    let of_room = |key: &str, free: u64| {
        let values = [("free", &*words.bytes(free)), ("path", &*path.to_string_lossy())];
        words.say_with(key, &values)
    };
    match room(existing) {
        Err(error) => {
            let values = [("path", &*existing.to_string_lossy()), ("error", &*error.to_string())];
            Finding::fail(Check::Store, words.say_with("doctor-store-failed", &values))
        }
        Ok((_, true)) => Finding::fail(Check::Store, at("doctor-store-read-only", existing)),
        Ok((free, false)) if free <= RESERVE_BYTES => {
            Finding::fail(Check::Store, of_room("doctor-store-full", free))
        }
        Ok((free, false)) if free < SHORT_OF_ROOM_BYTES => {
            Finding::warn(Check::Store, of_room("doctor-store-low", free))
        }
        Ok((free, false)) => Finding::ok(Check::Store, of_room("doctor-store-ok", free)),
    }
}

/// Bytes that are free, and whether nothing can be written.
fn room(folder: &Path) -> io::Result<(u64, bool)> {
    let stats = nix::sys::statvfs::statvfs(&fs::canonicalize(folder)?)?;
    let read_only = stats.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY);
    Ok((stats.blocks_available().saturating_mul(stats.fragment_size()), read_only))
}

fn interface(words: Words, served: &Result<ServedInterface, InterfaceError>) -> Finding {
    match served {
        Ok(served) => {
            let values = [("name", &*served.name), ("address", &*served.address.to_string())];
            Finding::ok(Check::Interface, words.say_with("doctor-interface-ok", &values))
        }
        Err(error) => Finding::fail(Check::Interface, sentences::interface(&words, error)),
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;

    use super::{Check, Finding, Verdict, clock, examine, line, store};
    use crate::{cli::words::Words, clock::Timestamp};

    fn english() -> Words {
        Words::new(Language::En)
    }

    fn verdict(finding: &Finding) -> Verdict {
        assert!(!finding.message.is_empty());
        finding.verdict
    }

    #[test]
    fn a_clock_that_lost_its_battery_is_a_failure() {
        assert_eq!(verdict(&clock(english(), Timestamp(946_684_800_000))), Verdict::Fail);
        assert_eq!(verdict(&clock(english(), Timestamp(1_790_000_000_000))), Verdict::Ok);
    }

    #[test]
    fn a_store_that_does_not_exist_yet_is_judged_by_its_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_ne!(verdict(&store(english(), &dir.path().join("a/b/c"))), Verdict::Fail);
    }

    #[test]
    fn findings_stand_in_columns_in_both_languages() {
        let finding = Finding::warn(Check::Clock, "one\ntwo\u{1b}".into());
        assert_eq!(
            line(english(), &finding),
            "WARN      clock          one\n                         two\u{fffd}"
        );
        let french = line(Words::new(Language::Fr), &finding);
        assert!(french.starts_with("ATTENTION horloge        one\n"), "{french}");
    }

    #[tokio::test]
    async fn a_configuration_that_is_not_understood_ends_the_examination() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mimeo.toml");
        std::fs::write(&file, "[dhcp]\nmode = \"maybe\"").expect("written");
        let findings = examine(english(), Some(&file)).await;
        assert_eq!(findings.len(), 1);
        assert_eq!(verdict(&findings[0]), Verdict::Fail);
        assert!(findings[0].message.contains("dhcp.mode"), "{}", findings[0].message);
    }

    #[tokio::test]
    async fn an_appliance_without_artefacts_is_told_how_to_build_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mimeo.toml");
        let text = format!(
            "[server]\ndata_dir = {0:?}\nartefacts_dir = {0:?}\n[network]\ninterface = \"lo\"\n[dhcp]\nmode = \"off\"",
            dir.path()
        );
        std::fs::write(&file, text).expect("written");
        let findings = examine(english(), Some(&file)).await;
        let of = |check| findings.iter().find(|finding| finding.check == check).expect("was looked at");
        assert_eq!(verdict(of(Check::Artefacts)), Verdict::Fail);
        assert!(of(Check::Artefacts).message.contains("make artefacts"));
        assert_eq!(verdict(of(Check::Database)), Verdict::Ok);
        assert_eq!(verdict(of(Check::Interface)), Verdict::Ok);
        assert_eq!(verdict(of(Check::Dhcp)), Verdict::Ok);
    }
}
