//! Who is served when more ask than can be: pure bookkeeping of a service's seats.
//!
//! To ask costs a stranger one packet; a seat costs us a socket. So seats are limited, in all and for each address,
//! and one who has not been heard of since taking a seat gives way to who comes next: a real client says something
//! within milliseconds and is safe from then on, a flood only pushes itself out. A service that knows who makes no use of
//! a seat can have those give way too ([`Seats::take_from`]).

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

/// Most seats of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatLimits {
    pub in_all: usize,
    pub per_address: usize,
}

/// The number of a seat: later ones are higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(u64);

/// The seats that are taken. `T` is what the service keeps with one.
#[derive(Debug)]
pub struct Seats<T> {
    limits: SeatLimits,
    taken: HashMap<SeatId, Seat<T>>,
    next: u64,
}

#[derive(Debug)]
struct Seat<T> {
    address: IpAddr,
    heard: bool,
    kept: T,
}

/// A seat was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Seated<T> {
    pub id: SeatId,
    /// What was kept with the seat that gave way.
    pub ended: Option<T>,
}

/// No seat was found, and nobody can give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// This address has all that one address may have.
    Address,
    /// All seats are taken.
    All,
}

impl<T> Seats<T> {
    pub fn new(limits: SeatLimits) -> Self {
        Self { limits, taken: HashMap::new(), next: 0 }
    }

    /// Gives `address` a seat, if need be that of another who was never heard of.
    pub fn take(&mut self, address: IpAddr, kept: T) -> Result<Seated<T>, Full> {
        self.take_from(|_| false, address, kept)
    }

    /// As [`Seats::take`]; where everybody was heard, one of those gives way who lag.
    pub fn take_from(
        &mut self,
        lags: impl Fn(&T) -> bool,
        address: IpAddr,
        kept: T,
    ) -> Result<Seated<T>, Full> {
        let of_address = |seat: &Seat<T>| seat.address == address;
        let gives_way =
            if self.taken.values().filter(|seat| of_address(seat)).count() >= self.limits.per_address {
                Some(self.who_gives_way(of_address, lags).ok_or(Full::Address)?)
            } else if self.taken.len() >= self.limits.in_all {
                Some(self.who_gives_way(|_| true, lags).ok_or(Full::All)?)
            } else {
                None
            };
        let ended = gives_way.and_then(|id| self.release(id));
        let id = SeatId(self.next);
        self.next += 1;
        self.taken.insert(id, Seat { address, heard: false, kept });
        Ok(Seated { id, ended })
    }

    /// The one in this seat has said something, so it is there: it no longer gives way.
    pub fn hear(&mut self, id: SeatId) {
        if let Some(seat) = self.taken.get_mut(&id) {
            seat.heard = true;
        }
    }

    /// Whether the one in this seat has said anything since it was taken.
    pub fn is_heard(&self, id: SeatId) -> bool {
        self.taken.get(&id).is_some_and(|seat| seat.heard)
    }

    pub fn is_taken(&self, id: SeatId) -> bool {
        self.taken.contains_key(&id)
    }

    /// Frees a seat. One that gave way is free already.
    pub fn release(&mut self, id: SeatId) -> Option<T> {
        self.taken.remove(&id).map(|seat| seat.kept)
    }

    /// The seat with which something was kept of which this is true.
    pub fn find(&self, matches: impl Fn(&T) -> bool) -> Option<(SeatId, &T)> {
        self.taken.iter().find(|(_, seat)| matches(&seat.kept)).map(|(id, seat)| (*id, &seat.kept))
    }

    /// What is kept with a seat, as long as it is taken.
    pub fn get_mut(&mut self, id: SeatId) -> Option<&mut T> {
        self.taken.get_mut(&id).map(|seat| &mut seat.kept)
    }

    /// Frees all seats; what was kept with them.
    pub fn release_all(&mut self) -> impl Iterator<Item = T> {
        self.taken.drain().map(|(_, seat)| seat.kept)
    }

