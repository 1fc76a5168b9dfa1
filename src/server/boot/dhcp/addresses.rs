//! Giving addresses: the server's side of RFC 2131, section 4.3.
//!
//! ```text
//! DISCOVER ─→ choose ─→ check by ARP ─→ OFFER ─→ REQUEST ─→ lease stored ─→ ACK
//!                 ↑          │ somebody answers
//!                 └──────────┘
//! ```
//!
//! An offer is kept for half a minute; a lease is stored before it is acknowledged.

use std::{net::Ipv4Addr, time::Duration};

use mimeo_core::ids::MacAddr;

use super::{
    choices::Way,
    decide::{Action, Decision, Heard, Server, Waiting},
    lease::{Change, Lease},
    packet::{Ask, Request},
    pool::Checked,
    reply::Answer,
    settings::Mode,
};
use crate::clock::Timestamp;

/// Addresses that are checked for one request before it is given up: each that is taken costs the machine as long
/// as a check lasts, and a pool with four taken addresses in a row is somebody else's.
const TRIES_MAX: u32 = 4;

impl Server {
    /// Mode `Full`: everybody gets an address, booting machines what to boot as well.
    pub(super) fn serve_address(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let request = &heard.request;
        if !self.is_local(request) {
            // The pool belongs to our own network; behind a relay agent another server gives the addresses.
            return match request.speaker {
                Some(_) => self.answer_proxy(heard, now),
                None => Decision::silence("nothing, our pool is not of its network"),
            };
        }
        match request.ask {
            Ask::Discover => self.discover(heard, now),
            Ask::Request => self.request(heard, now),
            Ask::Decline => self.decline(request, now),
            Ask::Release => self.release(request, now),
            Ask::Inform => {
                let boot = self.boot_file(request, heard.loader);
                self.send(heard, Answer::Inform, boot)
            }
        }
    }

    /// Mode `Pxe`: PXE firmware gets an address of the boot pool; where there is none to give, or where the firmware
    /// is known to pass it over, what a ProxyDHCP server would say.
    pub(super) fn serve_firmware(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let request = &heard.request;
        if !self.is_local(request) || self.boot_file(request, heard.loader).is_none() {
            return self.answer_proxy(heard, now);
        }
        match request.ask {
            Ask::Discover => match self.choices.way(request.mac, now) {
                Way::Address => self.discover(heard, now),
                Way::Beside => self.offer_proxy(heard, now),
            },
            Ask::Request if self.is_for_us(request) => {
                self.choices.took_ours(request.mac);
                self.request(heard, now)
            }
            Ask::Request => {
                let passed_over = self.set_free(request.mac, now);
                if request.server.is_some() {
                    self.choices.took_another(request.mac, passed_over, now);
                }
                Decision::silence("nothing, it chose another server")
            }
            Ask::Decline if self.is_for_us(request) => self.decline(request, now),
            Ask::Release if self.is_for_us(request) => self.release(request, now),
            Ask::Decline | Ask::Release | Ask::Inform => {
                Decision::silence("nothing, that is another's business")
            }
        }
    }

    /// Goes on with a request whose address was checked.
    pub(super) fn go_on(
        &mut self,
        waiting: Waiting,
        address: Ipv4Addr,
        holder: Option<MacAddr>,
        now: Timestamp,
    ) -> Decision {
        let Waiting { heard, tries } = waiting;
        match self.pool.checked(heard.request.mac, address, holder, now) {
            Checked::Free => self.offer(&heard, address),
            Checked::Taken { forget } => {
                // At most once for an address in the time for which it is then put aside.
                tracing::warn!(%address, holder = ?holder, "address of our pool is in use by somebody else");
                let store = forget.then_some(Action::Store(Change::Forget(address)));
                let mut decision = self.check_another(heard, tries, now);
                decision.actions.splice(0..0, store);
                decision
            }
        }
    }

    fn discover(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let mac = heard.request.mac;
        let offered = self.pool.address_of(mac).filter(|address| self.pool.is_offered(mac, *address, now));
        match offered {
            // The machine asks again before its offer ran out: the check is seconds old.
            Some(address) => self.offer(heard, address),
            None => self.check_another(heard.clone(), 0, now),
        }
    }

    fn check_another(&mut self, heard: Heard, tries: u32, now: Timestamp) -> Decision {
        let (mac, wish) = (heard.request.mac, heard.request.wanted_address);
        let choice = (tries < TRIES_MAX).then(|| self.pool.choose(mac, wish, now)).flatten();
        let Some(address) = choice else {
            let tell = self.tell_exhaustion(now);
            return self.offer_without_address(&heard, "nothing, no free address", now).and(tell);
        };
        // The same machine asking again takes its own place.
        if !self.has_room() && !self.waiting.contains_key(&address) {
            return self.offer_without_address(&heard, "nothing, too many wait already", now);
        }
        self.waiting.insert(address, Waiting { heard, tries: tries + 1 });
        self.pool.claim(mac, address, now);
        Decision::new("a check of the address first", vec![Action::Check(address)])
    }

    fn offer(&self, heard: &Heard, address: Ipv4Addr) -> Decision {
        let boot = self.boot_file(&heard.request, heard.loader);
        // No ProxyDHCP offer beside it: OVMF, given both by one server, requests the one without an address, and
        // in vain (seen beside dnsmasq).
        self.send(heard, Answer::Offer { address, lease: self.lease_time() }, boot)
    }

