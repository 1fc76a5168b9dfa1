//! DHCP: a thousand machines whose power comes on at once.

use std::{cell::Cell, net::Ipv4Addr, time::Duration};

use mimeo_lab::{classroom::Classroom, dhcp_load, network::Switch};

use crate::{
    Case,
    measure::{Outcome, Peer, RUNS, Unit, compare},
    peers::Server,
};

const MACHINES: usize = 1000;
/// For how long they are counted. Ours serves them all in it or the bench fails; a peer may leave some out.
const WITHIN: Duration = Duration::from_secs(60);

/// A pool with room for every machine on the same network.
const SETTINGS: &str = "\
[dhcp]
mode = \"full\"
pool = \"192.0.8.1-192.0.15.254\"
";

/// The same pool, leases that outlast a restart, and a boot file, as ours. The check whether an address is in use
/// holds everything else up for up to three seconds each time, so it is left out; ours asks by ARP before each offer.
const DNSMASQ: [&str; 5] = [
    "--dhcp-range=192.0.8.1,192.0.15.254,255.255.240.0,1h",
    "--dhcp-lease-max=4000",
    "--dhcp-authoritative",
    "--dhcp-boot=shimx64.efi",
    "--no-ping",
];

pub(crate) fn cases() -> Vec<Case> {
    vec![Case { name: "boot.dhcp.answers".into(), run: Box::new(run) }]
}

fn run(name: &str) -> Outcome<()> {
    let left_out = Cell::new(0);
    let ours = || -> Outcome<f64> {
        let classroom = Classroom::open("dhcp", SETTINGS)?;
        let load = start(&classroom.switch)?;
        if load.served < MACHINES {
            return Err(format!("{} of {MACHINES} machines were served", load.served).into());
        }
        Ok(load.answers_per_second())
    };
    let dnsmasq = || -> Outcome<f64> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let leases = format!("--dhcp-leasefile={}", folder.path().join("leases").display());
        let switch = Switch::create("dhcp")?;
        let options = [&DNSMASQ[..], &[leases.as_str()]].concat();
        let _server = Server::dnsmasq(&switch, &folder.path().join("log"), &options)?;
        let load = start(&switch)?;
        left_out.set(left_out.get().max(MACHINES - load.served));
        Ok(load.answers_per_second())
    };
    let is = "dnsmasq --no-ping: does not check whether an address is in use, ours does";
    let peer = Peer { name: "dnsmasq", is: is.into(), measure: Box::new(dnsmasq) };
    compare(name, Unit::AnswersPerSecond, RUNS, ours, vec![peer])?;
    complain(left_out.get());
    Ok(())
}

fn start(switch: &Switch) -> Outcome<dhcp_load::Load> {
    let host = switch.host("client", Ipv4Addr::new(192, 0, 2, 9), 20)?;
    Ok(host.run(|| dhcp_load::start_machines(MACHINES, WITHIN))??)
}

#[expect(clippy::print_stderr, reason = "a remark on a line")]
fn complain(left_out: usize) {
    if left_out > 0 {
        eprintln!("  dnsmasq left up to {left_out} of {MACHINES} machines without an address for {WITHIN:?}");
    }
}
