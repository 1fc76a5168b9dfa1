//! The network of these tests: one switch, our service on one host, other servers and clients on others.

use std::{net::Ipv4Addr, path::Path, process::Command, sync::Arc, thread::JoinHandle, time::Duration};

use async_trait::async_trait;
use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};
use mimeo_lab::{
    network::{Host, Switch},
    process::Process,
};
use mimeo_server::{
    boot::{
        dhcp::{
            settings::{Mode, Settings},
            socket::{ServeError, Tell, serve},
        },
        machines::Machines,
        notices::Notices,
        target::{BootSource, BootTarget, LoaderChoice, Machine, Menu},
    },
    db,
    events::{Event, Events},
    wiring::firmware_choices::ChoiceTable,
};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

/// Our service.
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The other DHCP server, which gives .200 to .220.
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const OTHERS_FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);
/// Our pool: four addresses.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
pub(crate) const LAST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 103);
/// Where clients and others that only ask are.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);

/// Long enough for anything here on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn settings(mode: Mode) -> Settings {
    Settings { mode, pool: Some(FIRST..=LAST), ..Settings::proxy("eth0", US, 24) }
}

/// Every machine gets the signed chain and the menu.
struct Everybody;

#[async_trait]
impl BootSource for Everybody {
    async fn boot_target(&self, _: &Machine) -> BootTarget {
        BootTarget::Menu(Menu {
            computer_name: None,
            token: Secret::from_random([0; 32]),
            timeout_seconds: 1,
            language: Language::En,
        })
    }

    async fn loader(&self, _: MacAddr) -> LoaderChoice {
        LoaderChoice::Signed
    }
}

/// Our service, running on a host until it is dropped.
pub(crate) struct Service {
    cancel: CancellationToken,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    pub(crate) machines: Machines,
    pub(crate) notices: Notices,
    /// What it told, from the first moment.
    pub(crate) told: Receiver<Event>,
}

impl Service {
    /// Starts it with the database at that path.
    pub(crate) fn start(host: &Host, settings: Settings, database: &Path) -> Self {
        Self::start_for(host, settings, database, Arc::new(Everybody))
    }

    /// Starts it for machines that boot what `source` says.
    pub(crate) fn start_for(
        host: &Host,
        settings: Settings,
        database: &Path,
        source: Arc<dyn BootSource>,
    ) -> Self {
        let (cancel, machines, events) = (CancellationToken::new(), Machines::default(), Events::new());
        let notices = Notices::default();
        let path = database.to_owned();
        let told = events.listen();
        let tell = Tell { machines: machines.clone(), events, notices: notices.clone() };
        let handles = (cancel.clone(), tell);
        let thread = host.run(move || {
            // A thread begun inside the namespace stays there, and its sockets with it.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let (cancel, tell) = handles;
                    let db = db::open(&path).await.unwrap();
                    let keeper = Arc::new(ChoiceTable::new(db.clone()));
                    serve(settings, source, tell, db, keeper, cancel).await
                })
            })
        });
        Self { cancel, thread: Some(thread.unwrap()), machines, notices, told }
    }

    /// Ends it, as a restart would.
    pub(crate) fn stop(mut self) {
        self.cancel.cancel();
        let ended = self.thread.take().unwrap().join();
        ended.expect("the service did not panic").expect("the service started");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the service did not panic").expect("the service started");
            }
        }
    }
}

/// A switch with our service's host and a client's, and a folder for everybody's files.
pub(crate) struct Net {
    pub(crate) folder: TempDir,
    pub(crate) ours: Host,
    pub(crate) client: Host,
    pub(crate) switch: Switch,
}

impl Net {
    pub(crate) fn create(label: &str) -> Self {
        let switch = Switch::create(label).unwrap();
        let ours = switch.host("us", US, 24).unwrap();
        let client = switch.host("pc", CLIENT, 24).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), ours, client, switch }
    }

    pub(crate) fn serve(&self, mode: Mode) -> Service {
        Service::start(&self.ours, settings(mode), &self.folder.path().join("mimeo.db"))
    }
}

/// Another DHCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Dnsmasq,
    IscDhcpd,
}

impl Peer {
    /// Starts it on a host, naming `next_server` with a boot file (dnsmasq) or without (dhcpd).
    pub(crate) fn start(self, host: &Host, folder: &Path, next_server: Option<Ipv4Addr>) -> Process {
        let boot_file = if self == Self::Dnsmasq { "boot.efi" } else { "" };
        self.start_as(host, folder, &Manner { next_server, boot_file, is_slow: false })
    }

