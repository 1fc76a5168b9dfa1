//! `mimeo computers`: all of them, one, or what is set for one.

use std::fmt::Write;

use mimeo_core::machine::{DiskReport, SecureBoot};

use super::{
    ComputersOptions,
    connection::{Connection, in_path, understand},
    failure::CliError,
    format::{ago, bytes, or_dash, table, word},
    screen::{plain, print, print_json},
};
use crate::{
    api::computers::{ComputerChange, ComputerSummary, ComputerView, LoaderView},
    clock::Timestamp,
};

pub(super) async fn run(
    connection: &Connection,
    options: ComputersOptions,
    json: bool,
) -> Result<(), CliError> {
    let ComputersOptions { computer, name, loader } = options;
    let Some(computer) = computer else { return list(connection, json).await };
    let path = format!("/computers/{}", in_path(&computer));
    let answer = match name.is_some() || loader.is_some() {
        true => connection.patch(&path, &ComputerChange { name, loader }).await?,
        false => connection.get(&path).await?,
    };
    if json {
        print_json(&answer);
        return Ok(());
    }
    print(&describe(&understand(&answer)?, Timestamp::now()));
    Ok(())
}

async fn list(connection: &Connection, json: bool) -> Result<(), CliError> {
    let answer = connection.get("/computers").await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let computers: Vec<ComputerSummary> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = computers.iter().map(|computer| row(computer, now)).collect();
    let none =
        "There are no computers yet: start one from the network and choose \"register this computer\".";
    print(&table(&["ID", "NAME", "MODEL", "SERIAL", "FIRMWARE", "MEMORY", "SEEN"], &rows, none));
    Ok(())
}

fn row(computer: &ComputerSummary, now: Timestamp) -> Vec<String> {
    vec![
        computer.id.to_string(),
        computer.name.clone(),
        or_dash(computer.model.as_deref()),
        or_dash(computer.serial.as_deref()),
        firmware(computer),
        bytes(computer.memory_bytes),
        ago(computer.seen, now),
    ]
}

fn firmware(computer: &ComputerSummary) -> String {
    match word(&computer.secure_boot).as_str() {
        "on" => "uefi, secure boot".to_owned(),
        _ => word(&computer.firmware),
    }
}

fn loader(computer: &ComputerSummary) -> String {
    match (computer.loader, computer.secure_boot) {
        (LoaderView::Ipxe, SecureBoot::On) => {
            "ipxe, which Secure Boot refuses: switch it off in this computer's firmware".to_owned()
        }
        (loader, _) => word(&loader),
    }
}

fn describe(computer: &ComputerView, now: Timestamp) -> String {
    let ComputerView { summary, report } = computer;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{name:12}{}", plain(&value));
    };
    line("name", format!("{} (id {})", summary.name, summary.id));
    line("maker", or_dash(summary.manufacturer.as_deref()));
    line("model", or_dash(summary.model.as_deref()));
    line("serial", or_dash(summary.serial.as_deref()));
    line("firmware", firmware(summary));
    line("loader", loader(summary));
    line("processor", format!("{}, {} threads", report.processor.model, report.processor.threads));
    line("memory", bytes(report.memory_bytes));
    line("seen", ago(summary.seen, now));
    for nic in &report.nics {
        let driver = nic.driver.as_deref().unwrap_or("no driver");
        line("network", format!("{} {} ({driver})", nic.kernel_name, nic.mac));
    }
    for disk in &report.disks {
        let DiskReport { facts, partitions } = disk;
        let model = facts.model.as_deref().unwrap_or("disk");
        let removable = if facts.removable { ", removable" } else { "" };
        let serial = or_dash(facts.serial.as_deref());
        line("disk", format!("{model} {}, serial {serial}{removable}", bytes(facts.size_bytes)));
        for partition in partitions {
            let filesystem = partition.filesystem.as_ref().map_or_else(|| "unknown".to_owned(), word);
            let size = bytes(partition.place.length_bytes);
            line("", format!("{}  {filesystem}  {size}  {}", partition.number, partition.name));
        }
    }
    text
}
