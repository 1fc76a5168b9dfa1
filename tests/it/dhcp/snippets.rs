//! The programs that the snippets are for accept them.

use std::{net::Ipv4Addr, process::Command};

use mimeo_lab::process::run;
use mimeo_server::boot::dhcp::{settings::Settings, snippets};

fn settings() -> Settings {
    Settings { http_port: 8080, ..Settings::proxy("eth0", Ipv4Addr::new(10, 77, 0, 1), 24) }
}

/// Has a program judge a configuration file: the file's text, then the program with its arguments before the file.
fn check(text: &str, program: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("configuration");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    match arguments.last() {
        Some(last) if last.ends_with('=') => {
            let mut command = Command::new(program);
            let (last, others) = arguments.split_last().unwrap();
            command.args(others).arg(format!("{last}{}", file.display()));
            run(&mut command).unwrap();
        }
        _ => drop(run(command.arg(&file)).unwrap()),
    }
}

#[test]
fn isc_dhcpd_accepts_its_snippet() {
    let text = snippets::isc_dhcpd(&settings());
    let subnet = "subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.200 10.77.0.220; }\n";
    check(&format!("{text}{subnet}"), "dhcpd", &["-t", "-cf"]);
}

#[test]
fn kea_accepts_its_snippet() {
    check(&snippets::kea(&settings()), "kea-dhcp4", &["-t"]);
}

#[test]
fn dnsmasq_accepts_its_snippet() {
    check(&snippets::dnsmasq(&settings()), "dnsmasq", &["--test", "--conf-file="]);
}
