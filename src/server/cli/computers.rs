//! `mimeo computers`: all of them, one, or what is set for one.

use std::fmt::Write;

use mimeo_core::machine::{DiskReport, FirmwareMode, SecureBoot};

use super::{
    ComputersOptions, Output,
    connection::{Connection, in_path, understand},
    failure::CliError,
    format::{or_dash, word},
    notices,
    screen::{plain, print, print_json},
    words::Words,
};
use crate::{
    api::computers::{ComputerChange, ComputerSummary, ComputerView, LoaderView},
    clock::Timestamp,
};

const COLUMNS: [&str; 7] = [
    "column-id",
    "column-name",
    "column-model",
    "column-serial",
    "column-firmware",
    "column-memory",
    "column-seen",
];

pub(super) async fn run(
    connection: &Connection,
    options: ComputersOptions,
    out: Output,
) -> Result<(), CliError> {
    let ComputersOptions { computer, name, loader } = options;
    let Some(computer) = computer else { return list(connection, out).await };
    let path = format!("/computers/{}", in_path(&computer));
    let answer = match name.is_some() || loader.is_some() {
        true => connection.patch(&path, &ComputerChange { name, loader }).await?,
        false => connection.get(&path).await?,
    };
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    print(&describe(out.words, &understand(&answer)?, Timestamp::now()));
    Ok(())
}

async fn list(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/computers").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let computers: Vec<ComputerSummary> = understand(&answer)?;
    notices::say_aside(connection, out.words).await?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = computers.iter().map(|computer| row(out.words, computer, now)).collect();
    print(&out.words.table(&COLUMNS, &rows, "none-computers"));
    Ok(())
}

fn row(words: Words, computer: &ComputerSummary, now: Timestamp) -> Vec<String> {
    vec![
        computer.id.to_string(),
        computer.name.clone(),
        or_dash(computer.model.as_deref()),
        or_dash(computer.serial.as_deref()),
        firmware(computer).to_owned(),
        words.bytes(computer.memory_bytes),
        words.ago(computer.seen, now),
    ]
}

/// How the firmware starts the machine, in names that every language has.
fn firmware(computer: &ComputerSummary) -> &'static str {
    match (computer.firmware, computer.secure_boot) {
        (FirmwareMode::Bios, _) => "BIOS",
        (FirmwareMode::Uefi, SecureBoot::On) => "UEFI, Secure Boot",
        (FirmwareMode::Uefi, SecureBoot::Off | SecureBoot::Absent) => "UEFI",
    }
}

fn loader(words: Words, computer: &ComputerSummary) -> String {
    match (computer.loader, computer.secure_boot) {
        (LoaderView::Ipxe, SecureBoot::On) => words.say("loader-refused"),
        (loader, _) => word(&loader),
    }
}

fn describe(words: Words, computer: &ComputerView, now: Timestamp) -> String {
    let ComputerView { summary, report } = computer;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let name = if name.is_empty() { String::new() } else { words.say(name) };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{name:14}{}", plain(&value));
    };
    line("fact-name", format!("{} (id {})", summary.name, summary.id));
    line("fact-maker", or_dash(summary.manufacturer.as_deref()));
    line("fact-model", or_dash(summary.model.as_deref()));
    line("fact-serial", or_dash(summary.serial.as_deref()));
    line("fact-firmware", firmware(summary).to_owned());
    line("fact-loader", loader(words, summary));
    let threads = report.processor.threads.to_string();
    let processor = [("model", &*report.processor.model), ("threads", &*threads)];
    line("fact-processor", words.say_with("fact-threads", &processor));
    line("fact-memory", words.bytes(report.memory_bytes));
    line("fact-seen", words.ago(summary.seen, now));
    for nic in &report.nics {
        let driver = nic.driver.clone().unwrap_or_else(|| words.say("fact-no-driver"));
        line("fact-network", format!("{} {} ({driver})", nic.kernel_name, nic.mac));
    }
    for disk in &report.disks {
        line("fact-disk", disk_line(words, disk));
        for partition in &disk.partitions {
            line("", words.partition(partition));
        }
    }
    text
}

fn disk_line(words: Words, disk: &DiskReport) -> String {
    let mut line = words.disk(&disk.facts.pin());
    if disk.facts.removable {
        line.push_str(&format!(", {}", words.say("disk-removable")));
    }
    line
}
