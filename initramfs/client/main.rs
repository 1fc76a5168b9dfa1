//! `mimeo-client`: the initramfs' `/init`, in three roles: PID 1, its child that does the work, and what the kernel
//! runs to have a module loaded.

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use mimeo_client::{
    boot::{
        cmdline::BootOrders,
        init,
        modules::{self, Modules},
        mounts, payload,
        power::Leave,
    },
    console::{
        journal::Journal,
        screen::{Screen, Status, Step},
        terminal,
        trouble::Trouble,
    },
    conversation::{SHOW_REASON_FOR, converse},
    inventory, network,
    server::Server,
};
use mimeo_core::{
    appliance::{self, Appliance},
    causes::causes,
};
use mimeo_engine::disk::probe::SysProbe;

/// PID 1.
const INIT_PID: u32 = 1;

fn main() -> ExitCode {
    if process::id() == INIT_PID {
        init::run();
    }
    let arguments: Vec<String> = env::args().collect();
    if let Some(name) = modules::kernel_request(&arguments) {
        return match Modules::of_running_kernel() {
            Ok(mut modules) => {
                modules.load_meant(name);
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        };
    }
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let journal = Journal::new(&cmdline);
    tracing_subscriber::fmt().with_writer(journal.clone()).with_ansi(false).with_target(false).init();
    panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    let screen = Screen::new(String::new());
    terminal::run(&screen);
    // A defect is shown and told like any other reason not to go on.
    let result = panic::catch_unwind(AssertUnwindSafe(|| run(&cmdline, &screen, &journal)));
    let defect = |_| Err(Trouble::Defect { detail: "panic".to_owned() });
    let how = result.unwrap_or_else(defect).unwrap_or_else(|trouble| {
        tracing::error!(?trouble, "cannot go on");
        count_down(&screen, &trouble);
        Leave::Reboot
    });
    screen.show(Status::Leaving { power_off: how == Leave::PowerOff });
    thread::sleep(terminal::REDRAW_EVERY * 2);
    how.exit_code().into()
}

/// From a bare kernel to the server's last order.
fn run(cmdline: &str, screen: &Screen, journal: &Journal) -> Result<Leave, Trouble> {
    let not_our_boot = |detail| Trouble::NotOurBoot { detail };
    let boot = BootOrders::parse(cmdline).map_err(|error| not_our_boot(causes(&error)))?;
    screen.connect_to(&boot.server.to_string());
    let file = fs::read(appliance::PATH);
    let file = file.map_err(|error| not_our_boot(format!("{}: {error}", appliance::PATH)))?;
    let appliance: Appliance = serde_json::from_slice(&file).map_err(|error| Trouble::defect(&error))?;
    if let Err(error) = modules::answer_kernel() {
        tracing::error!(%error, "the kernel cannot ask for modules");
    }
    let mut modules = Modules::of_running_kernel().map_err(|error| Trouble::defect(&error))?;
    modules.load_for_devices();
    modules.load_named(&["efivarfs"]);
    mounts::mount_firmware_variables();
    let mut cards = || {
        modules.load_for_devices();
        network::interface::wired()
    };
    let say = |progress| screen.show(Status::Starting(Step::Network(progress)));
    let connection =
        network::connect(boot.server, &mut cards, &say).map_err(|error| Trouble::network(&error))?;
    tracing::info!(card = connection.interface.name, address = %connection.lease.address, "connected");

    screen.show(Status::Starting(Step::Payload));
    let server = Server::new(&format!("https://{}", boot.server), appliance.ca_pem.as_bytes())
        .map_err(|error| Trouble::defect(&error))?;
    screen.watch(server.contact());
    payload::fetch(&server, boot.server, &appliance, Path::new("/"))?;
    let mut modules = Modules::of_running_kernel().map_err(|error| Trouble::defect(&error))?;
    modules.load_for_devices();

    screen.show(Status::Starting(Step::Inventory));
    let probe = SysProbe::default();
    inventory::disks::settle(&probe, &mut || drop(modules.load_for_devices()));
    let report = inventory::report(&probe, &connection.interface).map_err(|error| Trouble::defect(&error))?;
    converse(&server, &boot, report, &probe, screen, journal)
}

/// Shows why the computer cannot go on, until it restarts.
fn count_down(screen: &Screen, trouble: &Trouble) {
    for left in (1..=SHOW_REASON_FOR.as_secs()).rev() {
        screen.show(Status::Stuck { trouble: trouble.clone(), restart_in: Duration::from_secs(left) });
        thread::sleep(Duration::from_secs(1));
    }
}
