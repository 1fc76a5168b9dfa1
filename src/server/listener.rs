//! A TCP listener that a flood does not stop: seats are limited, and everything that a peer can leave undone has a
//! time-out. Boot files over plain HTTP and everything over HTTPS stand behind one each.
//!
//! Tasks: `serve` runs until its token is cancelled; it spawns one task per connection, which ends with the connection,
//! when it must give way to another, after its lifetime, or with the server.

use std::{
    error::Error,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
};
use axum_server::{accept::Accept as _, tls_rustls::RustlsAcceptor};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use self::under_way::UnderWay;
use crate::{
    seats::{Full, SeatId, SeatLimits, Seats},
    tls::Tls,
};

mod under_way;

/// Longest head of a request; those of firmware and browsers have some hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// Most requests of one HTTP/2 connection at once: what browsers expect to be allowed at least (RFC 9113 section 6.5.2).
const STREAMS_MAX: u32 = 100;

/// How often an HTTP/2 connection is asked whether its peer is still there, and how long that may take.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long transfers may go on after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long the listener rests after an error, which usually means that descriptors ran out.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// What a port speaks.
#[derive(Clone)]
pub enum Transport {
    /// HTTP/1 as it is.
    Plain,
    /// HTTP/1 or HTTP/2 inside TLS.
    Tls(Tls),
}

/// What a peer may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. What comes beyond waits in the listener's queue, where it costs nothing.
    pub connections: SeatLimits,
    /// From the connection to the end of the first request's head, the TLS handshake in between; the head of any later
    /// request; and how long an HTTP/1 connection may rest between two.
    pub head: Duration,
    /// How long the body of a request may pause, and what was sent may stay unread.
    pub stall: Duration,
    /// How long an HTTP/2 connection may rest without a request under way. A page's stream of events is one, and so is
    /// an answer that is still on its way.
    pub rest: Duration,
    /// How long a connection may last.
    pub lifetime: Duration,
}

/// With what an answer breaks off the connection that its request came by; it travels in the request's extensions.
/// For peers that take so little of an answer that it would stay in memory for ever.
#[derive(Debug, Clone)]
pub struct BreakOff(CancellationToken);

impl BreakOff {
    pub fn now(&self) {
        self.0.cancel();
    }
}

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let book = Book::new(limits.connections);
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &book, limits.stall) => accepted,
        };
        match accepted {
            Ok(Some((stream, peer, seat))) => {
                let seat = Arc::new(seat);
                let (transport, router, stop) = (transport.clone(), router.clone(), stop.clone());
                tasks.spawn(async move { run(stream, peer, &seat, &transport, router, limits, &stop).await });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// The next connection and its seat; `None` for one whose address has too many.
///
/// CANCEL-SAFETY: a connection that still waits for a seat is closed, as all are when the server stops.
async fn accept(
    listener: &TcpListener,
    book: &Book,
    stall: Duration,
) -> io::Result<Option<(TcpStream, SocketAddr, Seat)>> {
    let (stream, peer) = listener.accept().await?;
    let Some(seat) = book.take(peer.ip()).await else {
        tracing::debug!(http.peer = %peer, "too many connections from one address");
        return Ok(None);
    };
    // A peer may be gone before it is served, which is no reason to accept nobody for a while.
    let ready = stream.set_nodelay(true).and_then(|()| {
        // The kernel gives up a peer that takes nothing: hyper has no time-out for writing.
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(stall))
    });
    Ok(ready.ok().map(|()| (stream, peer, seat)))
}

async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    seat: &Arc<Seat>,
    transport: &Transport,
    router: Router,
    limits: Limits,
    stop: &CancellationToken,
) {
    let first_head = async {
        sleep(limits.head).await;
        if seat.is_heard() {
            std::future::pending::<()>().await;
        }
    };
    let too_slow = CancellationToken::new();
    let break_off = BreakOff(too_slow.clone());
    let asked = Asked {
        peer,
        seat: Arc::clone(seat),
        router,
        stall: limits.stall,
        break_off,
        under_way: UnderWay::default(),
    };
    let why = tokio::select! {
        served = speak(stream, asked, transport, limits, stop) => match served {
            Ok(()) => return,
            Err(error) => error.to_string(),
        },
        () = first_head => "it asked for nothing".to_owned(),
        () = seat.ended.cancelled() => "it gave way to another".to_owned(),
        () = too_slow.cancelled() => "it took too little of an answer".to_owned(),
        () = sleep(limits.lifetime) => "it lasted too long".to_owned(),
    };
    tracing::debug!(http.peer = %peer, why, "a connection was broken off");
}