    /// Starts it on a host, to answer in that manner.
    pub(crate) fn start_as(self, host: &Host, folder: &Path, manner: &Manner) -> Process {
        let Manner { next_server, boot_file, is_slow } = *manner;
        let file = |name: &str| folder.join(name).display().to_string();
        let command = match self {
            Self::Dnsmasq => {
                let mut command = host.command("dnsmasq");
                command.args([
                    "--no-daemon",
                    "--conf-file=/dev/null",
                    "--port=0",
                    "--user=root",
                    "--no-ping",
                ]);
                command.args(["--interface=eth0", "--bind-interfaces", "--log-dhcp"]);
                command.args(["--dhcp-range=10.77.0.200,10.77.0.220,255.255.255.0,5m"]);
                command.arg(format!("--dhcp-leasefile={}", file("dnsmasq.leases")));
                command.args(next_server.map(|next| format!("--dhcp-boot={boot_file},,{next}")));
                command.args(is_slow.then_some("--dhcp-reply-delay=1"));
                command
            }
            Self::IscDhcpd => {
                let next = next_server.map(|next| format!("next-server {next};\n")).unwrap_or_default();
                let slow = if is_slow { "min-secs 2;\n" } else { "" };
                let text = format!(
                    "authoritative;\nping-check false;\ndefault-lease-time 300;\n{next}{slow}\
                     subnet 10.77.0.0 netmask 255.255.255.0 {{ range 10.77.0.200 10.77.0.220; }}\n"
                );
                std::fs::write(file("dhcpd.conf"), text).unwrap();
                std::fs::write(file("dhcpd.leases"), "").unwrap();
                let mut command = host.command("dhcpd");
                command.args(["-f", "-d", "-cf", &file("dhcpd.conf"), "-lf", &file("dhcpd.leases")]);
                command.args(["-pf", &file("dhcpd.pid"), "eth0"]);
                command
            }
        };
        Process::start(&command, &folder.join(format!("{self:?}.log"))).unwrap()
    }
}

/// How another server answers machines that boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) next_server: Option<Ipv4Addr>,
    pub(crate) boot_file: &'static str,
    /// Slower than we are: an offer takes a second (dnsmasq), or a client that has asked for two (dhcpd).
    pub(crate) is_slow: bool,
}

/// Holds a server still, so that it is slower than anybody.
pub(crate) fn hold(process: &Process, still: bool) {
    use nix::sys::signal::{Signal, kill};
    let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
    kill(nix::unistd::Pid::from_raw(process.pid().try_into().unwrap()), signal).unwrap();
}

/// dhclient, which changes nothing of its host: the address it was given, and by whom.
pub(crate) fn dhclient(host: &Host, folder: &Path, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let file = |suffix: &str| folder.join(format!("{name}.{suffix}")).display().to_string();
    let _old = std::fs::remove_file(file("leases"));
    let mut command = host.command("dhclient");
    command.args(["-4", "-1", "-d", "-sf", "/bin/true", "-lf", &file("leases")]);
    command.args(["-pf", &file("pid"), "eth0"]);
    lease_of(&mut command, |output| {
        // "bound to 10.77.0.200 -- renewal in …", "DHCPACK of 10.77.0.200 from 10.77.0.2"
        let ack = output.lines().find_map(|line| line.strip_prefix("DHCPACK of "))?;
        let (address, server) = ack.split_once(" from ")?;
        Some((address.trim().parse().ok()?, server.split_whitespace().next()?.parse().ok()?))
    })
}

/// Busybox's client, likewise.
pub(crate) fn udhcpc(host: &Host) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let mut command = host.command("busybox");
    command.args(["udhcpc", "-f", "-q", "-n", "-t", "8", "-T", "1", "-s", "/bin/true"]);
    command.args(["-i", "eth0"]);
    lease_of(&mut command, |output| {
        // "udhcpc: lease of 10.77.0.200 obtained from 10.77.0.2, lease time 300"
        let (address, rest) = output.split_once("lease of ")?.1.split_once(" obtained from ")?;
        Some((address.parse().ok()?, rest.split(',').next()?.trim().parse().ok()?))
    })
}

/// Runs a client until it has said which lease it got, or has given up.
fn lease_of(
    command: &mut Command,
    read: impl Fn(&str) -> Option<(Ipv4Addr, Ipv4Addr)>,
) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(command, &folder.path().join("log")).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let ended = process.has_ended();
        let output = process.output();
        if let Some(lease) = read(&output) {
            return Some(lease);
        }
        if ended || std::time::Instant::now() > deadline {
            show(&output);
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a client that got nothing said, for whoever reads a failed test.
#[expect(clippy::print_stderr, reason = "a test speaks to its reader")]
fn show(output: &str) {
    eprintln!("the client got no lease:\n{output}");
}
