//! Which address is whose: the pure half of leasing. It knows no datagram and keeps no promise over a restart.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    ops::RangeInclusive,
    time::Duration,
};

use mimeo_core::ids::MacAddr;

use super::{lease::Lease, settings::Settings};
use crate::clock::Timestamp;

/// How long an offer stands. EDK2 collects offers for up to 8 s before it takes one.
const OFFER_HOLD: Duration = Duration::from_secs(30);
/// After this part of it, an offer gives way where no other address is left: a flood of machines that ask and never
/// take holds the pool no longer than a machine that means it needs.
const OFFER_HOLD_SHORT: Duration = Duration::from_secs(10);
/// After this time without an outcome a check is counted as lost. It takes well under a second.
const CHECK_HOLD: Duration = Duration::from_secs(5);
/// How long an address stays out of use after somebody else was heard on it, or a client declined it.
const TAKEN_HOLD: Duration = Duration::from_secs(10 * 60);
/// After this part of it, the address is checked anew where no other is left: whoever declines what he is given, under
/// one invented name after another, puts the pool aside no longer.
const TAKEN_HOLD_SHORT: Duration = Duration::from_secs(60);

/// The addresses that may be given, and to whom each is.
///
/// One card has one address, whatever client identifier it names: firmware, iPXE, our client and the installed
/// system each name another within one boot, and would use up four addresses for one machine.
///
/// An address goes through: free → checked (nobody may answer for it) → offered → leased → remembered, which is
/// free for others but preferred for its last holder. Entries exist for addresses of the range and for
/// reservations only, so memory is bounded by the settings.
#[derive(Debug)]
pub(super) struct Pool {
    range: RangeInclusive<u32>,
    /// Addresses in the range that are somebody's: ours, the router's, name servers', the network's own.
    never: HashSet<Ipv4Addr>,
    reserved: HashMap<MacAddr, Ipv4Addr>,
    reserved_addresses: HashSet<Ipv4Addr>,
    held: HashMap<Ipv4Addr, Held>,
    by_mac: HashMap<MacAddr, Ipv4Addr>,
    /// Addresses of the range that are to be given to anybody.
    addresses: usize,
    /// Where the search for an address that was never given goes on.
    next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Somebody uses it whom we did not give it.
    Taken { until: Timestamp },
    /// Given, or about to be given.
    By { mac: MacAddr, lease_until: Timestamp, claim: Claim },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Checking { since: Timestamp },
    Offered { until: Timestamp },
}

impl Claim {
    fn stands(self, now: Timestamp) -> bool {
        match self {
            Self::None => false,
            Self::Checking { since } => now.since(since) < CHECK_HOLD,
            Self::Offered { until } => now < until,
        }
    }
}

/// What a check for a conflict found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// Nobody else answers: the address is offered to the one for whom it was checked.
    Free,
    /// Somebody else answers. `true` where the address was leased.
    Taken { forget: bool },
}

impl Pool {
    /// The pool of the settings, which must have one, with what was leased before.
    pub(super) fn new(settings: &Settings, leases: &[Lease]) -> Self {
        let range = settings
            .pool
            .as_ref()
            .map_or(RangeInclusive::new(1, 0), |pool| u32::from(*pool.start())..=u32::from(*pool.end()));
        let network = [settings.address & settings.mask(), settings.broadcast(), settings.address];
        let never: HashSet<_> =
            network.into_iter().chain(settings.router).chain(settings.dns.iter().copied()).collect();
        let reserved_addresses: HashSet<_> = settings.reservations.values().copied().collect();
        let is_anybodys =
            |address: &Ipv4Addr| !never.contains(address) && !reserved_addresses.contains(address);
        let addresses = range.clone().map(Ipv4Addr::from).filter(is_anybodys).count();
        let mut pool = Self {
            next: *range.start(),
            range,
            never,
            reserved_addresses,
            addresses,
            reserved: settings.reservations.clone(),
            held: HashMap::new(),
            by_mac: HashMap::new(),
        };
        // The oldest first, so that of a card's two addresses the newer is remembered.
        let mut leases: Vec<_> =
            leases.iter().filter(|lease| pool.may_hold(lease.address, lease.mac)).collect();
        leases.sort_by_key(|lease| lease.until);
        for lease in leases {
            pool.lease(lease.mac, lease.address, lease.until);
        }
        pool
    }

