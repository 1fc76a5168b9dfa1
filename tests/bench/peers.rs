//! The servers that Mimeo is measured beside, each on a host of its own on the switch, as root and from plain files.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use mimeo_lab::{
    images,
    network::{Host, Switch},
    process::{self, Process},
};

use crate::measure::Outcome;

/// How long a peer may take to open its port.
const START_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// As wide as the pool of a thousand machines.
const PREFIX_LENGTH: u8 = 20;

/// A running server.
pub(crate) struct Server {
    // In this order: the process goes before the host it runs on.
    process: Process,
    host: Host,
}

impl Server {
    pub(crate) fn dnsmasq(switch: &Switch, log: &Path, options: &[&str]) -> Outcome<Self> {
        let host = switch.host("dnsmasq", Ipv4Addr::new(192, 0, 2, 2), PREFIX_LENGTH)?;
        let mut command = host.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--port=0"]);
        command.args(["--user=root", "--pid-file=", "--interface=eth0", "--bind-interfaces"]).args(options);
        start(host, &command, log, "-lunH")
    }

    pub(crate) fn tftpd_hpa(switch: &Switch, log: &Path, root: &Path) -> Outcome<Self> {
        let host = switch.host("hpa", Ipv4Addr::new(192, 0, 2, 3), PREFIX_LENGTH)?;
        let mut command = host.command("in.tftpd");
        command.args(["--foreground", "--address", "0.0.0.0:69", "--user", "root", "--secure"]).arg(root);
        start(host, &command, log, "-lunH")
    }

    /// Not installed, because Debian's package excludes that of tftpd-hpa: the binary is taken from the package.
    pub(crate) fn atftpd(switch: &Switch, log: &Path, root: &Path) -> Outcome<Self> {
        let host = switch.host("atftpd", Ipv4Addr::new(192, 0, 2, 4), PREFIX_LENGTH)?;
        let program = images::peer("atftpd")?;
        let mut command = host.command(program.to_str().ok_or("the build folder's path is not Unicode")?);
        command.args(["--daemon", "--no-fork", "--user", "root", "--group", "root"]);
        command.args(["--maxthread", "100", "--logfile", "-"]).arg(root);
        start(host, &command, log, "-lunH")
    }

    /// nginx on a host that is there already; gives the file in which each request is a line once it is answered.
    pub(crate) fn nginx(host: &Host, folder: &Path, server: &str) -> Outcome<(Process, PathBuf)> {
        let (config, log) = (folder.join("nginx.conf"), folder.join("requests.log"));
        let text = format!(
            "daemon off; user root; worker_processes 1; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
             events {{}}\n\
             http {{ sendfile on; tcp_nopush on; client_body_temp_path {0}/bodies;\n\
             log_format asked '$request'; access_log {0}/requests.log asked;\n{server} }}\n",
            folder.display()
        );
        std::fs::write(&config, text)?;
        std::fs::write(&log, "")?;
        let mut command = host.command("nginx");
        command.arg("-e").arg(folder.join("nginx.log")).arg("-c").arg(&config);
        let process = Process::start(&command, &folder.join("nginx.out"))?;
        wait_for_socket(host, &process, "-ltnH")?;
        Ok((process, log))
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.host.address()
    }

    /// What it printed.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }
}

fn start(host: Host, command: &Command, log: &Path, sockets: &str) -> Outcome<Server> {
    let process = Process::start(command, log)?;
    wait_for_socket(&host, &process, sockets)?;
    Ok(Server { process, host })
}

/// A server serves when its socket is there; their logs name nothing that could be waited for.
fn wait_for_socket(host: &Host, process: &Process, sockets: &str) -> Outcome<()> {
    let deadline = Instant::now() + START_WITHIN;
    while process::run(host.command("ss").arg(sockets))?.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("a peer opened no port: {}", process.output()).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
