//! Which requests are served when more come than can be: pure bookkeeping.
//!
//! The sender of a request may be forged, so transfers that nobody has answered yet give way to new ones ([`Seats`]).
//! Whoever answers is there, but to answer now and then costs next to nothing: where seats are short, transfers that are
//! not brought on at the least pace give way as well.

use std::{
    net::{IpAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use super::packet::ReadRequest;
use crate::seats::{SeatId, SeatLimits, Seats};

/// How many transfers there may be, each with a socket. At lock-step speeds this many saturate a gigabit. A PC needs
/// one, but behind address translation there may be a classroom.
pub const TRANSFERS_MAX: SeatLimits = SeatLimits { in_all: 512, per_address: 64 };

/// The least pace: so many answers that move the window in each [`PACE_PERIOD`], two a second.
///
/// Answers are what clients are alike in: each costs one round trip, whatever a block or a window holds, so a client
/// that chooses large windows does not get longer rests for it. A PC in the building gives thousands a second; one behind
/// a line with 250 ms of delay, four; one that loses a tenth of its packets, about ten, because each loss costs half a
/// second until it is repaired. At less than two a second a boot loader of 1 MB in blocks of 1468 bytes takes six minutes,
/// which no firmware and nobody before it waits for.
pub const PACE_ANSWERS: u64 = 20;

/// Longer than the longest pause between two repetitions (8 s), so that a client which comes back from one and goes on
/// has not lost its seat meanwhile.
pub const PACE_PERIOD: Duration = Duration::from_secs(10);

/// The transfers under way. `H` is what ends one from outside.
#[derive(Debug)]
pub struct Admission<H> {
    transfers: Seats<Booked<H>>,
}

#[derive(Debug)]
struct Booked<H> {
    peer: SocketAddrV4,
    request: ReadRequest,
    handle: H,
    /// When the transfer was last known to keep the pace, at first when it was admitted.
    heard_at: Instant,
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<H> {
    /// Serve it, and end the transfer that gave way.
    Serve { id: SeatId, ended: Option<H> },
    /// Its answer is on the way: the client was quicker to repeat itself than the network to deliver.
    Repeated,
    /// Nothing can give way. Not answered: the client asks again in a few seconds.
    Full,
}

impl<H> Default for Admission<H> {
    fn default() -> Self {
        Self { transfers: Seats::new(TRANSFERS_MAX) }
    }
}

impl<H> Admission<H> {
    /// Decides about a request and, if it is served, books it with what ends it.
    pub fn admit(
        &mut self,
        peer: SocketAddrV4,
        request: &ReadRequest,
        handle: H,
        now: Instant,
    ) -> Decision<H> {
        let before = match self.transfers.find(|booked| booked.peer == peer) {
            Some((id, booked)) if !self.transfers.is_heard(id) && booked.request == *request => {
                return Decision::Repeated;
            }
            // A port carries one transfer: the client has turned to another file, or begun anew.
            Some((id, _)) => self.transfers.release(id),
            None => None,
        };
        let booked = Booked { peer, request: request.clone(), handle, heard_at: now };
        let lags = |booked: &Booked<H>| now.saturating_duration_since(booked.heard_at) > PACE_PERIOD;
        match self.transfers.take_from(lags, IpAddr::V4(*peer.ip()), booked) {
            Ok(seated) => {
                Decision::Serve { id: seated.id, ended: before.or(seated.ended).map(|ended| ended.handle) }
            }
            Err(_full) => Decision::Full,
        }
    }

    /// The client has answered for the first time, or [`PACE_ANSWERS`] times more: until a [`PACE_PERIOD`] has passed
    /// without the next such word, this transfer gives way to none.
    pub fn hear(&mut self, id: SeatId, now: Instant) {
        self.transfers.hear(id);
        if let Some(booked) = self.transfers.get_mut(id) {
            booked.heard_at = now;
        }
    }

    /// From now on, something else ends the transfer; `false` where it had to give way already.
    pub fn hand_over(&mut self, id: SeatId, handle: H) -> bool {
        self.transfers.get_mut(id).map(|booked| booked.handle = handle).is_some()
    }

    /// Whether the transfer is still to go on.
    pub fn is_booked(&self, id: SeatId) -> bool {
        self.transfers.is_taken(id)
    }

    /// The transfer has ended. One that had to give way is gone already.
    pub fn release(&mut self, id: SeatId) {
        self.transfers.release(id);
    }

    /// Nobody is to be served any more.
    pub fn release_all(&mut self) -> impl Iterator<Item = H> {
        self.transfers.release_all().map(|booked| booked.handle)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddrV4},
        time::{Duration, Instant},
    };

    use super::{Admission, Decision, PACE_PERIOD, TRANSFERS_MAX};
    use crate::{
        boot::tftp::packet::{FileName, Options, ReadRequest},
        seats::SeatId,
    };

    fn request(name: &str) -> ReadRequest {
        let name = FileName::parse(name.as_bytes()).expect("a name");
        ReadRequest { name, options: Options::default() }
    }

    fn peer(address: u32, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + address), port)
    }

    fn admit(admission: &mut Admission<u32>, peer: SocketAddrV4, name: &str, handle: u32) -> Decision<u32> {
        admission.admit(peer, &request(name), handle, Instant::now())
    }

    /// Books a request that must be served; its id and the handle (a number) of what gave way.
    fn serve(
        admission: &mut Admission<u32>,
        peer: SocketAddrV4,
        name: &str,
        handle: u32,
    ) -> (SeatId, Option<u32>) {
        match admit(admission, peer, name, handle) {
            Decision::Serve { id, ended } => (id, ended),
            other => panic!("expected to be served, found {other:?}"),
        }
    }

    #[test]
    fn an_impatient_client_gets_one_transfer_and_a_new_wish_ends_the_old() {
        let mut admission = Admission::default();
        let (first, _) = serve(&mut admission, peer(1, 1000), "a", 1);
        assert_eq!(admit(&mut admission, peer(1, 1000), "a", 2), Decision::Repeated);
        assert_eq!(serve(&mut admission, peer(1, 1000), "b", 3).1, Some(1));
        // The end of the transfer that gave way must not take its successor along.
        admission.release(first);
        assert_eq!(admit(&mut admission, peer(1, 1000), "b", 4), Decision::Repeated);
    }

    #[test]
    fn a_confirmed_transfer_asked_for_again_begins_anew() {
        let mut admission = Admission::default();
        let (id, _) = serve(&mut admission, peer(1, 1000), "a", 1);
        admission.hear(id, Instant::now());
        assert_eq!(serve(&mut admission, peer(1, 1000), "a", 2).1, Some(1));
    }

    #[test]
    fn a_flood_of_forged_requests_leaves_the_client_that_answered() {
        let mut admission = Admission::default();
        let (client, _) = serve(&mut admission, peer(0, 1), "loader", 0);
        admission.hear(client, Instant::now());
        let flood = TRANSFERS_MAX.in_all as u32 + 5000;
        let ended: Vec<_> = (1..flood)
            .filter_map(|number| serve(&mut admission, peer(number, 1), "flood", number).1)
            .collect();
        assert_eq!(ended, (1..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn a_new_wish_needs_no_second_place() {
        let mut admission = Admission::default();
        for port in 0..TRANSFERS_MAX.per_address as u16 {
            let (id, _) = serve(&mut admission, peer(1, port), "a", port.into());
            admission.hear(id, Instant::now());
        }
        assert_eq!(admit(&mut admission, peer(1, 9999), "a", 9999), Decision::Full);
        assert_eq!(serve(&mut admission, peer(1, 7), "b", 70).1, Some(7));
    }

    const MS: Duration = Duration::from_millis(1);

    /// An admission of which clients at eight addresses have all seats, heard of at `now`; the ids of the transfers.
    fn taken_by_eight_addresses(now: Instant) -> (Admission<u32>, Vec<SeatId>) {
        let mut admission = Admission::default();
        let share = TRANSFERS_MAX.per_address as u32;
        let ids = (0..TRANSFERS_MAX.in_all as u32).map(|number| {
            let peer = peer(number / share, number as u16);
            let Decision::Serve { id, ended: None } = admission.admit(peer, &request("a"), number, now)
            else {
                panic!("transfer {number} finds no seat");
            };
            admission.hear(id, now);
            id
        });
        let ids = ids.collect();
        (admission, ids)
    }

    #[test]
    fn slow_clients_at_eight_addresses_do_not_keep_the_ninth_out() {
        let start = Instant::now();
        let (mut admission, ids) = taken_by_eight_addresses(start);
        let newcomer =
            |admission: &mut Admission<u32>, now| admission.admit(peer(100, 1), &request("b"), 9999, now);
        assert_eq!(newcomer(&mut admission, start + PACE_PERIOD), Decision::Full, "nobody is overdue yet");
        let late = start + PACE_PERIOD + MS;
        ids[1..].iter().for_each(|id| admission.hear(*id, late));
        let Decision::Serve { id, ended: Some(0) } = newcomer(&mut admission, late) else {
            panic!("the one that is overdue gives way");
        };
        admission.hear(id, late);
        assert!(!admission.is_booked(ids[0]) && admission.is_booked(ids[1]));
        let other = admission.admit(peer(101, 1), &request("b"), 0, late + PACE_PERIOD);
        assert_eq!(other, Decision::Full, "all others keep the pace");
    }

    #[test]
    fn who_lags_keeps_its_seat_as_long_as_there_are_others() {
        let start = Instant::now();
        let (mut admission, ids) = taken_by_eight_addresses(start);
        admission.release(ids[5]);
        let decision = admission.admit(peer(100, 1), &request("b"), 9999, start + PACE_PERIOD * 100);
        assert!(matches!(decision, Decision::Serve { ended: None, .. }), "{decision:?}");
    }

    #[test]
    fn a_transfer_that_gave_way_is_not_handed_over() {
        let mut admission = Admission::default();
        let (id, _) = serve(&mut admission, peer(1, 1000), "a", 1);
        assert!(admission.hand_over(id, 10));
        assert_eq!(serve(&mut admission, peer(1, 1000), "b", 2).1, Some(10));
        assert!(!admission.hand_over(id, 11));
        assert_eq!(admission.release_all().collect::<Vec<_>>(), [2]);
    }
}