    fn offer_without_address(&mut self, heard: &Heard, otherwise: &'static str, now: Timestamp) -> Decision {
        match self.settings.mode {
            Mode::Pxe => self.offer_proxy(heard, now),
            _ => Decision::silence(otherwise),
        }
    }

    /// DHCPREQUEST, whose meaning depends on what it carries (RFC 2131 section 4.3.2, table 4).
    fn request(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let request = &heard.request;
        match (request.server, request.wanted_address, request.client_address) {
            (Some(server), _, _) if server != self.settings.address => {
                self.set_free(request.mac, now);
                Decision::silence("nothing, it chose another server")
            }
            // SELECTING: it takes our offer.
            (Some(_), Some(address), _) => self.select(heard, address, now),
            // INIT-REBOOT: it remembers an address.
            (None, Some(address), _) => self.confirm(heard, address, now),
            // RENEWING and REBINDING: it uses an address.
            (_, None, Some(address)) => self.confirm(heard, address, now),
            (_, None, None) => Decision::silence("nothing, it names no address"),
        }
    }

    fn select(&mut self, heard: &Heard, address: Ipv4Addr, now: Timestamp) -> Decision {
        let mac = heard.request.mac;
        let leased = self.pool.holder(address).is_some_and(|(holder, until)| holder == mac && until > now);
        if self.pool.is_offered(mac, address, now) || leased {
            return self.grant(heard, address, now);
        }
        // The offer ran out, or a restart forgot it: the machine has to begin again.
        self.send(heard, Answer::Refusal, None)
    }

    /// A client wants to go on with an address. What we know nothing of is not for us to refuse: another server may
    /// have given it. A wrong network we may refuse, since we are the one for this network.
    fn confirm(&mut self, heard: &Heard, address: Ipv4Addr, now: Timestamp) -> Decision {
        let mac = heard.request.mac;
        if !self.settings.is_ours(address) {
            return self.send(heard, Answer::Refusal, None);
        }
        match self.pool.holder(address) {
            Some((holder, until)) if holder == mac && until > now && self.pool.may_hold(address, mac) => {
                self.grant(heard, address, now)
            }
            // Another's, or its own once: what ran out is checked before it is given again.
            Some(_) => self.send(heard, Answer::Refusal, None),
            None if self.pool.address_of(mac).is_some() => self.send(heard, Answer::Refusal, None),
            None => Decision::silence("nothing, we know nothing of its lease"),
        }
    }

    fn grant(&mut self, heard: &Heard, address: Ipv4Addr, now: Timestamp) -> Decision {
        let (mac, lease) = (heard.request.mac, self.lease_time());
        let until = now.plus(lease);
        self.pool.lease(mac, address, until);
        let boot = self.boot_file(&heard.request, heard.loader);
        let store = Action::Store(Change::Keep(Lease { address, mac, until }));
        let mut decision = self.send(heard, Answer::Grant { address, lease }, boot);
        decision.actions.insert(0, store);
        decision.actions.push(Action::LearnAddress(mac, address));
        if heard.request.speaker.is_some() {
            decision.actions.push(Action::NoticeOver(mac));
        }
        decision
    }

    /// The client found somebody else on the address that we gave it.
    fn decline(&mut self, request: &Request, now: Timestamp) -> Decision {
        let Some(address) = request.wanted_address else {
            return Decision::silence("nothing, it names no address");
        };
        if self.pool.address_of(request.mac) != Some(address) {
            return Decision::silence("nothing, it declines what it does not have");
        }
        tracing::warn!(%address, mac = %request.mac, "a client declined the address that we gave it");
        let forget = self.pool.set_taken(address, now).then_some(Action::Store(Change::Forget(address)));
        Decision::new("the address is put aside", forget.into_iter().collect())
    }

    fn release(&mut self, request: &Request, now: Timestamp) -> Decision {
        let (mac, Some(address)) = (request.mac, request.client_address) else {
            return Decision::silence("nothing, it names no address");
        };
        if !self.pool.release(mac, address, now) {
            return Decision::silence("nothing, it has no such lease");
        }
        let store = Action::Store(Change::Keep(Lease { address, mac, until: now }));
        Decision::new("the lease ends", vec![store])
    }

    /// The card goes another way: the address set aside for it is free at once, and a check of it that is still going
    /// on leads to no offer. `true` where one was set aside.
    fn set_free(&mut self, mac: MacAddr, now: Timestamp) -> bool {
        self.waiting.retain(|_, waiting| waiting.heard.request.mac != mac);
        self.pool.withdraw(mac, now)
    }

    fn lease_time(&self) -> Duration {
        match self.settings.mode {
            Mode::Full => self.settings.lease,
            Mode::Proxy | Mode::Pxe | Mode::Off => self.settings.boot_lease,
        }
    }

    /// Whether the request names us, or an address that we gave.
    fn is_for_us(&self, request: &Request) -> bool {
        let address = request.wanted_address.or(request.client_address);
        match request.server {
            Some(server) => server == self.settings.address,
            None => address
                .and_then(|address| self.pool.holder(address))
                .is_some_and(|(mac, _)| mac == request.mac),
        }
    }

    /// Whether the client is on our own network, directly or through a relay agent in it.
    fn is_local(&self, request: &Request) -> bool {
        request.relay_agent.is_none_or(|agent| self.settings.is_ours(agent))
    }
}
