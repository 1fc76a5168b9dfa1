//! The plain HTTP listener for booting machines, with limits that axum's own does not have.
//!
//! Tasks: `serve` runs until its token is cancelled; it spawns one task per connection, which ends with the connection,
//! after [`CONNECTION_LIFETIME`], or with the server.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Most connections at once. What comes beyond waits in the listener's queue, where it costs nothing: at gigabit speed
/// this many machines have kernel and initramfs in less than a minute.
const CONNECTIONS_MAX: usize = 256;

/// Most connections of one address: a loader uses one or two, and there may be several machines behind one address.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;

/// How long a client may take over a request's head, and how long a connection may rest between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest head of a request; the firmware's have some hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// How long a client may leave what was sent to it unread.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may last: 30 MB over 500 kbit/s take eight minutes.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How long transfers may go on after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long the listener rests after an error, which usually means that descriptors ran out.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop` is cancelled.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let addresses = Addresses::default();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &free) => accepted,
        };
        let (permit, stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a boot connection");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let Some(share) = addresses.take_share(peer.ip()) else {
            tracing::debug!(http.peer = %peer, "too many boot connections from one address");
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            run(stream, peer, router, stop).await;
            drop((permit, share));
        });
    }
    tasks.close();
    tasks.wait().await;
}

type Accepted = (tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr);

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    // The kernel gives up a peer that takes nothing: hyper has no time-out for writing.
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_TIMEOUT))?;
    Ok((permit, stream, peer))
}

async fn run(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = tokio::time::timeout(CONNECTION_LIFETIME, connection.as_mut()) => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(STOP_GRACE, connection.as_mut()).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(http.peer = %peer, %error, "a boot connection broke off"),
        Err(_elapsed) => tracing::debug!(http.peer = %peer, "a boot connection lasted too long"),
    }
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Addresses {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's share of its address' allowance, given back when it is dropped.
struct Share {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn take_share(&self, address: IpAddr) -> Option<Share> {
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Share { addresses: self.clone(), address })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
