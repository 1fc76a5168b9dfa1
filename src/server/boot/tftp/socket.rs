//! The sockets around [`Transfer`]: one that listens, and one for each transfer.
//!
//! Tasks: `Server::serve` runs until its token is cancelled and then ends the transfers; it spawns one task per
//! admitted request, which ends when the client has answered, when it must give way to another, or with the server. A
//! client that has answered gets a thread ([`Delivery`]), which ends with its transfer or for the same reasons: forged
//! requests cost no threads. Dropping any of them in the middle loses nothing but packets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use tokio::{io::Interest, net::UdpSocket, time::timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Files,
    admission::{Admission, Decision},
    delivery::{Delivery, Ender, is_gone},
    packet::{self, ErrorCode, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, ReadRequest, RequestError},
    segments::with_block,
    transfer::{Action, End, Terms, Transfer},
};
use crate::seats::SeatId;

/// Room for requests that arrive while the listener is busy: several thousand machines asking in the same instant.
const LISTEN_BUFFER_BYTES: usize = 2 << 20;

/// How long the listener rests after an error of its own socket, so that a lasting one fills no log.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

type Transfers = Arc<Mutex<Admission<Ender>>>;

/// A TFTP server that has its port.
#[derive(Debug)]
pub struct Server {
    socket: UdpSocket,
}

