//! The ways into the client beside the main job's own: next to a DHCP server that is not ours, and by UEFI HTTP Boot.

use std::{error::Error, net::Ipv4Addr};

use mimeo_core::machine::{FirmwareMode, SecureBoot};
use mimeo_lab::{
    classroom::{ALONE, Classroom},
    hardware::{BootFirst, Firmware},
    network::Host,
    process::Process,
};

use crate::support::{Outcome, alone, target, told};

const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Settings beside a foreign DHCP server.
fn beside(dhcp: &str) -> String {
    let boot = ALONE.split("[boot]").nth(1).unwrap_or_default();
    format!("[dhcp]\n{dhcp}\n\n[boot]{boot}")
}

/// A DHCP server that knows nothing of network boot.
fn foreign_dhcp(classroom: &Classroom) -> Result<(Host, Process), Box<dyn Error>> {
    let host = classroom.switch.host("dhcp", FOREIGN, 24)?;
    let mut command = host.command("dnsmasq");
    let leases = classroom.folder().join("dnsmasq.leases");
    command.args([
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--conf-file=/dev/null",
        "--port=0",
    ]);
    command.args(["--interface=eth0", "--bind-interfaces", "--dhcp-authoritative"]);
    command.arg("--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,1h");
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    let process = Process::start(&command, &classroom.folder().join("dnsmasq.log"))?;
    Ok((host, process))
}

fn reaches_the_client(
    label: &str,
    settings: &str,
    foreign: bool,
    firmware: Firmware,
    first: BootFirst,
) -> Outcome {
    let _alone = alone();
    let classroom = Classroom::open(label, settings)?;
    let _foreign = if foreign { Some(foreign_dhcp(&classroom)?) } else { None };
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
    reaches_the_client("px-bios", &beside("mode = \"proxy\""), true, Firmware::Bios, BootFirst::Network)
}

#[test]
fn proxy_uefi_beside_a_foreign_dhcp_server() -> Outcome {
    reaches_the_client("px-uefi", &beside("mode = \"proxy\""), true, Firmware::Uefi, BootFirst::Network)
}

#[test]
fn pxe_secure_boot_beside_a_foreign_dhcp_server() -> Outcome {
    let settings = beside("mode = \"pxe\"\npool = \"192.0.2.60-192.0.2.69\"");
    reaches_the_client("pxe-sb", &settings, true, Firmware::UefiSecureBoot, BootFirst::Network)
}

#[test]
fn pxe_bios_beside_a_foreign_dhcp_server() -> Outcome {
    let settings = beside("mode = \"pxe\"\npool = \"192.0.2.60-192.0.2.69\"");
    reaches_the_client("pxe-bios", &settings, true, Firmware::Bios, BootFirst::Network)
}

#[test]
fn uefi_http_boot() -> Outcome {
    reaches_the_client("http", ALONE, false, Firmware::Uefi, BootFirst::NetworkHttp)
}

#[test]
fn uefi_http_boot_secure_boot() -> Outcome {
    reaches_the_client("http-sb", ALONE, false, Firmware::UefiSecureBoot, BootFirst::NetworkHttp)
}