    /// Chooses an address for the card: the one reserved for it, the one it has or had, the one it wishes for, one
    /// that was never given, the one unused for longest, one that nobody claimed in time. `None` where all are in use.
    pub(super) fn choose(
        &mut self,
        mac: MacAddr,
        wish: Option<Ipv4Addr>,
        now: Timestamp,
    ) -> Option<Ipv4Addr> {
        let preferred = [self.reserved.get(&mac).copied(), self.by_mac.get(&mac).copied(), wish];
        if let Some(address) =
            preferred.into_iter().flatten().find(|address| self.is_free(*address, mac, now))
        {
            return Some(address);
        }
        self.never_given().or_else(|| self.longest_unused(now)).or_else(|| self.least_claimed(now))
    }

    /// Whether an offer of this address to the card stands already, so that no other check is needed.
    pub(super) fn is_offered(&self, mac: MacAddr, address: Ipv4Addr, now: Timestamp) -> bool {
        match self.held.get(&address) {
            Some(Held::By { mac: holder, claim: claim @ Claim::Offered { .. }, .. }) => {
                *holder == mac && claim.stands(now)
            }
            _ => false,
        }
    }

    /// Sets a chosen address aside while it is being checked.
    pub(super) fn claim(&mut self, mac: MacAddr, address: Ipv4Addr, now: Timestamp) {
        let lease_until = self.lease_until(mac, address).unwrap_or(Timestamp(0));
        self.hold(mac, address, lease_until, Claim::Checking { since: now });
    }

    /// Takes in the outcome of a check: `heard` is the card that answered for the address, if one did.
    pub(super) fn checked(
        &mut self,
        mac: MacAddr,
        address: Ipv4Addr,
        heard: Option<MacAddr>,
        now: Timestamp,
    ) -> Checked {
        if heard.is_some_and(|other| other != mac) {
            return Checked::Taken { forget: self.set_taken(address, now) };
        }
        let lease_until = self.lease_until(mac, address).unwrap_or(Timestamp(0));
        self.hold(mac, address, lease_until, Claim::Offered { until: now.plus(OFFER_HOLD) });
        Checked::Free
    }

    /// Gives the address to the card until then.
    pub(super) fn lease(&mut self, mac: MacAddr, address: Ipv4Addr, until: Timestamp) {
        self.hold(mac, address, until, Claim::None);
    }

    /// The card goes another way: what was set aside for it is free again. A lease it has stays. `true` where
    /// something was set aside.
    pub(super) fn withdraw(&mut self, mac: MacAddr, now: Timestamp) -> bool {
        match self.by_mac.get(&mac).and_then(|address| self.held.get_mut(address)) {
            Some(Held::By { mac: holder, claim, .. }) if *holder == mac => {
                let stood = claim.stands(now);
                *claim = Claim::None;
                stood
            }
            _ => false,
        }
    }

    /// Ends the card's lease. `false` where it had none on this address.
    pub(super) fn release(&mut self, mac: MacAddr, address: Ipv4Addr, now: Timestamp) -> bool {
        match self.holder(address) {
            Some((holder, until)) if holder == mac && until > now => {
                self.hold(mac, address, now, Claim::None);
                true
            }
            _ => false,
        }
    }

    /// The address is somebody else's for a while. `true` where it was leased, or remembered as such.
    pub(super) fn set_taken(&mut self, address: Ipv4Addr, now: Timestamp) -> bool {
        let before = self.held.insert(address, Held::Taken { until: now.plus(TAKEN_HOLD) });
        let Some(Held::By { mac, lease_until, .. }) = before else { return false };
        if self.by_mac.get(&mac) == Some(&address) {
            self.by_mac.remove(&mac);
        }
        lease_until > Timestamp(0)
    }

    /// How many addresses there are to give to anybody.
    pub(super) fn addresses(&self) -> usize {
        self.addresses
    }

