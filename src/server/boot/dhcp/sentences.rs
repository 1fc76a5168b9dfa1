//! What DHCP has to say to an administrator, in his language: what was seen, and what to do.

use mimeo_core::text::Texts;

use super::{
    observe::{Because, Obstacle},
    settings::Mode,
};
use crate::boot::notices::Notice;

/// What was heard on the network.
pub fn because(texts: &Texts, because: &Because) -> String {
    let of = |key: &str, server: std::net::Ipv4Addr| texts.say_with(key, &[("server", &server.to_string())]);
    match because {
        Because::NobodyAnswered => texts.say("dhcp-nobody-answered"),
        Because::NamesUs { server } => of("dhcp-names-us", *server),
        Because::GivesAddresses { server } => of("dhcp-gives-addresses", *server),
        Because::AnotherBootService { server, next_server, boot_file } => {
            let next_server = next_server.map_or("—".into(), |next| next.to_string());
            let file = boot_file.as_deref().unwrap_or("—");
            let values = [("server", &*server.to_string()), ("next_server", &*next_server), ("file", file)];
            texts.say_with("dhcp-another-boot-service", &values)
        }
    }
}

/// How to come to the proposed mode.
pub fn advice(texts: &Texts, proposed: Mode) -> String {
    texts.say(match proposed {
        Mode::Proxy => "dhcp-advice-proxy",
        Mode::Pxe => "dhcp-advice-pxe",
        Mode::Full => "dhcp-advice-full",
        Mode::Off => "dhcp-advice-off",
    })
}

/// Why Secure Boot cannot work by ProxyDHCP.
pub fn obstacle(texts: &Texts, obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::NobodyHeard => texts.say("dhcp-obstacle-nobody"),
        Obstacle::NamesNobody { server } => {
            texts.say_with("dhcp-obstacle-names-nobody", &[("server", &server.to_string())])
        }
        Obstacle::NamesAnother { server, next_server } => {
            let values = [("server", &*server.to_string()), ("next_server", &*next_server.to_string())];
            texts.say_with("dhcp-obstacle-names-another", &values)
        }
    }
}

/// What keeps machines from booting, and what to do about it.
pub fn notice(texts: &Texts, notice: &Notice) -> String {
    match notice {
        Notice::SecureBootOutOfReach { mac, obstacle: why, mode } => {
            let key = match mode {
                Mode::Pxe => "notice-secure-boot-pxe",
                Mode::Proxy | Mode::Full | Mode::Off => "notice-secure-boot-proxy",
            };
            let values = [("mac", &*mac.to_string()), ("reason", &*obstacle(texts, why))];
            texts.say_with(key, &values)
        }
        Notice::PoolExhausted { addresses } => {
            texts.say_with("notice-pool-exhausted", &[("addresses", &addresses.to_string())])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mimeo_core::{ids::MacAddr, messages::Language, text::texts};

    use super::{advice, because, notice};
    use crate::boot::{
        dhcp::{
            observe::{Because, Obstacle},
            settings::Mode,
        },
        notices::Notice,
    };

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const NEXT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

    /// Every sentence is there in both languages, carries its values, and leaves no name of a value behind.
    fn check(say: impl Fn(&mimeo_core::text::Texts) -> String, carries: &[&str]) {
        let said = [Language::Fr, Language::En].map(|language| say(texts(language)));
        assert_ne!(said[0], said[1], "the languages differ");
        for sentence in said {
            assert!(sentence.contains(' ') && !sentence.contains('{'), "{sentence}");
            for value in carries {
                assert!(sentence.contains(value), "{sentence:?} lacks {value}");
            }
        }
    }

    #[test]
    fn what_was_heard_is_said_with_its_addresses() {
        check(|texts| because(texts, &Because::NobodyAnswered), &[]);
        check(|texts| because(texts, &Because::NamesUs { server: SERVER }), &["10.0.0.2"]);
        check(|texts| because(texts, &Because::GivesAddresses { server: SERVER }), &["10.0.0.2"]);
        let rival = Because::AnotherBootService {
            server: SERVER,
            next_server: Some(NEXT),
            boot_file: Some("pxelinux.0".into()),
        };
        check(|texts| because(texts, &rival), &["10.0.0.2", "10.0.0.3", "pxelinux.0"]);
    }

    #[test]
    fn every_advice_names_the_key_to_be_changed() {
        for (mode, value) in
            [(Mode::Proxy, "proxy"), (Mode::Pxe, "pxe"), (Mode::Full, "full"), (Mode::Off, "off")]
        {
            check(|texts| advice(texts, mode), &["[dhcp] mode", value]);
        }
    }

    #[test]
    fn every_notice_names_the_machine_the_reason_and_a_way_out() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let obstacle = Obstacle::NamesAnother { server: SERVER, next_server: NEXT };
        let out_of_reach = |mode| Notice::SecureBootOutOfReach { mac, obstacle, mode };
        let facts = ["02:00:00:00:00:01", "10.0.0.2", "10.0.0.3"];
        check(|texts| notice(texts, &out_of_reach(Mode::Proxy)), &[&facts[..], &["\"pxe\""]].concat());
        check(|texts| notice(texts, &out_of_reach(Mode::Pxe)), &facts);
        for obstacle in [Obstacle::NobodyHeard, Obstacle::NamesNobody { server: SERVER }] {
            let said = Notice::SecureBootOutOfReach { mac, obstacle, mode: Mode::Proxy };
            check(|texts| notice(texts, &said), &["02:00:00:00:00:01"]);
        }
        check(|texts| notice(texts, &Notice::PoolExhausted { addresses: 4 }), &["4", "[dhcp] pool"]);
    }
}
