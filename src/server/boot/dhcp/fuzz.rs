//! What a fuzzer calls.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{
    decide::{Action, Heard, Port, Server},
    packet::{Overheard, Request},
    settings::{Mode, Settings},
};
use crate::{boot::target::LoaderChoice, clock::Timestamp};

/// Any moment will do.
const NOW: Timestamp = Timestamp(1_000_000);

/// Reads the bytes as a client's and as a server's datagram, has every mode answer the former, and the answer to a
/// check of each address that it then asks for.
///
/// Panics where a reply is one that no client may ever get: too short for old ROMs, or one that cannot be read back.
pub(super) fn dhcp(bytes: &[u8]) {
    if let Ok(overheard) = Overheard::parse(bytes)
        && let Ok(mut server) = Server::new(settings(Mode::Proxy), &[])
    {
        server.overhear(&overheard, true, NOW);
    }
    let Ok(request) = Request::parse(bytes) else { return };
    for mode in [Mode::Proxy, Mode::Pxe, Mode::Full, Mode::Off] {
        let Ok(mut server) = Server::new(settings(mode), &[]) else { return };
        for port in [Port::Server, Port::BootServer] {
            let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 50), 68);
            let heard = Heard { request: request.clone(), port, from, loader: LoaderChoice::default() };
            let mut actions = server.hear(&heard, NOW).actions;
            while let Some(action) = actions.pop() {
                match action {
                    Action::Check(address) => actions.extend(server.checked(address, None, NOW).actions),
                    Action::Send { bytes, .. } => {
                        assert!(bytes.len() >= 300, "a reply of {} bytes", bytes.len());
                        assert!(mode != Mode::Off, "an answer of a service that is off");
                    }
                    _ => {}
                }
            }
        }
    }
}

fn settings(mode: Mode) -> Settings {
    let pool = Some(Ipv4Addr::new(10, 0, 0, 100)..=Ipv4Addr::new(10, 0, 0, 110));
    Settings { mode, pool, ..Settings::proxy("eth0", [10, 0, 0, 1].into(), 24) }
}
