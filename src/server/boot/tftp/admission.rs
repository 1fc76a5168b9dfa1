//! Which requests are served when more come than can be: pure bookkeeping.
//!
//! The sender of a request may be forged, so transfers that nobody has answered yet give way to new ones ([`Seats`]).

use std::net::{IpAddr, SocketAddrV4};

use super::packet::ReadRequest;
use crate::seats::{SeatId, SeatLimits, Seats};

/// How many transfers there may be, each with a socket. At lock-step speeds this many saturate a gigabit. A PC needs
/// one, but behind address translation there may be a classroom.
pub const TRANSFERS_MAX: SeatLimits = SeatLimits { in_all: 512, per_address: 64 };

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
    pub fn admit(&mut self, peer: SocketAddrV4, request: &ReadRequest, handle: H) -> Decision<H> {
        let before = match self.transfers.find(|booked| booked.peer == peer) {
            Some((id, booked)) if !self.transfers.is_heard(id) && booked.request == *request => {
                return Decision::Repeated;
            }
            // A port carries one transfer: the client has turned to another file, or begun anew.
            Some((id, _)) => self.transfers.release(id),
            None => None,
        };
        let booked = Booked { peer, request: request.clone(), handle };
        match self.transfers.take(IpAddr::V4(*peer.ip()), booked) {
            Ok(seated) => {
                Decision::Serve { id: seated.id, ended: before.or(seated.ended).map(|ended| ended.handle) }
            }
            Err(_full) => Decision::Full,
        }
    }

    /// The client has answered, so it is there: this transfer no longer gives way.
    pub fn confirm(&mut self, id: SeatId) {
        self.transfers.hear(id);
    }

    /// The transfer has ended. One that had to give way is gone already.
    pub fn release(&mut self, id: SeatId) {
        self.transfers.release(id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::{Admission, Decision, TRANSFERS_MAX};
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

    /// Books a request that must be served; its id and the handle (a number) of what gave way.
    fn serve(
        admission: &mut Admission<u32>,
        peer: SocketAddrV4,
        name: &str,
        handle: u32,
    ) -> (SeatId, Option<u32>) {
        match admission.admit(peer, &request(name), handle) {
            Decision::Serve { id, ended } => (id, ended),
            other => panic!("expected to be served, found {other:?}"),
        }
    }

    #[test]
    fn an_impatient_client_gets_one_transfer_and_a_new_wish_ends_the_old() {
        let mut admission = Admission::default();
        let (first, _) = serve(&mut admission, peer(1, 1000), "a", 1);
        assert_eq!(admission.admit(peer(1, 1000), &request("a"), 2), Decision::Repeated);
        assert_eq!(serve(&mut admission, peer(1, 1000), "b", 3).1, Some(1));
        // The end of the transfer that gave way must not take its successor along.
        admission.release(first);
        assert_eq!(admission.admit(peer(1, 1000), &request("b"), 4), Decision::Repeated);
    }

    #[test]
    fn a_confirmed_transfer_asked_for_again_begins_anew() {
        let mut admission = Admission::default();
        let (id, _) = serve(&mut admission, peer(1, 1000), "a", 1);
        admission.confirm(id);
        assert_eq!(serve(&mut admission, peer(1, 1000), "a", 2).1, Some(1));
    }

    #[test]
    fn a_flood_of_forged_requests_leaves_the_client_that_answered() {
        let mut admission = Admission::default();
        let (client, _) = serve(&mut admission, peer(0, 1), "loader", 0);
        admission.confirm(client);
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
            admission.confirm(id);
        }
        assert_eq!(admission.admit(peer(1, 9999), &request("a"), 9999), Decision::Full);
        assert_eq!(serve(&mut admission, peer(1, 7), "b", 70).1, Some(7));
    }
}
