//! The listeners of the API and the pages: over TLS for the network, and the local socket for root.

use std::{io, time::Duration};

use axum::{Extension, Router};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::{
    api::extract::ThroughLocalSocket,
    listener::{self, Limits, Transport},
    seats::SeatLimits,
    tls::Tls,
};

/// A client of ours has ten connections at most, a browser over HTTP/2 one or two: room for two hundred computers at
/// work, two dozen of them behind one address.
pub const HTTPS_LIMITS: Limits = Limits {
    connections: SeatLimits { in_all: 2048, per_address: 256 },
    head: Duration::from_secs(15),
    // A client whose disk is slow reads nothing meanwhile.
    stall: Duration::from_secs(120),
    // A browser that has nothing to ask for connects anew in milliseconds; between two pages, people read for a minute.
    rest: Duration::from_secs(180),
    // A page that is left open asks again by itself.
    lifetime: Duration::from_secs(24 * 3600),
};

/// How long answers may go on after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Serves over TLS until `stop`.
pub async fn serve_tls(listener: TcpListener, tls: Tls, router: Router, stop: CancellationToken) {
    listener::serve(listener, Transport::Tls(tls), router, HTTPS_LIMITS, stop).await;
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
