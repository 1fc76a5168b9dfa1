//! `mimeo-client`: PID 1 of a computer that booted from the network.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::Context;
use mimeo_client::{
    boot::{
        clock,
        cmdline::BootOrders,
        modules::Modules,
        mounts, payload,
        power::{Leave, leave},
    },
    console::{
        journal::Journal,
        screen::{Screen, Status, Step},
        terminal,
    },
    conversation::{SHOW_REASON_FOR, converse},
    disk::probe::SysProbe,
    inventory, network,
    server::Server,
};
use mimeo_core::appliance::{self, Appliance};

fn main() {
    let mounted = mounts::mount_all();
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let journal = Journal::new(&cmdline);
    tracing_subscriber::fmt().with_writer(journal.clone()).with_ansi(false).with_target(false).init();
    panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    let screen = Screen::new(String::new());
    terminal::run(&screen);
    // PID 1 must not die: a defect is shown and told like any other reason not to go on.
    let story = || mounted.map_err(anyhow::Error::from).and_then(|()| run(&cmdline, &screen, &journal));
    let result = panic::catch_unwind(AssertUnwindSafe(story));
    match result.unwrap_or_else(|_| Err(anyhow::anyhow!("Mimeo's client has a defect; its log says where"))) {
        Ok(how) => {
            screen.show(Status::Leaving { power_off: how == Leave::PowerOff });
            leave(how)
        }
        Err(error) => {
            tracing::error!("{error:#}");
            count_down(&screen, &format!("{error:#}"));
            leave(Leave::Reboot)
        }
    }
}

/// From a bare kernel to the server's last order.
fn run(cmdline: &str, screen: &Screen, journal: &Journal) -> anyhow::Result<Leave> {
    let boot = BootOrders::parse(cmdline)?;
    screen.connect_to(&boot.server.to_string());
    let appliance: Appliance = serde_json::from_slice(&fs::read(appliance::PATH).context(appliance::PATH)?)?;
    clock::not_before(appliance.started_unix_seconds);
    let mut modules = Modules::of_running_kernel().context("reading the kernel's modules")?;
    let loaded = modules.load_for_devices();
    tracing::info!(?loaded, "drivers");
    modules.load_named(&["efivarfs"]);
    mounts::mount_firmware_variables();
    let connection =
        network::connect(boot.server, &|card| screen.show(Status::Starting(Step::Network(card.to_owned()))))?;
    tracing::info!(card = connection.interface.name, address = %connection.lease.address, "connected");

    screen.show(Status::Starting(Step::Payload));
    let server = Server::new(&format!("https://{}", boot.server), appliance.ca_pem.as_bytes())?;
    let bytes = server.payload(payload::PAYLOAD_BYTES_MAX)?;
    payload::unpack(&bytes, &appliance.payload_blake3, appliance.payload_bytes, Path::new("/"))?;
    drop(bytes);
    let loaded = Modules::of_running_kernel().context("reading the kernel's modules")?.load_for_devices();
    tracing::info!(?loaded, "drivers");

    screen.show(Status::Starting(Step::Inventory));
    let probe = SysProbe::default();
    inventory::disks::settle(&probe);
    let report = inventory::report(&probe, &connection.interface).context("looking at this computer")?;
    converse(&server, &boot, report, &probe, screen, journal).map_err(anyhow::Error::msg)
}

/// Shows why the computer cannot go on, until it restarts.
fn count_down(screen: &Screen, reason: &str) {
    for left in (1..=SHOW_REASON_FOR.as_secs()).rev() {
        screen.show(Status::Stuck { reason: reason.to_owned(), restart_in: Duration::from_secs(left) });
        thread::sleep(Duration::from_secs(1));
    }
}