    /// The card that has or had the address, and until when.
    pub(super) fn holder(&self, address: Ipv4Addr) -> Option<(MacAddr, Timestamp)> {
        match self.held.get(&address) {
            Some(Held::By { mac, lease_until, .. }) if lease_until.0 > 0 => Some((*mac, *lease_until)),
            _ => None,
        }
    }

    /// The address that the card has, had or is being offered.
    pub(super) fn address_of(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.by_mac.get(&mac).copied()
    }

    /// Whether the card may be given this address by the settings, whoever holds it now.
    pub(super) fn may_hold(&self, address: Ipv4Addr, mac: MacAddr) -> bool {
        if self.reserved_addresses.contains(&address) {
            return self.reserved.get(&mac) == Some(&address);
        }
        self.range.contains(&address.into()) && !self.never.contains(&address)
    }

    /// Whether the card may be given this address now.
    pub(super) fn is_free(&self, address: Ipv4Addr, mac: MacAddr, now: Timestamp) -> bool {
        self.may_hold(address, mac)
            && match self.held.get(&address) {
                None => true,
                Some(Held::Taken { until }) => now >= *until,
                Some(Held::By { mac: holder, lease_until, claim }) => {
                    *holder == mac || (now >= *lease_until && !claim.stands(now))
                }
            }
    }

    fn lease_until(&self, mac: MacAddr, address: Ipv4Addr) -> Option<Timestamp> {
        self.holder(address).filter(|(holder, _)| *holder == mac).map(|(_, until)| until)
    }

    fn hold(&mut self, mac: MacAddr, address: Ipv4Addr, lease_until: Timestamp, claim: Claim) {
        if let Some(Held::By { mac: before, .. }) =
            self.held.insert(address, Held::By { mac, lease_until, claim })
            && before != mac
            && self.by_mac.get(&before) == Some(&address)
        {
            self.by_mac.remove(&before);
        }
        if let Some(other) = self.by_mac.insert(mac, address)
            && other != address
            && let Some(Held::By { mac: holder, claim, .. }) = self.held.get_mut(&other)
            && *holder == mac
        {
            *claim = Claim::None;
        }
    }

    /// An address of the range that has no entry yet. The cursor goes round once, then this is over for good.
    fn never_given(&mut self) -> Option<Ipv4Addr> {
        while self.range.contains(&self.next) {
            let address = Ipv4Addr::from(self.next);
            let fit = !self.held.contains_key(&address)
                && !self.never.contains(&address)
                && !self.reserved_addresses.contains(&address);
            if fit {
                return Some(address);
            }
            self.next = self.next.checked_add(1)?;
        }
        None
    }

    fn longest_unused(&self, now: Timestamp) -> Option<Ipv4Addr> {
        let unused_since = |(address, held): (&Ipv4Addr, &Held)| match *held {
            Held::Taken { until } if now >= until => Some((until, *address)),
            Held::By { lease_until, claim, .. } if now >= lease_until && !claim.stands(now) => {
                Some((lease_until, *address))
            }
            _ => None,
        };
        self.held_in_range().filter_map(unused_since).min().map(|(_, address)| address)
    }

    /// The address that was offered longest ago and not taken, or put aside longest ago: it is checked before it is
    /// offered again, as every other.
    fn least_claimed(&self, now: Timestamp) -> Option<Ipv4Addr> {
        let claimed_until = |(address, held): (&Ipv4Addr, &Held)| match *held {
            Held::Taken { until } if now.plus(TAKEN_HOLD - TAKEN_HOLD_SHORT) >= until => {
                Some((until, *address))
            }
            Held::By { lease_until, claim: Claim::Offered { until }, .. }
                if now >= lease_until && now.plus(OFFER_HOLD - OFFER_HOLD_SHORT) >= until =>
            {
                Some((until, *address))
            }
            _ => None,
        };
        self.held_in_range().filter_map(claimed_until).min().map(|(_, address)| address)
    }

    fn held_in_range(&self) -> impl Iterator<Item = (&Ipv4Addr, &Held)> {
        self.held.iter().filter(|(address, _)| {
            self.range.contains(&u32::from(**address)) && !self.reserved_addresses.contains(*address)
        })
    }
}

#[cfg(test)]
mod tests;
