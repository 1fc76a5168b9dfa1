//! `make bench [CASE=prefix]`: what Mimeo's boot services do in a second, beside what dnsmasq does with the same client on
//! the same switch in the same run. One line each: medians of [`RUNS`] runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is what this is for")]

use std::{
    error::Error,
    net::Ipv4Addr,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use mimeo_lab::{
    appliance,
    classroom::Classroom,
    dhcp_load, images,
    network::{Host, Switch},
    process::{self, Process},
};

/// Odd, so that the median is a run.
const RUNS: usize = 5;

/// Machines whose power comes on at once.
const MACHINES: usize = 1000;
/// For how long they are counted. Ours serves them all in a few seconds or the bench fails; the peer may leave some out.
const MACHINES_WITHIN: Duration = Duration::from_secs(20);

const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A pool with room for every machine on the same network.
const SETTINGS: &str = "\
[dhcp]
mode = \"full\"
pool = \"192.0.8.1-192.0.15.254\"
";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let case = std::env::args().nth(1).unwrap_or_default();
    match run(&case) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bench failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(case: &str) -> Outcome<()> {
    for blksize in [512, 1468] {
        let name = format!("boot.tftp.blksize{blksize}");
        if name.starts_with(case) {
            tftp(&name, blksize)?;
        }
    }
    if "boot.dhcp.answers".starts_with(case) {
        dhcp()?;
    }
    Ok(())
}

/// MB/s of one client that fetches the kernel.
fn tftp(name: &str, blksize: u32) -> Outcome<()> {
    let classroom = Classroom::open("tftp", "[dhcp]\nmode = \"off\"")?;
    let (peer, _server) = dnsmasq(&classroom.switch, &["--enable-tftp", &root()?])?;
    let client = classroom.switch.host("client", Ipv4Addr::new(192, 0, 2, 3), 24)?;
    let megabytes = std::fs::metadata(images::artefact("vmlinuz")?)?.len() as f64 / 1e6;
    let fetch = |server: Ipv4Addr| -> Outcome<f64> {
        let began = Instant::now();
        let url = format!("tftp://{server}/vmlinuz");
        let blksize = blksize.to_string();
        process::run(client.command("curl").args([
            "-sf",
            "--tftp-blksize",
            &blksize,
            "-o",
            "/dev/null",
            &url,
        ]))?;
        Ok(megabytes / began.elapsed().as_secs_f64())
    };
    let ours = median(|| fetch(appliance::ADDRESS))?;
    let theirs = median(|| fetch(peer.address()))?;
    line(name, ours, theirs, "MB/s", &format!("dnsmasq, curl --tftp-blksize {blksize}"));
    Ok(())
}

/// Answers per second while a thousand machines start at once. Ours checks every address by ARP before it offers it;
/// dnsmasq's check holds all others up for a second each, so it is spared it.
fn dhcp() -> Outcome<()> {
    let load = |host: &Host, served_min: usize| -> Outcome<f64> {
        let load = host.run(|| dhcp_load::start_machines(MACHINES, MACHINES_WITHIN))??;
        if load.served < served_min {
            return Err(format!("{} of {MACHINES} machines were served", load.served).into());
        }
        Ok(load.answers_per_second())
    };
    let wide = |switch: &Switch| switch.host("client", Ipv4Addr::new(192, 0, 2, 3), 20);
    let ours = median(|| {
        let classroom = Classroom::open("dhcp", SETTINGS)?;
        load(&wide(&classroom.switch)?, MACHINES)
    })?;
    let theirs = median(|| {
        let switch = Switch::create("dhcp")?;
        let range =
            ["--dhcp-range=192.0.8.1,192.0.15.254,255.255.240.0,1h", "--dhcp-lease-max=4000", "--no-ping"];
        let (_host, _server) = dnsmasq(&switch, &range)?;
        load(&wide(&switch)?, 1)
    })?;
    line("boot.dhcp.answers", ours, theirs, "answers/s", "dnsmasq --no-ping, without a check of addresses");
    Ok(())
}

/// dnsmasq serves nothing whose path has `..` in it.
fn root() -> Outcome<String> {
    Ok(format!("--tftp-root={}", images::artefacts_folder().canonicalize()?.display()))
}

fn dnsmasq(switch: &Switch, options: &[&str]) -> Outcome<(Host, Process)> {
    let host = switch.host("peer", PEER, 20)?;
    let mut command: Command = host.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"]);
    command.args(["--interface=eth0", "--bind-interfaces", "--dhcp-leasefile=/dev/null"]).args(options);
    let log = std::env::temp_dir().join(format!("mimeo-bench-{}.log", std::process::id()));
    let process = Process::start(&command, &log)?;
    // It serves when its socket is there; its log names nothing that could be waited for.
    let deadline = Instant::now() + Duration::from_secs(10);
    while process::run(host.command("ss").args(["-lunH"])).is_ok_and(|sockets| sockets.is_empty()) {
        if Instant::now() > deadline {
            return Err(format!("dnsmasq did not start: {}", process.output()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((host, process))
}

fn median(mut measure: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let mut runs = (0..RUNS).map(|_| measure()).collect::<Outcome<Vec<_>>>()?;
    runs.sort_by(f64::total_cmp);
    Ok(runs[RUNS / 2])
}

fn line(name: &str, ours: f64, peer: f64, unit: &str, peer_is: &str) {
    println!(
        "bench {name} ours={ours:.1} peer={peer:.1} ratio={:.2} unit={unit} peer_is=\"{peer_is}\"",
        ours / peer
    );
}
