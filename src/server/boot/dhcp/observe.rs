//! Other DHCP servers on the network: what was heard of them, and what follows from it.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{packet::Overheard, settings::Mode};
use crate::clock::Timestamp;

/// Servers that are remembered: a network has one or two, anything more is a flood.
const SERVERS_MAX: usize = 16;
/// A server that was not heard for so long is no longer counted with. It is asked every fifteen minutes.
const SERVER_MEMORY: Duration = Duration::from_secs(3600);

/// Another DHCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignServer {
    pub server: Ipv4Addr,
    /// Whether it gives addresses; a ProxyDHCP server does not.
    pub gives_addresses: bool,
    /// What it tells machines that boot from the network; `None` as long as none was heard being told.
    pub boot: Option<ForeignBoot>,
    pub heard: Timestamp,
}

/// What another server tells booting machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignBoot {
    pub next_server: Option<Ipv4Addr>,
    pub boot_file: Option<String>,
}

/// The servers heard of lately.
#[derive(Debug, Default)]
pub(super) struct ForeignServers {
    by_server: BTreeMap<Ipv4Addr, ForeignServer>,
}

impl ForeignServers {
    /// Takes in what a server was heard to say. `boots` tells whether it said so to a machine that boots from the
    /// network: many servers answer those otherwise than the rest. Returns the server where it is new, or where what
    /// is now known of its addresses or its next-server is; a boot file differs from machine to machine.
    pub(super) fn hear(&mut self, heard: &Overheard, boots: bool, now: Timestamp) -> Option<&ForeignServer> {
        self.by_server.retain(|_, known| now.since(known.heard) < SERVER_MEMORY);
        if !self.by_server.contains_key(&heard.server) && self.by_server.len() >= SERVERS_MAX {
            return None;
        }
        let mut is_news = false;
        let known = self.by_server.entry(heard.server).or_insert_with(|| {
            is_news = true;
            ForeignServer { server: heard.server, gives_addresses: false, boot: None, heard: now }
        });
        known.heard = now;
        if heard.address.is_some() && !known.gives_addresses {
            known.gives_addresses = true;
            is_news = true;
        }
        if boots {
            let boot = ForeignBoot { next_server: heard.next_server, boot_file: heard.boot_file.clone() };
            is_news |= known.boot.as_ref().map(|known| known.next_server) != Some(boot.next_server);
            known.boot = Some(boot);
        }
        is_news.then_some(&*known)
    }

    /// The servers, by their address.
    pub(super) fn servers(&self) -> impl Iterator<Item = &ForeignServer> {
        self.by_server.values()
    }

    /// Why a machine that takes its address from these servers cannot boot through shim and GRUB from us; `None`
    /// where it can: signed GRUB loads from the server that the DHCP acknowledgement names and ignores ProxyDHCP.
    pub(super) fn obstacle(&self, us: Ipv4Addr, now: Timestamp) -> Option<Obstacle> {
        let mut servers = self
            .by_server
            .values()
            .filter(|known| known.gives_addresses && now.since(known.heard) < SERVER_MEMORY)
            .peekable();
        if servers.peek().is_none() {
            return Some(Obstacle::NobodyHeard);
        }
        servers.find_map(|known| match known.boot.as_ref().map(|boot| boot.next_server) {
            Some(Some(next)) if next == us => None,
            Some(Some(next)) => Some(Obstacle::NamesAnother { server: known.server, next_server: next }),
            Some(None) | None => Some(Obstacle::NamesNobody { server: known.server }),
        })
    }
}

/// Why Secure Boot cannot work by ProxyDHCP on this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obstacle {
    #[error("no DHCP server was heard, so nobody is known to name us as next-server")]
    NobodyHeard,
    #[error("DHCP server {server} names no next-server")]
    NamesNobody { server: Ipv4Addr },
    #[error("DHCP server {server} names {next_server} as next-server")]
    NamesAnother { server: Ipv4Addr, next_server: Ipv4Addr },
}

/// A mode for this network, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub mode: Mode,
    pub because: Because,
}

/// What was heard that a proposal follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Nobody answered: the network has no DHCP server.
    NobodyAnswered,
    /// Somebody tells machines to boot from elsewhere: two boot services on one network take machines from each other.
    AnotherBootService { server: Ipv4Addr, next_server: Option<Ipv4Addr>, boot_file: Option<String> },
    /// The DHCP servers name us as next-server, so that every machine can boot by ProxyDHCP.
    NamesUs { server: Ipv4Addr },
    /// A DHCP server gives addresses and does not name us: Secure Boot needs ours.
    GivesAddresses { server: Ipv4Addr },
}

