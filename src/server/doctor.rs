//! `mimeo doctor`: looks at everything that the server needs and says of each what to do about it.
//!
//! It runs without a server and beside one, and changes nothing.

pub(crate) mod network;

use std::{fs, io, path::Path, process::ExitCode};

use mimeo_core::causes::causes;
use serde::Serialize;

use crate::{
    boot::artefacts::Artefacts,
    clock::Timestamp,
    config::{
        Config,
        interface::{self, ServedInterface},
    },
    db,
    imaging::store::RESERVE_BYTES,
    serve::data_dir,
};

/// 2026-01-01: no server that runs this program can live before it.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);

/// Free room below which a capture of an ordinary PC may not fit.
const ROOM_BYTES: u64 = 50_000_000_000;

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
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
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, message: message.into() }
    }

    fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, message: message.into() }
    }

    fn fail(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, message: message.into() }
    }
}

/// Looks, prints, and fails where anything would keep the server from its work.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub async fn run(config_file: Option<&Path>, json: bool) -> ExitCode {
    let findings = examine(config_file).await;
    if json {
        println!("{:#}", serde_json::json!(findings));
    } else {
        for Finding { check, verdict, message } in &findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            println!("{verdict:5} {check:14} {message}");
        }
    }
    match findings.iter().any(|finding| finding.verdict == Verdict::Fail) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Everything that can be looked at with this configuration.
pub async fn examine(config_file: Option<&Path>) -> Vec<Finding> {
    let config = match Config::load(config_file) {
        Ok(config) => config,
        Err(error) => return vec![Finding::fail("configuration", causes(&error))],
    };
    let mut findings = vec![Finding::ok("configuration", "every key is understood")];
    findings.push(clock(Timestamp::now()));
    findings.push(artefacts(&config.server.artefacts_dir));
    findings.push(database(&config.server.data_dir).await);
    findings.push(store(&config.store.path));
    let served = interface::find(&config.network);
    findings.push(interface(&served));
    if let Ok(served) = &served {
        let running = data_dir::is_claimed(&config.server.data_dir);
        findings.extend(network::ports(&config, served, running).await);
        findings.push(network::dhcp(&config, served).await);
    }
    findings
}

fn clock(now: Timestamp) -> Finding {
    match now < EARLIEST {
        true => Finding::fail(
            "clock",
            "the clock is years behind: set it, or no certificate is valid (timedatectl)",
        ),
        false => Finding::ok("clock", "plausible"),
    }
}

fn artefacts(dir: &Path) -> Finding {
    // The certificate is added to the initramfs and plays no part in whether the files are whole.
    match Artefacts::load(dir, "", Timestamp::now()) {
        Ok(artefacts) => Finding::ok("artefacts", format!("{} files are whole", artefacts.list().len())),
        Err(error) => {
            Finding::fail("artefacts", format!("{}: build them with `make artefacts`", causes(&error)))
        }
    }
}

async fn database(data_dir: &Path) -> Finding {
    let file = data_dir.join("mimeo.db");
    if !file.exists() {
        return Finding::ok("database", "none yet, the first start makes it");
    }
    match db::check(&file).await {
        Ok(complaints) if complaints.is_empty() => Finding::ok("database", "sound"),
        Ok(complaints) => {
            let advice = "stop the server and restore the last backup";
            Finding::fail("database", format!("{}: {advice}", complaints.join("; ")))
        }
        Err(error) => Finding::fail("database", causes(&error)),
    }
}

fn store(path: &Path) -> Finding {
    // Before the first start, what counts is the disk on which it will be made.
    let Some(existing) = path.ancestors().find(|folder| folder.exists()) else {
        return Finding::fail("store", format!("{} leads nowhere, correct [store] path", path.display()));
    };
    match room(existing) {
        Err(error) => Finding::fail("store", format!("{}: {error}", existing.display())),
        Ok((_, true)) => Finding::fail("store", format!("{} is mounted read-only", existing.display())),
        Ok((free, false)) if free <= RESERVE_BYTES => Finding::fail(
            "store",
            format!("{free} bytes are free at {}, captures stop: make room", path.display()),
        ),
        Ok((free, false)) if free < ROOM_BYTES => {
            Finding::warn("store", format!("only {} GB are free at {}", free / 1_000_000_000, path.display()))
        }
        Ok((free, false)) => {
            Finding::ok("store", format!("{} GB are free at {}", free / 1_000_000_000, path.display()))
        }
    }
}

/// Bytes that are free, and whether nothing can be written.
fn room(folder: &Path) -> io::Result<(u64, bool)> {
    let stats = nix::sys::statvfs::statvfs(&fs::canonicalize(folder)?)?;
    let read_only = stats.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY);
    Ok((stats.blocks_available().saturating_mul(stats.fragment_size()), read_only))
}

fn interface(served: &Result<ServedInterface, interface::InterfaceError>) -> Finding {
    match served {
        Ok(served) => Finding::ok("interface", format!("{} is up with {}", served.name, served.address)),
        Err(error) => Finding::fail("interface", causes(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Verdict, clock, examine, store};
    use crate::clock::Timestamp;

    fn verdict(finding: &Finding) -> Verdict {
        assert!(!finding.message.is_empty());
        finding.verdict
    }

    #[test]
    fn a_clock_that_lost_its_battery_is_a_failure() {
        assert_eq!(verdict(&clock(Timestamp(946_684_800_000))), Verdict::Fail);
        assert_eq!(verdict(&clock(Timestamp(1_790_000_000_000))), Verdict::Ok);
    }

    #[test]
    fn a_store_that_does_not_exist_yet_is_judged_by_its_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_ne!(verdict(&store(&dir.path().join("a/b/c"))), Verdict::Fail);
    }

    #[tokio::test]
    async fn a_configuration_that_is_not_understood_ends_the_examination() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mimeo.toml");
        std::fs::write(&file, "[dhcp]\nmode = \"maybe\"").expect("written");
        let findings = examine(Some(&file)).await;
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
        let findings = examine(Some(&file)).await;
        let of = |check| findings.iter().find(|finding| finding.check == check).expect("was looked at");
        assert_eq!(verdict(of("artefacts")), Verdict::Fail);
        assert!(of("artefacts").message.contains("make artefacts"));
        assert_eq!(verdict(of("database")), Verdict::Ok);
        assert_eq!(verdict(of("interface")), Verdict::Ok);
        assert_eq!(verdict(of("DHCP")), Verdict::Ok);
    }
}
