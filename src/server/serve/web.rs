//! The listeners of the API and the pages: over TLS for the network, and the local socket for root.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Extension, Router, ServiceExt, extract::Request};
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::{api::extract::ThroughLocalSocket, tls::Tls};

/// How long a request's head may take; browsers send it in one piece.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long answers may go on after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Serves over TLS until `stop`.
///
/// Tasks: one per connection, which ends with it or [`STOP_GRACE`] after `stop`; one that waits for `stop`.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Tls,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let handle = Handle::new();
    let mut server = axum_server::from_tcp_rustls(listener.into_std()?, tls.config())?.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let stopper = async {
        stop.cancelled().await;
        handle.graceful_shutdown(Some(STOP_GRACE));
        std::future::pending::<()>().await;
    };
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(router);
    tokio::select! {
        served = server.serve(service) => served,
        () = stopper => Ok(()),
    }
}

/// Serves whoever can open the socket, as root, until `stop`.
pub async fn serve_local(listener: UnixListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let router = router.layer(Extension(ThroughLocalSocket));
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let grace = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        served = served => served,
        () = grace => Ok(()),
    }
}
