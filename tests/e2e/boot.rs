//! The ways into the client beside the main job's own: next to a DHCP server that is not ours, and by UEFI HTTP Boot.

use std::{error::Error, fs, io, net::Ipv4Addr, path::Path, process::Command};

use mimeo_core::machine::{FirmwareMode, SecureBoot};
use mimeo_lab::{
    classroom::{ALONE, Classroom},
    hardware::{BootFirst, Firmware},
    network::Host,
    process::Process,
};

use crate::support::{Outcome, target, told};

const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Mode `pxe`, with addresses that the foreign server does not give.
const PXE: &str = "mode = \"pxe\"\npool = \"192.0.2.60-192.0.2.69\"";

/// Settings beside a foreign DHCP server.
fn beside(dhcp: &str) -> String {
    let boot = ALONE.split("[boot]").nth(1).unwrap_or_default();
    format!("[dhcp]\n{dhcp}\n\n[boot]{boot}")
}

/// A DHCP server that is not ours, on the same switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// dnsmasq, which names nothing to boot from.
    Dnsmasq,
    /// ISC dhcpd, which sends whoever asks to a boot server that has nothing, as left over from an older solution.
    IscWithAnotherBootServer,
}

impl Foreign {
    fn start(self, classroom: &Classroom) -> Result<(Host, Process), Box<dyn Error>> {
        let host = classroom.switch.host("dhcp", FOREIGN, 24)?;
        let command = match self {
            Foreign::Dnsmasq => dnsmasq(&host, classroom.folder()),
            Foreign::IscWithAnotherBootServer => isc_dhcpd(&host, classroom.folder())?,
        };
        let process = Process::start(&command, &classroom.folder().join("foreign-dhcp.log"))?;
        Ok((host, process))
    }
}

fn dnsmasq(host: &Host, folder: &Path) -> Command {
    let mut command = host.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--conf-file=/dev/null",
        "--port=0",
    ]);
    command.args(["--interface=eth0", "--bind-interfaces", "--dhcp-authoritative"]);
    command.arg("--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,1h");
    command.arg(format!("--dhcp-leasefile={}", folder.join("dnsmasq.leases").display()));
    command
}

fn isc_dhcpd(host: &Host, folder: &Path) -> io::Result<Command> {
    let (config, leases) = (folder.join("dhcpd.conf"), folder.join("dhcpd.leases"));
    let text = "authoritative;\nsubnet 192.0.2.0 netmask 255.255.255.0 {\n  range 192.0.2.100 192.0.2.150;\n  \
                next-server 192.0.2.2;\n  filename \"old/pxelinux.0\";\n}\n";
    fs::write(&config, text)?;
    fs::write(&leases, "")?;
    let mut command = host.command("dhcpd");
    command.args(["-f", "-d", "-user", "root", "-group", "root", "-cf"]).arg(config).arg("-lf").arg(leases);
    command.arg("-pf").arg(folder.join("dhcpd.pid")).arg("eth0");
    Ok(command)
}

fn reaches_the_client(
    label: &str,
    settings: &str,
    foreign: Option<Foreign>,
    firmware: Firmware,
    first: BootFirst,
) -> Outcome {
    let classroom = Classroom::open(label, settings)?;
    let _foreign = foreign.map(|foreign| foreign.start(&classroom)).transpose()?;
    let mut machine = target(&classroom, "machine", 9, firmware)?;
    machine.rebuild(|hardware| hardware.boot_first = first);
    machine.power_on()?;
    let computer = told(&machine, classroom.wait_for_computer(&machine.hardware().serial))?;
    let expected = match firmware {
        Firmware::Bios => (FirmwareMode::Bios, SecureBoot::Absent),
        Firmware::Uefi => (FirmwareMode::Uefi, SecureBoot::Off),
        Firmware::UefiSecureBoot => (FirmwareMode::Uefi, SecureBoot::On),
    };
    assert_eq!((computer.firmware, computer.secure_boot), expected);
    Ok(())
}

#[test]
fn proxy_bios_beside_a_foreign_dhcp_server() -> Outcome {
    reaches_the_client(
        "px-bios",
        &beside("mode = \"proxy\""),
        Some(Foreign::Dnsmasq),
        Firmware::Bios,
        BootFirst::Network,
    )
}

#[test]
fn proxy_uefi_beside_a_foreign_dhcp_server() -> Outcome {
    reaches_the_client(
        "px-uefi",
        &beside("mode = \"proxy\""),
        Some(Foreign::Dnsmasq),
        Firmware::Uefi,
        BootFirst::Network,
    )
}

#[test]
fn pxe_secure_boot_beside_a_foreign_dhcp_server() -> Outcome {
    let settings = beside(PXE);
    reaches_the_client(
        "pxe-sb",
        &settings,
        Some(Foreign::Dnsmasq),
        Firmware::UefiSecureBoot,
        BootFirst::Network,
    )
}

#[test]
fn pxe_bios_beside_a_foreign_dhcp_server() -> Outcome {
    let settings = beside(PXE);
    reaches_the_client("pxe-bios", &settings, Some(Foreign::Dnsmasq), Firmware::Bios, BootFirst::Network)
}

#[test]
fn proxy_uefi_beside_a_dhcp_server_that_names_another_boot_server() -> Outcome {
    let foreign = Some(Foreign::IscWithAnotherBootServer);
    reaches_the_client("px-isc", &beside("mode = \"proxy\""), foreign, Firmware::Uefi, BootFirst::Network)
}

#[test]
fn pxe_secure_boot_beside_a_dhcp_server_that_names_another_boot_server() -> Outcome {
    let foreign = Some(Foreign::IscWithAnotherBootServer);
    reaches_the_client("pxe-isc", &beside(PXE), foreign, Firmware::UefiSecureBoot, BootFirst::Network)
}

#[test]
fn uefi_http_boot() -> Outcome {
    reaches_the_client("http", ALONE, None, Firmware::Uefi, BootFirst::NetworkHttp)
}

#[test]
fn uefi_http_boot_secure_boot() -> Outcome {
    reaches_the_client("http-sb", ALONE, None, Firmware::UefiSecureBoot, BootFirst::NetworkHttp)
}