/// Proposes a mode from what answered within a time of listening and asking ([`super::ears::listen`]).
pub fn propose_mode(heard: &[ForeignServer], us: Ipv4Addr) -> Proposal {
    let rival = heard.iter().find_map(|known| {
        let boot = known.boot.as_ref()?;
        // dnsmasq and others name themselves as next-server without meaning it: only with a file it is an offer to boot.
        let elsewhere = boot.boot_file.is_some() && boot.next_server != Some(us);
        (elsewhere || !known.gives_addresses).then(|| Because::AnotherBootService {
            server: known.server,
            next_server: boot.next_server,
            boot_file: boot.boot_file.clone(),
        })
    });
    if let Some(because) = rival {
        return Proposal { mode: Mode::Off, because };
    }
    let names_us = |known: &&ForeignServer| known.boot.as_ref().and_then(|boot| boot.next_server) == Some(us);
    match (heard.first(), heard.iter().find(|known| !names_us(known))) {
        (None, _) => Proposal { mode: Mode::Full, because: Because::NobodyAnswered },
        (Some(_), Some(other)) => {
            Proposal { mode: Mode::Pxe, because: Because::GivesAddresses { server: other.server } }
        }
        (Some(known), None) => {
            Proposal { mode: Mode::Proxy, because: Because::NamesUs { server: known.server } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mimeo_core::ids::MacAddr;

    use super::{Because, ForeignServers, Obstacle, Overheard, SERVERS_MAX, propose_mode};
    use crate::{boot::dhcp::settings::Mode, clock::Timestamp};

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const DHCP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

    fn offer(
        server: Ipv4Addr,
        next_server: Option<Ipv4Addr>,
        boot_file: Option<&str>,
        gives: bool,
    ) -> Overheard {
        let address = gives.then_some(Ipv4Addr::new(10, 0, 0, 77));
        let machine = MacAddr([2, 0, 0, 0, 0, 1]);
        Overheard { server, next_server, boot_file: boot_file.map(Into::into), address, machine, xid: 7 }
    }

    fn after(offers: &[Overheard]) -> ForeignServers {
        let mut servers = ForeignServers::default();
        for offer in offers {
            servers.hear(offer, true, Timestamp(1));
        }
        servers
    }

    #[test]
    fn shim_and_grub_need_every_server_to_name_us() {
        let (named, nobody) = (offer(DHCP, Some(US), None, true), offer(DHCP, None, None, true));
        let other = offer(ELSEWHERE, Some(ELSEWHERE), None, true);
        let table: [(&[Overheard], Option<Obstacle>); 5] = [
            (&[], Some(Obstacle::NobodyHeard)),
            (std::slice::from_ref(&named), None),
            (&[nobody], Some(Obstacle::NamesNobody { server: DHCP })),
            (
                &[named.clone(), other],
                Some(Obstacle::NamesAnother { server: ELSEWHERE, next_server: ELSEWHERE }),
            ),
            // A ProxyDHCP server gives no address, so GRUB never hears of it.
            (&[offer(ELSEWHERE, Some(ELSEWHERE), Some("x"), false)], Some(Obstacle::NobodyHeard)),
        ];
        for (offers, expect) in table {
            assert_eq!(after(offers).obstacle(US, Timestamp(2)), expect, "{offers:?}");
        }
    }

    #[test]
    fn what_ordinary_clients_are_told_says_nothing_of_booting() {
        let mut servers = after(&[offer(DHCP, Some(US), None, true)]);
        assert_eq!(servers.hear(&offer(DHCP, None, None, true), false, Timestamp(2)), None, "no news");
        assert_eq!(servers.obstacle(US, Timestamp(2)), None);
    }

    #[test]
    fn another_boot_file_for_another_firmware_is_no_news() {
        let mut servers = after(&[offer(DHCP, Some(US), Some("undionly.kpxe"), true)]);
        assert_eq!(servers.hear(&offer(DHCP, Some(US), Some("shimx64.efi"), true), true, Timestamp(2)), None);
        assert!(
            servers.hear(&offer(DHCP, Some(DHCP), Some("shimx64.efi"), true), true, Timestamp(3)).is_some()
        );
    }

    #[test]
    fn a_server_that_fell_silent_is_forgotten() {
        let mut servers = after(&[offer(DHCP, None, None, true)]);
        let later = Timestamp(2).plus(super::SERVER_MEMORY);
        assert_eq!(servers.obstacle(US, later), Some(Obstacle::NobodyHeard));
        assert!(servers.hear(&offer(ELSEWHERE, Some(US), None, true), true, later).is_some());
        assert_eq!(servers.obstacle(US, later), None);
    }

    #[test]
    fn a_flood_of_servers_is_not_remembered() {
        let mut servers = ForeignServers::default();
        for host in 0..=255 {
            servers.hear(&offer([10, 9, 9, host].into(), None, None, true), true, Timestamp(1));
        }
        assert_eq!(servers.servers().count(), SERVERS_MAX);
    }

    #[test]
    fn the_proposed_mode_follows_from_what_answered() {
        let gives = |next, file| offer(DHCP, next, file, true);
        let table: [(&str, Vec<Overheard>, Mode); 7] = [
            ("nobody", vec![], Mode::Full),
            ("addresses only", vec![gives(None, None)], Mode::Pxe),
            ("names itself without a file", vec![gives(Some(DHCP), None)], Mode::Pxe),
            ("names us", vec![gives(Some(US), Some("shimx64.efi"))], Mode::Proxy),
            (
                "names us, another does not",
                vec![gives(Some(US), None), offer(ELSEWHERE, None, None, true)],
                Mode::Pxe,
            ),
            ("boots from elsewhere", vec![gives(Some(ELSEWHERE), Some("pxelinux.0"))], Mode::Off),
            ("another proxy", vec![gives(None, None), offer(ELSEWHERE, None, None, false)], Mode::Off),
        ];
        for (case, offers, expect) in table {
            let heard: Vec<_> = after(&offers).servers().cloned().collect();
            assert_eq!(propose_mode(&heard, US).mode, expect, "{case}");
        }
        let rival = after(&[gives(Some(ELSEWHERE), Some("pxelinux.0"))]);
        let heard: Vec<_> = rival.servers().cloned().collect();
        let expect = Because::AnotherBootService {
            server: DHCP,
            next_server: Some(ELSEWHERE),
            boot_file: Some("pxelinux.0".into()),
        };
        assert_eq!(propose_mode(&heard, US).because, expect);
    }
}