    /// The oldest of those who were never heard of, or else of those who lag. Of the latter, one whose address has the
    /// most seats: who holds many and uses none is no client behind a slow line.
    fn who_gives_way(
        &self,
        candidate: impl Fn(&Seat<T>) -> bool,
        lags: impl Fn(&T) -> bool,
    ) -> Option<SeatId> {
        let candidates = || self.taken.iter().filter(|(_, seat)| candidate(seat));
        let unheard = candidates().filter(|(_, seat)| !seat.heard).map(|(id, _)| *id).min();
        unheard.or_else(|| {
            let mut held: HashMap<IpAddr, usize> = HashMap::new();
            self.taken.values().for_each(|seat| *held.entry(seat.address).or_default() += 1);
            let laggards = candidates().filter(|(_, seat)| lags(&seat.kept));
            let ranked = laggards.map(|(id, seat)| (Reverse(held[&seat.address]), *id));
            ranked.min().map(|(_, id)| id)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Full, SeatId, SeatLimits, Seated, Seats};

    const LIMITS: SeatLimits = SeatLimits { in_all: 10, per_address: 3 };

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    /// Takes a seat that must be there; what gave way.
    fn take(seats: &mut Seats<u32>, number: u32, kept: u32) -> (SeatId, Option<u32>) {
        let seated = seats.take(address(number), kept).expect("a seat");
        (seated.id, seated.ended)
    }

    #[test]
    fn a_flood_pushes_out_its_own_oldest_and_nobody_who_was_heard() {
        let mut seats = Seats::new(LIMITS);
        let (client, _) = take(&mut seats, 0, 0);
        seats.hear(client);
        for number in 1..10 {
            assert_eq!(take(&mut seats, number, number).1, None);
        }
        for number in 10..5000 {
            assert_eq!(take(&mut seats, number, number).1, Some(number - 9));
            assert_eq!(seats.taken.len(), LIMITS.in_all);
        }
        assert!(seats.find(|kept| *kept == 0).is_some() && seats.is_heard(client));
    }

    #[test]
    fn one_address_has_a_share_of_its_own() {
        let mut seats = Seats::new(LIMITS);
        let ids: Vec<_> = (0..3).map(|kept| take(&mut seats, 1, kept).0).collect();
        assert_eq!(take(&mut seats, 1, 9).1, Some(0), "its oldest gives way");
        assert_eq!(take(&mut seats, 2, 5).1, None, "another address loses nothing");
        ids.iter().for_each(|id| seats.hear(*id));
        assert_eq!(take(&mut seats, 1, 10).1, Some(9), "the one that is still silent gives way");
        let silent = seats.find(|kept| *kept == 10).map(|(id, _)| id).expect("has a seat");
        seats.hear(silent);
        assert_eq!(seats.take(address(1), 11), Err(Full::Address));
    }

    #[test]
    fn where_all_were_heard_nobody_gives_way_until_a_seat_is_free() {
        let mut seats = Seats::new(LIMITS);
        let ids: Vec<_> = (0..10).map(|number| take(&mut seats, number, number).0).collect();
        ids.iter().for_each(|id| seats.hear(*id));
        assert_eq!(seats.take(address(100), 100), Err(Full::All));
        assert_eq!(seats.release(ids[3]), Some(3));
        assert_eq!(seats.release(ids[3]), None, "once is enough");
        assert_eq!(take(&mut seats, 100, 100).1, None);
    }

    #[test]
    fn where_all_were_heard_the_laggard_gives_way_whose_address_holds_the_most() {
        let lags = |kept: &u32| *kept >= 100;
        let mut seats = Seats::new(LIMITS);
        // A slow client, older than the three slow seats of one address; the other six are quick.
        let all = [(1, 100), (2, 101), (2, 102), (2, 103), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0)];
        for (number, kept) in all {
            let (id, _) = take(&mut seats, number, kept);
            seats.hear(id);
        }
        assert_eq!(seats.take(address(9), 0), Err(Full::All), "who does not ask for laggards gets none");
        let mut newcomer = |number, kept| {
            let seated = seats.take_from(lags, address(number), kept);
            let Ok(Seated { id, ended }) = seated else { return None };
            seats.hear(id);
            ended
        };
        let ended = [newcomer(10, 0), newcomer(11, 0), newcomer(12, 0), newcomer(13, 0), newcomer(14, 0)];
        assert_eq!(ended, [Some(101), Some(102), Some(100), Some(103), None]);
    }

    #[test]
    fn an_address_that_has_its_share_takes_a_seat_only_from_its_own_laggards() {
        let lags = |kept: &u32| *kept >= 100;
        let mut seats = Seats::new(LIMITS);
        for (number, kept) in [(1, 0), (1, 100), (1, 0), (2, 101)] {
            let (id, _) = take(&mut seats, number, kept);
            seats.hear(id);
        }
        let seated = seats.take_from(lags, address(1), 1).expect("a seat");
        assert_eq!(seated.ended, Some(100));
        seats.hear(seated.id);
        assert_eq!(seats.take_from(lags, address(1), 2), Err(Full::Address));
    }
}
