//! Which requests are served when more come than can be: pure bookkeeping.
//!
//! A request costs its sender one packet, and its address may be forged; a transfer costs us a socket. So there are
//! limits, and transfers that nobody has answered yet give way to new ones: a real client answers within a few
//! milliseconds and is safe from then on, a flood only pushes itself out.

use std::{collections::HashMap, net::SocketAddrV4};

use super::packet::ReadRequest;

/// Most transfers at once. Each holds a file descriptor, of which a process usually may have 1024; the rest stay
/// for HTTP and the database. At lock-step speeds this many saturate a gigabit.
pub const TRANSFERS_MAX: usize = 512;

/// Most transfers of one address: a PC needs one, but behind address translation there may be a classroom.
pub const TRANSFERS_PER_ADDRESS_MAX: usize = 64;

/// The number of a transfer: later ones are higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(u64);

/// The transfers under way. `H` is what ends one from outside.
#[derive(Debug)]
pub struct Admission<H> {
    transfers: HashMap<TransferId, Entry<H>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<H> {
    peer: SocketAddrV4,
    request: ReadRequest,
    handle: H,
    confirmed: bool,
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<H> {
    /// Serve it, and end the transfer that gave way.
    Serve { id: TransferId, ended: Option<H> },
    /// Its answer is on the way: the client was quicker to repeat itself than the network to deliver.
    Repeated,
    /// Nothing can give way. Not answered: the client asks again in a few seconds.
    Full,
}

impl<H> Default for Admission<H> {
    fn default() -> Self {
        Self { transfers: HashMap::new(), next: 0 }
    }
}

impl<H> Admission<H> {
    /// Decides about a request and, if it is served, books it with what `handle` makes.
    pub fn admit(&mut self, peer: SocketAddrV4, request: &ReadRequest, handle: H) -> Decision<H> {
        let before = self.transfers.iter().find(|(_, entry)| entry.peer == peer);
        let yields = match before {
            Some((_, entry)) if !entry.confirmed && entry.request == *request => return Decision::Repeated,
            // A port carries one transfer: the client has turned to another file, or begun anew.
            Some((id, _)) => Some(*id),
            None if self.count_of(peer) >= TRANSFERS_PER_ADDRESS_MAX => {
                match self.oldest_unconfirmed(|entry| entry.peer.ip() == peer.ip()) {
                    Some(id) => Some(id),
                    None => return Decision::Full,
                }
            }
            None if self.transfers.len() >= TRANSFERS_MAX => match self.oldest_unconfirmed(|_| true) {
                Some(id) => Some(id),
                None => return Decision::Full,
            },
            None => None,
        };
        let ended = yields.and_then(|id| self.transfers.remove(&id)).map(|entry| entry.handle);
        let id = TransferId(self.next);
        self.next += 1;
        self.transfers.insert(id, Entry { peer, request: request.clone(), handle, confirmed: false });
        Decision::Serve { id, ended }
    }

    /// The client has answered, so it is there: this transfer no longer gives way.
    pub fn confirm(&mut self, id: TransferId) {
        if let Some(entry) = self.transfers.get_mut(&id) {
            entry.confirmed = true;
        }
    }

    /// The transfer has ended. One that had to give way is gone already.
    pub fn release(&mut self, id: TransferId) {
        self.transfers.remove(&id);
    }

    fn count_of(&self, peer: SocketAddrV4) -> usize {
        self.transfers.values().filter(|entry| entry.peer.ip() == peer.ip()).count()
    }

    fn oldest_unconfirmed(&self, matches: impl Fn(&Entry<H>) -> bool) -> Option<TransferId> {
        let candidates = self.transfers.iter().filter(|(_, entry)| !entry.confirmed && matches(entry));
        candidates.map(|(id, _)| *id).min()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::{Admission, Decision, TRANSFERS_MAX, TRANSFERS_PER_ADDRESS_MAX, TransferId};
    use crate::boot::tftp::packet::{FileName, Options, ReadRequest};

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
    ) -> (TransferId, Option<u32>) {
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
    fn a_flood_pushes_out_its_own_oldest_and_never_a_client_that_answered() {
        let mut admission = Admission::default();
        let (client, _) = serve(&mut admission, peer(0, 1), "loader", 0);
        admission.confirm(client);
        for number in 1..TRANSFERS_MAX as u32 {
            assert_eq!(serve(&mut admission, peer(number, 1), "flood", number).1, None);
        }
        for number in 0..5000 {
            let ended = serve(&mut admission, peer(10_000 + number, 1), "flood", 10_000 + number).1;
            assert!(ended.is_some_and(|handle| handle != 0));
            assert_eq!(admission.transfers.len(), TRANSFERS_MAX);
        }
    }

    #[test]
    fn one_address_has_a_share_of_its_own() {
        let mut admission = Admission::default();
        for port in 0..TRANSFERS_PER_ADDRESS_MAX as u16 {
            assert_eq!(serve(&mut admission, peer(1, port), "f", port.into()).1, None);
        }
        assert_eq!(serve(&mut admission, peer(1, 9999), "f", 9999).1, Some(0), "the oldest gives way");
        assert_eq!(serve(&mut admission, peer(2, 1), "f", 5).1, None, "another address loses nothing");
    }

    #[test]
    fn when_all_are_busy_nobody_gives_way() {
        let mut admission = Admission::default();
        let ids: Vec<_> =
            (0..TRANSFERS_MAX as u32).map(|n| serve(&mut admission, peer(n, 1), "f", n).0).collect();
        ids.iter().for_each(|id| admission.confirm(*id));
        assert_eq!(admission.admit(peer(100_000, 1), &request("f"), 7), Decision::Full);
        admission.release(ids[3]);
        assert_eq!(serve(&mut admission, peer(100_000, 1), "f", 7).1, None);
    }
}
