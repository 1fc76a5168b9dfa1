//! TFTP: one client, or a classroom at once, fetches the largest of the boot files.
//!
//! The client is atftp, the only one in Debian that asks for a window. dnsmasq and tftpd-hpa know no windows, so beside
//! them every block is acknowledged; atftpd knows them.

use std::{net::Ipv4Addr, path::Path, time::Instant};

use mimeo_lab::{
    appliance,
    classroom::Classroom,
    images,
    network::Host,
    process::{self, ProcessError},
};
use mimeo_server::boot::artefacts::names::INITRAMFS_PAYLOAD;

use crate::{
    Case,
    measure::{Outcome, Peer, RUNS, Unit, compare},
    peers::Server,
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// A classroom.
const CLIENTS: usize = 30;

/// How often a client that is alone fetches the file in one run: once takes a tenth of a second, in which chance has
/// its say. A classroom fetches it once each.
const FETCHES_ALONE: usize = 10;

/// What a client asks for, and how many do so at once.
#[derive(Debug, Clone, Copy)]
struct Load {
    block_bytes: u16,
    window_blocks: u16,
    clients: usize,
}

const LOADS: [Load; 9] = [
    Load { block_bytes: 512, window_blocks: 1, clients: 1 },
    Load { block_bytes: 512, window_blocks: 1, clients: CLIENTS },
    Load { block_bytes: 1468, window_blocks: 1, clients: 1 },
    Load { block_bytes: 1468, window_blocks: 1, clients: CLIENTS },
    Load { block_bytes: 512, window_blocks: 8, clients: 1 },
    Load { block_bytes: 512, window_blocks: 32, clients: 1 },
    Load { block_bytes: 1468, window_blocks: 8, clients: 1 },
    Load { block_bytes: 1468, window_blocks: 32, clients: 1 },
    Load { block_bytes: 1468, window_blocks: 32, clients: CLIENTS },
];

pub(crate) fn cases() -> Vec<Case> {
    LOADS.map(|load| Case { name: load.name(), run: Box::new(move |name| run(name, load)) }).into()
}

impl Load {
    fn name(self) -> String {
        format!("boot.tftp.blksize{}.window{}.clients{}", self.block_bytes, self.window_blocks, self.clients)
    }

    /// MB/s of all clients together, from the start of the first to the end of the last.
    fn measure(self, client: &Host, server: Ipv4Addr) -> Outcome<f64> {
        let file_bytes = std::fs::metadata(images::artefact(INITRAMFS_PAYLOAD)?)?.len();
        let fetches = if self.clients == 1 { FETCHES_ALONE } else { 1 };
        let begun = Instant::now();
        std::thread::scope(|scope| -> Result<(), ProcessError> {
            let fetch = || -> Result<(), ProcessError> {
                (0..fetches).try_for_each(|_| self.fetch(client, server, Path::new("/dev/null")))
            };
            let clients: Vec<_> = (0..self.clients).map(|_| scope.spawn(fetch)).collect();
            clients
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        Ok((self.clients * fetches) as f64 * file_bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
    }

    fn fetch(self, client: &Host, server: Ipv4Addr, to: &Path) -> Result<(), ProcessError> {
        let mut atftp = client.command("atftp");
        atftp.args(["--option", &format!("blksize {}", self.block_bytes)]);
        if self.window_blocks > 1 {
            atftp.args(["--option", &format!("windowsize {}", self.window_blocks)]);
        }
        atftp.args(["--get", "-r", INITRAMFS_PAYLOAD, "-l"]).arg(to).arg(server.to_string());
        process::run(&mut atftp).map(drop)
    }
}

fn run(name: &str, load: Load) -> Outcome<()> {
    let classroom = Classroom::open("tftp", "[dhcp]\nmode = \"off\"")?;
    let root = classroom.folder().join("root");
    std::fs::create_dir(&root)?;
    std::fs::copy(images::artefact(INITRAMFS_PAYLOAD)?, root.join(INITRAMFS_PAYLOAD))?;
    let log = |peer: &str| classroom.folder().join(format!("{peer}.log"));
    let switch = &classroom.switch;
    let client = switch.host("client", CLIENT, 20)?;
    let servers = if load.window_blocks == 1 {
        let root_option = format!("--tftp-root={}", root.display());
        let dnsmasq = Server::dnsmasq(switch, &log("dnsmasq"), &["--enable-tftp", &root_option])?;
        vec![("dnsmasq", dnsmasq), ("tftpd-hpa", Server::tftpd_hpa(switch, &log("hpa"), &root)?)]
    } else {
        vec![("atftpd", Server::atftpd(switch, &log("atftpd"), &root)?)]
    };
    for address in servers.iter().map(|(_, server)| server.address()).chain([appliance::ADDRESS]) {
        check(load, &client, address, classroom.folder())?;
    }
    let client = &client;
    let peers = servers.iter().map(|&(name, ref server)| Peer {
        name,
        is: format!("{name}, client atftp"),
        measure: Box::new(move || load.measure(client, server.address())),
    });
    compare(
        name,
        Unit::MegabytesPerSecond,
        RUNS,
        || load.measure(client, appliance::ADDRESS),
        peers.collect(),
    )
}

/// A server that is fast because it sends something else is not measured. This also warms every cache.
fn check(load: Load, client: &Host, server: Ipv4Addr, folder: &Path) -> Outcome<()> {
    let got = folder.join("got");
    load.fetch(client, server, &got)?;
    if std::fs::read(&got)? != std::fs::read(images::artefact(INITRAMFS_PAYLOAD)?)? {
        return Err(format!("{server} sent something else than {INITRAMFS_PAYLOAD}").into());
    }
    std::fs::remove_file(got)?;
    Ok(())
}
