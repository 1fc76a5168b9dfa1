//! A classroom, or a thousand machines, whose power comes on at once: what DHCP has to stand.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

/// A machine that was not answered says it again after this time, as iPXE does.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// Datagrams that are sent before answers are read, so that neither side's buffer has to hold them all.
const BURST: usize = 32;

/// How a start of many machines went.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Machines that were given an address: offer and acknowledgement.
    pub served: usize,
    /// Offers and acknowledgements that brought a machine further: two for each, if no address was offered twice.
    pub answers: usize,
    pub elapsed: Duration,
}

impl Load {
    pub fn answers_per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

enum Machine {
    Asks,
    Takes { address: [u8; 4], server: [u8; 4] },
    Served,
}

/// Has that many machines with UEFI firmware ask for an address and take the one offered, all at once, until each has
/// one or the time is over. Runs on `eth0` of the host whose thread this is ([`crate::network::Host::run`]).
pub fn start_machines(machines: usize, timeout: Duration) -> io::Result<Load> {
    let socket = open()?;
    let mut all: HashMap<u32, Machine> = (1..=machines as u32).map(|xid| (xid, Machine::Asks)).collect();
    let (begin, mut answers, mut served) = (Instant::now(), 0, 0);
    while served < machines && begin.elapsed() < timeout {
        let mut waiting: Vec<u32> = all
            .iter()
            .filter(|(_, machine)| !matches!(machine, Machine::Served))
            .map(|(xid, _)| *xid)
            .collect();
        let again = Instant::now() + SAY_AGAIN;
        while served < machines && Instant::now() < again {
            for xid in waiting.drain(waiting.len().saturating_sub(BURST)..) {
                say(&socket, xid, &all[&xid])?;
            }
            let mut bytes = [0; 1500];
            while let Ok(length) = socket.recv(&mut bytes) {
                let Some((xid, machine)) = answer(&bytes[..length], &all) else { continue };
                match machine {
                    Machine::Asks => {}
                    Machine::Takes { .. } => answers += 1,
                    Machine::Served => {
                        answers += 1;
                        served += 1;
                    }
                }
                say(&socket, xid, &machine)?;
                all.insert(xid, machine);
            }
        }
    }
    Ok(Load { served, answers, elapsed: begin.elapsed() })
}

fn open() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.bind_device(Some(b"eth0"))?;
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())?;
    Ok(socket.into())
}

fn say(socket: &UdpSocket, xid: u32, machine: &Machine) -> io::Result<()> {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[10] = 0x80; // answer by broadcast
    bytes[28..30].copy_from_slice(&[2, 0x4c]);
    bytes[30..34].copy_from_slice(&xid.to_be_bytes());
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    match machine {
        Machine::Asks => bytes.extend([53, 1, 1]),
        Machine::Takes { address, server } => {
            bytes.extend([53, 1, 3, 50, 4]);
            bytes.extend(address);
            bytes.extend([54, 4]);
            bytes.extend(server);
        }
        Machine::Served => return Ok(()),
    }
    bytes.extend(b"\x3c\x20PXEClient:Arch:00007:UNDI:003000\x5d\x02\0\x07\x5e\x03\x01\x03\0\xff");
    socket.send_to(&bytes, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67)).map(drop)
}

/// What an answer makes of its machine; `None` for one that says nothing new.
fn answer(bytes: &[u8], all: &HashMap<u32, Machine>) -> Option<(u32, Machine)> {
    let four = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
    let (xid, address) = (u32::from_be_bytes(four(4)?), four(16)?);
    let (kind, server) = (option(bytes, 53)?, option(bytes, 54)?.try_into().ok()?);
    match (all.get(&xid)?, kind) {
        (Machine::Asks, [2]) if address != [0; 4] => Some((xid, Machine::Takes { address, server })),
        (Machine::Takes { .. }, [5]) => Some((xid, Machine::Served)),
        // Somebody else was quicker to take the address that both were offered.
        (Machine::Takes { .. }, [6]) => Some((xid, Machine::Asks)),
        _ => None,
    }
}

fn option(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = bytes.get(240..)?;
    while let [code, length, tail @ ..] = rest {
        let (value, tail) = tail.split_at_checked(usize::from(*length))?;
        match *code {
            code if code == wanted => return Some(value),
            255 => return None,
            _ => rest = tail,
        }
    }
    None
}
