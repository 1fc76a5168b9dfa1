//! From power-on to the client's first word to its server: the same virtual PC, loaders, kernel, initramfs and kernel
//! options, served by Mimeo alone and by dnsmasq with nginx.
//!
//! The client is the same too: nginx has a certificate of a CA that stands in its initramfs, and the second part of the
//! initramfs. It cannot answer the hello, but the hello is where the clock stops on both sides: when it stands in the
//! server's log.

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use mimeo_core::messages::paths;
use mimeo_lab::{
    classroom::{ALONE, Classroom, HELLO_WITHIN},
    hardware::{Firmware, Hardware},
    images,
    network::Switch,
    vm::Machine,
};
use mimeo_server::{
    boot::artefacts::{Artefacts, names},
    clock::Timestamp,
    tls::Tls,
};

use crate::{
    Case,
    measure::{Outcome, Peer, RUNS_OF_LONG, Unit, compare},
    peers::Server,
};

/// How finely the end is measured.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the peer's loaders tell the kernel: the same as [`ALONE`] makes of it, a token that nobody asks for included.
const KERNEL_ARGUMENTS: &str = "mimeo.server=192.0.2.2:443 \
    mimeo.token=5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba5eba console=tty0 console=ttyS0";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, firmware| Case {
        name: name.into(),
        run: Box::new(move |name: &str| run(name, firmware)),
    };
    vec![case("boot.hello.bios", Firmware::Bios), case("boot.hello.secure-boot", Firmware::UefiSecureBoot)]
}

fn run(name: &str, firmware: Firmware) -> Outcome<()> {
    let peer = Peer {
        name: "dnsmasq-nginx",
        is: "dnsmasq and nginx, the same VM and files; QEMU without KVM".into(),
        measure: Box::new(move || peers(firmware)),
    };
    compare(name, Unit::Seconds, RUNS_OF_LONG, move || ours(firmware), vec![peer])
}

/// Seconds until Mimeo says that a computer booted into the client.
fn ours(firmware: Firmware) -> Outcome<f64> {
    let classroom = Classroom::open("hello", ALONE)?;
    let log = || -> Outcome<String> { Ok(classroom.appliance.log()) };
    seconds_to_hello(firmware, &classroom.switch, classroom.folder(), log, "ComputerBooted")
}

/// Seconds until nginx was asked for what only the hello asks for.
fn peers(firmware: Firmware) -> Outcome<f64> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let folder = folder.path();
    let certificate = Tls::open(&folder.join("tls"), &["192.0.2.2".to_owned()], Timestamp::now())?;
    fill_folders(folder, certificate.authority_pem())?;
    let switch = Switch::create("hello")?;
    let dnsmasq = start_dnsmasq(&switch, folder)?;
    let web = folder.join("web");
    let servers = format!(
        "server {{ listen 80; root {0}; }}\n\
         server {{ listen 443 ssl; root {0}; ssl_protocols TLSv1.3;\n\
         ssl_certificate {1}/certificate.pem; ssl_certificate_key {1}/key.pem; }}\n",
        web.display(),
        folder.display()
    );
    let (_nginx, requests) = Server::nginx(dnsmasq.host(), folder, &servers)?;
    let log = || -> Outcome<String> { Ok(std::fs::read_to_string(&requests)?) };
    seconds_to_hello(firmware, &switch, folder, log, &format!("POST {}", paths::HELLO))
        .map_err(|error| format!("{error}\ndnsmasq said:\n{}", dnsmasq.output()).into())
}

/// Switches a PC on and looks at the server's log until it has `hello` in it.
fn seconds_to_hello(
    firmware: Firmware,
    switch: &Switch,
    folder: &Path,
    log: impl Fn() -> Outcome<String>,
    hello: &str,
) -> Outcome<f64> {
    let hardware = Hardware { firmware, ..Hardware::new("pc", 9) };
    let mut machine = Machine::new(hardware, switch, &folder.join("pc"))?;
    let begun = Instant::now();
    machine.power_on()?;
    while !log()?.contains(hello) {
        if begun.elapsed() > HELLO_WITHIN || !machine.is_on() {
            let console = machine.console_text();
            return Err(format!("no hello after {:?}; the PC said:\n{console}", begun.elapsed()).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// `tftp` and `web`, and beside them the certificate that nginx shows.
fn fill_folders(folder: &Path, authority_pem: &str) -> Outcome<()> {
    let (tftp, web) = (folder.join("tftp"), folder.join("web"));
    std::fs::create_dir_all(tftp.join("grub"))?;
    let payload = web.join(paths::PAYLOAD.trim_start_matches('/'));
    std::fs::create_dir_all(payload.parent().ok_or("the payload's path has no folder")?)?;
    let artefacts = Artefacts::load(&images::artefacts_folder(), authority_pem, Timestamp::now())?;
    for name in ["undionly.kpxe", "shimx64.efi", "grubx64.efi"] {
        std::fs::copy(images::artefact(name)?, tftp.join(name))?;
    }
    for root in [&tftp, &web] {
        for name in [names::KERNEL, names::INITRAMFS] {
            std::fs::write(root.join(name), artefacts.required(name))?;
        }
    }
    std::fs::write(payload, artefacts.payload().0)?;
    let grub = format!("linux {} {KERNEL_ARGUMENTS}\ninitrd {}\nboot\n", names::KERNEL, names::INITRAMFS);
    std::fs::write(tftp.join("grub/grub.cfg"), grub)?;
    let ipxe = format!(
        "#!ipxe\nkernel {0} initrd={1} {KERNEL_ARGUMENTS}\ninitrd {1}\nboot\n",
        names::KERNEL,
        names::INITRAMFS
    );
    std::fs::write(web.join("boot.ipxe"), ipxe)?;
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("tls/server.json"))?)?;
    for (field, file) in [("certificate_pem", "certificate.pem"), ("key_pem", "key.pem")] {
        let pem = kept[field].as_str().ok_or_else(|| format!("server.json has no {field}"))?;
        std::fs::write(folder.join(file), pem)?;
    }
    Ok(())
}

fn start_dnsmasq(switch: &Switch, folder: &Path) -> Outcome<Server> {
    let leases = format!("--dhcp-leasefile={}", folder.join("leases").display());
    let root = format!("--tftp-root={}", folder.join("tftp").display());
    let script = format!("--dhcp-boot=tag:ipxe,http://{}/boot.ipxe", Ipv4Addr::new(192, 0, 2, 2));
    let options = [
        "--dhcp-range=192.0.2.50,192.0.2.99,255.255.240.0,1h",
        "--dhcp-authoritative",
        "--no-ping",
        "--enable-tftp",
        "--dhcp-match=set:uefi,option:client-arch,7",
        "--dhcp-userclass=set:ipxe,iPXE",
        "--dhcp-boot=tag:!uefi,tag:!ipxe,undionly.kpxe",
        "--dhcp-boot=tag:uefi,tag:!ipxe,shimx64.efi",
        &script,
        &leases,
        &root,
    ];
    Server::dnsmasq(switch, &folder.join("dnsmasq.log"), &options)
}
