//! Asking whether an address is in use, before it is given: ARP probes as RFC 5227 section 2.1.1 has them, in less
//! time, since a machine waits for the outcome.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use mimeo_core::{
    ids::MacAddr,
    wire::arp::{ArpPacket, ETHERTYPE_ARP},
};

use super::link::{FrameSocket, Link};

/// After this time without an answer the question is repeated, for the one frame that gets lost.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// After this time without an answer an address is free. Hosts answer ARP within milliseconds, sleepy ones within
/// a few hundred; UEFI firmware waits 4 s for its first offer, iPXE 1 s.
const ANSWER_WAIT: Duration = Duration::from_millis(450);

/// The outcome of asking for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) address: Ipv4Addr,
    pub(super) found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nobody,
    /// The card that answered.
    Holder(MacAddr),
    /// The question could not be repeated: nothing is known.
    Nothing,
}

/// Asks for addresses on one interface.
#[derive(Debug)]
pub(super) struct Prober {
    socket: FrameSocket,
    mac: MacAddr,
    probes: Probes,
}

impl Prober {
    pub(super) fn open(link: &Link) -> io::Result<Self> {
        let socket = link.open(ETHERTYPE_ARP, &[])?;
        Ok(Self { socket, mac: link.mac, probes: Probes::default() })
    }

    /// Begins to ask. An address that is being asked for already goes on being asked for.
    pub(super) fn ask(&mut self, address: Ipv4Addr, now: Instant) -> io::Result<()> {
        if self.probes.begin(address, now) {
            self.socket
                .send(&ArpPacket::probe(self.mac, address).emit_request())
                .inspect_err(|_| self.probes.forget(address))?;
        }
        Ok(())
    }

    /// Waits until something was heard. Cancel-safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// When [`Self::outcomes`] has something to do at the latest.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.probes.next_due()
    }

    /// What is known by now: answers that came and waits that are over. Asks again where it is time to. Every
    /// address that was asked for has an outcome, whatever fails meanwhile: a machine waits for it.
    pub(super) fn outcomes(&mut self, frames_max: usize, now: Instant) -> (Vec<Outcome>, io::Result<()>) {
        let (mut outcomes, mut failed) = (Vec::new(), Ok(()));
        for _ in 0..frames_max {
            match self.socket.try_read() {
                Ok(Some(frame)) => {
                    outcomes
                        .extend(ArpPacket::parse(&frame).and_then(|heard| self.probes.hear(heard, self.mac)));
                }
                Ok(None) => break,
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
        let (over, again) = self.probes.due(now);
        outcomes.extend(over.into_iter().map(|address| Outcome { address, found: Found::Nobody }));
        for address in again {
            if let Err(error) = self.socket.send(&ArpPacket::probe(self.mac, address).emit_request()) {
                self.probes.forget(address);
                outcomes.push(Outcome { address, found: Found::Nothing });
                failed = Err(error);
            }
        }
        (outcomes, failed)
    }
}

/// The addresses being asked for. Whoever asks bounds their number.
#[derive(Debug, Default)]
struct Probes {
    pending: HashMap<Ipv4Addr, Pending>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    since: Instant,
    asked_again: bool,
}

impl Pending {
    fn due(self) -> Instant {
        self.since + if self.asked_again { ANSWER_WAIT } else { ASK_AGAIN }
    }
}

impl Probes {
    /// Whether the question is a new one.
    fn begin(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        let mut is_new = false;
        self.pending.entry(address).or_insert_with(|| {
            is_new = true;
            Pending { since: now, asked_again: false }
        });
        is_new
    }

    fn forget(&mut self, address: Ipv4Addr) {
        self.pending.remove(&address);
    }

    /// Somebody who speaks as the address uses it; so does another who asks for it in the same way as we do.
    fn hear(&mut self, heard: ArpPacket, us: MacAddr) -> Option<Outcome> {
        if heard.sender == us {
            return None;
        }
        let address = heard.claimed();
        self.pending.remove(&address).map(|_| Outcome { address, found: Found::Holder(heard.sender) })
    }

    /// The addresses nobody answered for, and those to be asked for again.
    fn due(&mut self, now: Instant) -> (Vec<Ipv4Addr>, Vec<Ipv4Addr>) {
        let (mut over, mut again) = (Vec::new(), Vec::new());
        for (address, pending) in &mut self.pending {
            if pending.due() <= now {
                if pending.asked_again {
                    over.push(*address)
                } else {
                    again.push(*address)
                }
                pending.asked_again = true;
            }
        }
        for address in &over {
            self.pending.remove(address);
        }
        (over, again)
    }

    fn next_due(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.due()).min()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Instant};

    use mimeo_core::{ids::MacAddr, wire::arp::ArpPacket};

    use super::{ANSWER_WAIT, ASK_AGAIN, Found, Outcome, Probes};

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    #[test]
    fn an_address_is_free_when_nobody_answered_two_questions() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        assert!(probes.begin(ADDRESS, start));
        assert!(!probes.begin(ADDRESS, start + ASK_AGAIN / 2), "asked for already");
        assert_eq!(probes.due(start + ASK_AGAIN / 2), (vec![], vec![]));
        assert_eq!(probes.next_due(), Some(start + ASK_AGAIN));
        assert_eq!(probes.due(start + ASK_AGAIN), (vec![], vec![ADDRESS]));
        assert_eq!(probes.due(start + ASK_AGAIN), (vec![], vec![]), "again only once");
        assert_eq!(probes.next_due(), Some(start + ANSWER_WAIT));
        assert_eq!(probes.due(start + ANSWER_WAIT), (vec![ADDRESS], vec![]));
        assert_eq!(probes.next_due(), None);
    }

    #[test]
    fn whoever_speaks_as_the_address_or_asks_for_it_holds_it() {
        let heard = |sender, from: Ipv4Addr, to: Ipv4Addr| {
            let mut probes = Probes::default();
            assert!(probes.begin(ADDRESS, Instant::now()));
            probes.hear(ArpPacket { sender, sender_address: from, target_address: to }, US)
        };
        let held = Some(Outcome { address: ADDRESS, found: Found::Holder(OTHER) });
        let elsewhere = Ipv4Addr::new(10, 0, 0, 8);
        assert_eq!(heard(OTHER, ADDRESS, elsewhere), held);
        assert_eq!(heard(OTHER, Ipv4Addr::UNSPECIFIED, ADDRESS), held);
        assert_eq!(heard(OTHER, elsewhere, ADDRESS), None, "asking for it as somebody is no use of it");
        assert_eq!(heard(US, Ipv4Addr::UNSPECIFIED, ADDRESS), None, "our own question");
    }
}
