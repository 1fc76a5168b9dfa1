//! The sockets around [`Transfer`]: one that listens, and one for each transfer.
//!
//! Tasks: `Server::serve` runs until its token is cancelled and then ends the transfers; it spawns one task per
//! admitted request, which ends with its transfer, when it must give way to another, or with the server. Dropping
//! any of them in the middle loses nothing but packets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{Sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Files,
    admission::{Admission, Decision},
    packet::{self, ErrorCode, REQUEST_BYTES_MAX, ReadRequest, RequestError},
    segments::SegmentSender,
    transfer::{Action, End, Terms, Transfer},
};
use crate::seats::SeatId;

/// Room for requests that arrive while the listener is busy: several thousand machines asking in the same instant.
const LISTEN_BUFFER_BYTES: usize = 2 << 20;

/// Longest packet of a client that is looked at during a transfer: an error with a long text.
const REPLY_BYTES_MAX: usize = 512;

/// How long the listener rests after an error of its own socket, so that a lasting one fills no log.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

type Transfers = Arc<Mutex<Admission<CancellationToken>>>;

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
        let transfers: Transfers = Arc::new(Mutex::new(Admission::default()));
        let tasks = TaskTracker::new();
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => break,
                received = receive_request(&self.socket) => received,
            };
            match received {
                Ok(Asked { peer, local, packet }) => match packet::parse_request(&packet) {
                    Ok(request) => {
                        let transfer = Asker { peer, local, request };
                        admit(transfer, &transfers, &files, &stop, &tasks);
                    }
                    Err(error) => refuse(peer, local, &error),
                },
                Err(error) => {
                    tracing::warn!(%error, "receiving TFTP requests");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
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
struct Asker {
    peer: SocketAddrV4,
    local: Ipv4Addr,
    request: ReadRequest,
}

/// A transfer's place in the book, given back when its task ends in whatever way.
struct Place {
    id: SeatId,
    transfers: Transfers,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.transfers).release(self.id);
    }
}

/// How a transfer's task ended where the transfer itself did not decide.
enum Outcome {
    Ended(End),
    NoSuchFile,
    /// The client's port is closed: it was restarted, or has had its last block and is gone.
    Gone,
}

fn lock(transfers: &Transfers) -> MutexGuard<'_, Admission<CancellationToken>> {
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

fn admit(
    asker: Asker,
    transfers: &Transfers,
    files: &Arc<dyn Files>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let ends = stop.child_token();
    let decision = lock(transfers).admit(asker.peer, &asker.request, ends.clone());
    let id = match decision {
        Decision::Serve { id, ended } => {
            if let Some(ended) = ended {
                ended.cancel();
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
    let files = Arc::clone(files);
    tasks.spawn(async move {
        let begun = Instant::now();
        tokio::select! {
            () = ends.cancelled() => {}
            outcome = run(&asker, &place, files.as_ref()) => report(&asker, begun, outcome),
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

fn report(asker: &Asker, begun: Instant, outcome: io::Result<Outcome>) {
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
        Ok(Outcome::Gone) => tracing::debug!(tftp.peer = %peer, file, duration_ms, "the client is gone"),
        Err(error) => tracing::warn!(tftp.peer = %peer, file, %error, "sending a boot file"),
    }
}

async fn run(asker: &Asker, place: &Place, files: &dyn Files) -> io::Result<Outcome> {
    let socket = open_socket(asker.local, asker.peer).await?;
    let Some(file) = files.open(&asker.request.name, *asker.peer.ip()).await else {
        socket.send(&packet::emit_error(ErrorCode::NotFound, "file not found")).await?;
        return Ok(Outcome::NoSuchFile);
    };
    run_transfer(&socket, asker, place, file).await
}

async fn run_transfer(socket: &UdpSocket, asker: &Asker, place: &Place, file: Bytes) -> io::Result<Outcome> {
    let terms = Terms::agree(&asker.request.options, path_mtu(socket));
    let (mut transfer, mut action) = Transfer::begin(file, terms, Instant::now());
    let mut sender = SegmentSender::default();
    let mut timer = std::pin::pin!(sleep_until(transfer.deadline().into()));
    let mut confirmed = false;
    loop {
        let sent = match action {
            Action::SendOptions => {
                let packet = packet::emit_options_ack(&transfer.terms().answered, transfer.file_bytes());
                socket.send(&packet).await.map(|_bytes| ())
            }
            Action::SendBlocks { first, last } => sender.send(socket, &transfer, first, last).await,
            Action::Wait => Ok(()),
            Action::End(end) => return Ok(Outcome::Ended(end)),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Outcome::Gone),
            // A full queue or a route that is missing for a moment is a lost packet like any other.
            Err(error) => tracing::debug!(tftp.peer = %asker.peer, %error, "sending a TFTP packet"),
            Ok(()) => {}
        }
        action = match receive(socket, timer.as_mut(), transfer.deadline()).await {
            Ok(Some(reply)) => transfer.on_reply(reply, Instant::now()),
            Ok(None) => transfer.on_time(Instant::now()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Outcome::Gone),
            Err(error) => return Err(error),
        };
        if !confirmed && transfer.is_confirmed() {
            confirmed = true;
            lock(&place.transfers).confirm(place.id);
        }
    }
}

/// What the client says next; `None` at the deadline.
///
/// The timer is set anew only when it fires too early: in lock-step, setting it for each packet would be most of
/// the work.
async fn receive(
    socket: &UdpSocket,
    mut timer: std::pin::Pin<&mut Sleep>,
    deadline: Instant,
) -> io::Result<Option<packet::Reply>> {
    let deadline = tokio::time::Instant::from_std(deadline);
    let mut buffer = [0; REPLY_BYTES_MAX];
    loop {
        tokio::select! {
            biased;
            received = socket.recv(&mut buffer) => {
                if let Some(reply) = packet::parse_reply(&buffer[..received?]) {
                    return Ok(Some(reply));
                }
            }
            () = timer.as_mut() => {
                if tokio::time::Instant::now() >= deadline {
                    return Ok(None);
                }
                timer.as_mut().reset(deadline);
            }
        }
    }
}

/// What the route to the peer carries, where the kernel knows it.
fn path_mtu(socket: &UdpSocket) -> Option<u16> {
    let mtu = nix::sys::socket::getsockopt(socket, sockopt::IpMtu).ok()?;
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}