impl Server {
    /// Takes the port. Needs a tokio runtime around it.
    pub fn bind(listen: SocketAddrV4) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(LISTEN_BUFFER_BYTES)?;
        // The address that was asked must also be the one that answers, on a host that has several.
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.bind(&SocketAddr::V4(listen).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())? })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` is cancelled.
    pub async fn serve(self, files: Arc<dyn Files>, stop: CancellationToken) {
        let transfers = Transfers::default();
        let tasks = TaskTracker::new();
        // Also where this is dropped: threads do not end by being dropped.
        let _end_all = EndAll(Arc::clone(&transfers));
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => break,
                received = receive_request(&self.socket) => received,
            };
            match received {
                Ok(Asked { peer, local, packet }) => match packet::parse_request(&packet) {
                    Ok(request) => {
                        let transfer = Asker { peer, local, request };
                        admit(transfer, &transfers, &files, &tasks);
                    }
                    Err(error) => refuse(peer, local, &error),
                },
                Err(error) => {
                    tracing::warn!(%error, "receiving TFTP requests");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
        end_all(&transfers);
        tasks.close();
        tasks.wait().await;
    }
}

fn end_all(transfers: &Transfers) {
    lock(transfers).release_all().for_each(Ender::end);
}

struct EndAll(Transfers);

impl Drop for EndAll {
    fn drop(&mut self) {
        end_all(&self.0);
    }
}

/// A packet on the listening port.
struct Asked {
    peer: SocketAddrV4,
    /// The address of ours that it was sent to.
    local: Ipv4Addr,
    packet: Vec<u8>,
}

/// A request and whose it is.
pub(super) struct Asker {
    pub(super) peer: SocketAddrV4,
    local: Ipv4Addr,
    request: ReadRequest,
}

/// A transfer's place in the book, given back when its task or thread ends in whatever way.
pub(super) struct Place {
    id: SeatId,
    transfers: Transfers,
}

impl Place {
    /// From now on, something else ends the transfer; `false` where it had to give way already.
    pub(super) fn hand_over(&self, ender: Ender) -> bool {
        lock(&self.transfers).hand_over(self.id, ender)
    }

    /// The client keeps the pace ([`Admission::hear`]).
    pub(super) fn hear(&self, now: Instant) {
        lock(&self.transfers).hear(self.id, now);
    }

    pub(super) fn is_booked(&self) -> bool {
        lock(&self.transfers).is_booked(self.id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.transfers).release(self.id);
    }
}

/// How a transfer ended.
pub(super) enum Outcome {
    Ended(End),
    NoSuchFile,
    /// The client's port is closed: it was restarted, or has had its last block and is gone.
    Gone,
    /// Another has its seat now, or the server stops.
    GaveWay,
}

fn lock(transfers: &Transfers) -> MutexGuard<'_, Admission<Ender>> {
    // Every change is complete before the lock is released, so a panic elsewhere leaves the book usable.
    transfers.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive_request(socket: &UdpSocket) -> io::Result<Asked> {
    socket.async_io(Interest::READABLE, || receive_request_now(socket)).await
}

fn receive_request_now(socket: &UdpSocket) -> io::Result<Asked> {
    use std::os::fd::AsRawFd;

    // One byte more than a request may have: what fills it is too long.
    let mut buffer = [0; REQUEST_BYTES_MAX + 1];
    let mut slices = [io::IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let message =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
    let local = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)))
        }
        _ => None,
    });
    let missing = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let peer = message.address.ok_or_else(|| missing("a datagram without its sender"))?.into();
    let local = local.ok_or_else(|| missing("a datagram without its destination"))?;
    let length = message.bytes;
    Ok(Asked { peer, local, packet: buffer[..length].to_vec() })
}

/// A socket on a port of its own that hears only `peer`.
async fn open_socket(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(local, 0)).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

fn admit(asker: Asker, transfers: &Transfers, files: &Arc<dyn Files>, tasks: &TaskTracker) {
    let ends = CancellationToken::new();
    let ender = Ender::Task(ends.clone());
    let decision = lock(transfers).admit(asker.peer, &asker.request, ender, Instant::now());
    let id = match decision {
        Decision::Serve { id, ended } => {
            if let Some(ended) = ended {
                ended.end();
            }
            id
        }
        Decision::Repeated => return,
        Decision::Full => {
            tracing::warn!(tftp.peer = %asker.peer, "a TFTP request finds no free transfer");
            return;
        }
    };
    let place = Place { id, transfers: Arc::clone(transfers) };
    let (files, thread_token) = (Arc::clone(files), tasks.token());
    tasks.spawn(async move {
        let begun = Instant::now();
        let greeted = ends.run_until_cancelled(greet(&asker, files.as_ref())).await;
        match greeted {
            Some(Ok(Greeted::Answered { socket, transfer, action })) => {
                place.hear(Instant::now());
                let alive = thread_token;
                let (peer, delivery) =
                    (asker.peer, Delivery { asker, place, begun, socket, transfer, action, alive });
                if let Err(error) = delivery.start() {
                    tracing::warn!(tftp.peer = %peer, %error, "starting a transfer's thread");
                }
            }
            Some(Ok(Greeted::Over(outcome))) => report(&asker, begun, Ok(outcome)),
            Some(Err(error)) => report(&asker, begun, Err(error)),
            None => report(&asker, begun, Ok(Outcome::GaveWay)),
        }
    });
}

/// Tells a client what was wrong with its request, where that helps it.
fn refuse(peer: SocketAddrV4, local: Ipv4Addr, error: &RequestError) {
    tracing::debug!(tftp.peer = %peer, %error, "refusing a TFTP request");
    let Some((code, text)) = error.answer() else { return };
    let sent = std::net::UdpSocket::bind(SocketAddrV4::new(local, 0))
        .and_then(|socket| socket.send_to(&packet::emit_error(code, text), peer));
    if let Err(error) = sent {
        tracing::debug!(tftp.peer = %peer, %error, "sending a TFTP error");
    }
}

pub(super) fn report(asker: &Asker, begun: Instant, outcome: io::Result<Outcome>) {
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (peer, file) = (asker.peer, asker.request.name.as_str());
    match outcome {
        Ok(Outcome::Ended(End::Completed)) => {
            tracing::info!(tftp.peer = %peer, file, duration_ms, "sent a boot file");
        }
        Ok(Outcome::Ended(End::Aborted { code, text })) => {
            tracing::debug!(tftp.peer = %peer, file, code, text, "the client wants no more");
        }
        Ok(Outcome::Ended(End::Silent { acked_blocks })) => {
            tracing::info!(tftp.peer = %peer, file, acked_blocks, duration_ms, "the client fell silent");
        }
        Ok(Outcome::NoSuchFile) => tracing::debug!(tftp.peer = %peer, file, "no such boot file"),
        Ok(Outcome::GaveWay) => tracing::debug!(tftp.peer = %peer, file, duration_ms, "gave way to another"),
        Ok(Outcome::Gone) => tracing::debug!(tftp.peer = %peer, file, duration_ms, "the client is gone"),
        Err(error) => tracing::warn!(tftp.peer = %peer, file, %error, "sending a boot file"),
    }
}

/// What a client's first answer leads to.
enum Greeted {
    /// It is there: the transfer goes on with this action.
    Answered {
        socket: std::net::UdpSocket,
        transfer: Transfer,
        action: Action,
    },
    Over(Outcome),
}

/// Sends the first packet until the client answers. Before that, the request may have been forged.
async fn greet(asker: &Asker, files: &dyn Files) -> io::Result<Greeted> {
    let socket = open_socket(asker.local, asker.peer).await?;
    let Some(file) = files.open(&asker.request.name, *asker.peer.ip()).await else {
        socket.send(&packet::emit_error(ErrorCode::NotFound, "file not found")).await?;
        return Ok(Greeted::Over(Outcome::NoSuchFile));
    };
    let terms = Terms::agree(&asker.request.options, path_mtu(&socket));
    let (mut transfer, mut action) = Transfer::begin(file, terms, Instant::now());
    loop {
        let packet = match action {
            Action::SendOptions => {
                Some(packet::emit_options_ack(&transfer.terms().answered, transfer.file_bytes()))
            }
            // Without options it is the first one alone.
            Action::SendBlocks { first, .. } => Some(with_block(&transfer, first, <[u8]>::to_vec)),
            Action::Wait => None,
            Action::End(end) => return Ok(Greeted::Over(Outcome::Ended(end))),
        };
        if let Some(packet) = packet {
            match socket.send(&packet).await {
                Err(error) if is_gone(&error) => return Ok(Greeted::Over(Outcome::Gone)),
                // A full queue or a route that is missing for a moment is a lost packet like any other.
                Err(error) => tracing::debug!(tftp.peer = %asker.peer, %error, "sending a TFTP packet"),
                Ok(_bytes) => {}
            }
        }
        let mut buffer = [0; REPLY_BYTES_MAX];
        action = match timeout_at(transfer.deadline().into(), socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => match packet::parse_reply(&buffer[..length]) {
                Some(reply) => transfer.on_reply(reply, Instant::now()),
                None => Action::Wait,
            },
            Ok(Err(error)) if is_gone(&error) => return Ok(Greeted::Over(Outcome::Gone)),
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => transfer.on_time(Instant::now()),
        };
        if transfer.is_confirmed() && !matches!(action, Action::End(_)) {
            return Ok(Greeted::Answered { socket: socket.into_std()?, transfer, action });
        }
    }
}

/// What the route to the peer carries, where the kernel knows it.
fn path_mtu(socket: &UdpSocket) -> Option<u16> {
    let mtu = nix::sys::socket::getsockopt(socket, sockopt::IpMtu).ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}
