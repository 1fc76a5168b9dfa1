//! The doctor's words for what it looks at, and for what other parts of the server say in English.

use mimeo_core::causes::causes;

use super::{Check, Verdict};
use crate::{cli::words::Words, config::interface::InterfaceError, serve::ports::PortError};

pub(super) fn verdict(words: &Words, verdict: Verdict) -> String {
    words.say(match verdict {
        Verdict::Ok => "doctor-ok",
        Verdict::Warn => "doctor-warn",
        Verdict::Fail => "doctor-fail",
    })
}

pub(super) fn check(words: &Words, check: Check) -> String {
    words.say(match check {
        Check::Configuration => "doctor-configuration",
        Check::Clock => "doctor-clock",
        Check::Artefacts => "doctor-artefacts",
        Check::Database => "doctor-database",
        Check::Store => "doctor-store",
        Check::Interface => "doctor-interface",
        Check::Ports => "doctor-ports",
        Check::Dhcp => "doctor-dhcp",
        Check::Notices => "doctor-notices",
    })
}

/// Why no network interface can be served, and what to do about it.
pub(super) fn interface(words: &Words, error: &InterfaceError) -> String {
    let of = |key: &str, name: &str| words.say_of(key, "name", name);
    match error {
        InterfaceError::Unlisted(source) => words.say_of("doctor-interface-unlisted", "error", source),
        InterfaceError::Missing { name, there_are } => {
            words.say_with("doctor-interface-missing", &[("name", name), ("there_are", there_are)])
        }
        InterfaceError::Down { name } => of("doctor-interface-down", name),
        InterfaceError::NoAddress { name } => of("doctor-interface-no-address", name),
        InterfaceError::OtherAddress { name, address } => {
            let values = [("name", &**name), ("address", &*address.to_string())];
            words.say_with("doctor-interface-other-address", &values)
        }
        InterfaceError::NoneUsable => words.say("doctor-interface-none"),
        InterfaceError::Several { names } => words.say_of("doctor-interface-several", "names", names),
    }
}

/// Why a port cannot be had, and what to do about it.
pub(super) fn port(words: &Words, error: &PortError) -> String {
    match error {
        PortError::InUse { protocol, address, port, key } => {
            let values = [
                ("protocol", *protocol),
                ("address", &*address.to_string()),
                ("port", &*port.to_string()),
                ("key", *key),
                ("command", &*format!("ss -lnp 'sport = :{port}'")),
            ];
            words.say_with("doctor-port-in-use", &values)
        }
        PortError::NotAllowed { protocol, port } => {
            let values = [("protocol", *protocol), ("port", &*port.to_string())];
            words.say_with("doctor-port-not-allowed", &values)
        }
        PortError::Failed { protocol, address, port, source } => {
            let values = [
                ("protocol", *protocol),
                ("address", &*address.to_string()),
                ("port", &*port.to_string()),
                ("error", &*source.to_string()),
            ];
            words.say_with("doctor-port-failed", &values)
        }
        // Of the local socket, which the doctor does not open.
        PortError::Local { .. } => causes(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::Ipv4Addr};

    use mimeo_core::messages::Language;

    use super::{interface, port};
    use crate::{cli::words::Words, config::interface::InterfaceError, serve::ports::PortError};

    /// Both languages say it, each in its way, with what it is about.
    fn check(say: impl Fn(&Words) -> String, facts: &[&str]) {
        let said = [Language::Fr, Language::En].map(|language| say(&Words::new(language)));
        assert_ne!(said[0], said[1]);
        for sentence in said {
            for fact in facts {
                assert!(sentence.contains(fact) && !sentence.contains("{ $"), "{sentence}");
            }
        }
    }

    #[test]
    fn every_trouble_with_an_interface_is_told_in_both_languages() {
        let name = || "eth7".to_owned();
        let address = Ipv4Addr::new(10, 0, 0, 9);
        for (error, facts) in [
            (InterfaceError::Unlisted(io::Error::other("worn out")), &["worn out"][..]),
            (InterfaceError::Missing { name: name(), there_are: "lo".into() }, &["eth7", "lo"]),
            (InterfaceError::Down { name: name() }, &["ip link set eth7 up"]),
            (InterfaceError::NoAddress { name: name() }, &["ip address add", "eth7"]),
            (InterfaceError::OtherAddress { name: name(), address }, &["eth7", "10.0.0.9"]),
            (InterfaceError::NoneUsable, &["[network] interface"]),
            (InterfaceError::Several { names: "a, b".into() }, &["a, b", "--interface"]),
        ] {
            check(|words| interface(words, &error), facts);
        }
    }

    #[test]
    fn every_trouble_with_a_port_is_told_in_both_languages() {
        let of = |kind: io::ErrorKind| {
            PortError::of(kind.into(), "UDP", Ipv4Addr::new(10, 0, 0, 1), 69, "[tftp] enabled")
        };
        check(|words| port(words, &of(io::ErrorKind::AddrInUse)), &["69", "ss -lnp", "[tftp] enabled"]);
        check(|words| port(words, &of(io::ErrorKind::PermissionDenied)), &["69", "root"]);
        check(|words| port(words, &of(io::ErrorKind::TimedOut)), &["69", "10.0.0.1"]);
    }
}