async fn speak(
    stream: TcpStream,
    asked: Asked,
    transport: &Transport,
    limits: Limits,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Transport::Tls(tls) = transport else {
        return Ok(speak_http1(stream, asked, limits, stop).await?);
    };
    let acceptor = RustlsAcceptor::new(tls.config()).handshake_timeout(limits.head);
    let Some(accepted) = stop.run_until_cancelled(acceptor.accept(stream, ())).await else { return Ok(()) };
    let (stream, ()) = accepted?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(speak_http2(stream, asked, limits.rest, stop).await?),
        _ => Ok(speak_http1(stream, asked, limits, stop).await?),
    }
}

async fn speak_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: Asked,
    limits: Limits,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let connection = conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| asked.answer(request)));
    until_stopped(connection, stop, |connection| connection.graceful_shutdown()).await
}

async fn speak_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: Asked,
    rest: Duration,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let rested = under_way::rested(&asked.under_way, rest);
    let connection = conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| asked.answer(request)));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = until_stopped(connection.as_mut(), stop, |connection| connection.get_mut().as_mut().graceful_shutdown()) => return ended,
        () = rested => {}
    }
    // A request that crosses the goodbye on its way is still answered, however long that takes.
    connection.as_mut().graceful_shutdown();
    until_stopped(connection, stop, |_| {}).await
}

/// Lets a connection end by itself, or finish what it is at once the server stops.
async fn until_stopped<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    stop: &CancellationToken,
    finish: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => finish(connection.as_mut()),
    }
    timeout(STOP_GRACE, connection).await.unwrap_or(Ok(()))
}

/// Who asks on a connection, and who answers.
struct Asked {
    peer: SocketAddr,
    seat: Arc<Seat>,
    router: Router,
    stall: Duration,
    break_off: BreakOff,
    under_way: UnderWay,
}

impl Asked {
    fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + use<> {
        self.seat.hear();
        let stall = self.stall;
        let mut request = request.map(|body| Body::new(Impatient { body, stall, clock: None }));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(self.break_off.clone());
        let (answer, begun) = (self.router.clone().oneshot(request), self.under_way.begin());
        async move { answer.await.map(|answer| answer.map(|body| Body::new(begun.until_end_of(body)))) }
    }
}

/// A body that is an error where it pauses for too long. It says how long it is, as far as its sender did: whoever takes
/// it in makes room for that.
struct Impatient {
    body: Incoming,
    stall: Duration,
    /// Runs while the body pauses.
    clock: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Impatient {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.clock = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let clock = this.clock.get_or_insert_with(|| Box::pin(sleep(this.stall)));
        clock.as_mut().poll(context).map(|()| Some(Err(io::ErrorKind::TimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The seats of one listener.
#[derive(Clone)]
struct Book {
    seats: Arc<Mutex<Seats<CancellationToken>>>,
    /// Told whenever a seat becomes free.
    freed: Arc<Notify>,
}

/// One connection's seat, given back when it is dropped.
struct Seat {
    id: SeatId,
    book: Book,
    /// Cancelled when the connection gives way to another.
    ended: CancellationToken,
}

impl Book {
    fn new(limits: SeatLimits) -> Self {
        Self { seats: Arc::new(Mutex::new(Seats::new(limits))), freed: Arc::default() }
    }

    /// A seat, as soon as there is one; `None` where this address has too many.
    async fn take(&self, address: IpAddr) -> Option<Seat> {
        loop {
            let ended = CancellationToken::new();
            let taken = self.lock().take(address, ended.clone());
            match taken {
                Ok(seated) => {
                    if let Some(other) = seated.ended {
                        other.cancel();
                    }
                    return Some(Seat { id: seated.id, book: self.clone(), ended });
                }
                Err(Full::Address) => return None,
                Err(Full::All) => self.freed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats<CancellationToken>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn hear(&self) {
        self.book.lock().hear(self.id);
    }

    fn is_heard(&self) -> bool {
        self.book.lock().is_heard(self.id)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.book.lock().release(self.id);
        self.book.freed.notify_one();
    }
}
