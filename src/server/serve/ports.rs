//! The server's ports, all taken before the first request is answered: a server that cannot do all of its work says so
//! at once.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use crate::{boot::tftp, config::Config};

/// TFTP's port (RFC 1350 section 4).
pub const TFTP_PORT: u16 = 69;

/// Only the owner may connect.
const SOCKET_MODE: u32 = 0o600;

/// The ports that are configured. DHCP takes its own, because there it is interfaces that count.
pub(super) struct Ports {
    pub(super) https: TcpListener,
    pub(super) boot_http: Option<TcpListener>,
    pub(super) tftp: Option<tftp::socket::Server>,
    pub(super) local: UnixListener,
}

impl Ports {
    pub(super) async fn open(config: &Config, address: Ipv4Addr, socket: &Path) -> Result<Self, PortError> {
        let boot_http = match config.http.enabled {
            true => Some(tcp(address, config.http.port, "[http] port").await?),
            false => None,
        };
        let tftp = match config.tftp.enabled {
            true => Some(
                tftp::socket::Server::bind(SocketAddrV4::new(address, TFTP_PORT))
                    .map_err(|error| PortError::of(error, "UDP", address, TFTP_PORT, "[tftp] enabled"))?,
            ),
            false => None,
        };
        let https = tcp(address, config.https.port, "[https] port").await?;
        Ok(Self { https, boot_http, tftp, local: open_local(socket)? })
    }
}

async fn tcp(address: Ipv4Addr, port: u16, key: &'static str) -> Result<TcpListener, PortError> {
    let listener = TcpListener::bind(SocketAddrV4::new(address, port)).await;
    listener.map_err(|error| PortError::of(error, "TCP", address, port, key))
}

/// A socket that nobody but the owner can open. The folder around it is closed to others, so there is no moment in
/// which anybody could be faster than its mode.
pub fn open_local(socket: &Path) -> Result<UnixListener, PortError> {
    let failed = |source| PortError::Local { socket: socket.to_owned(), source };
    // What a killed server left behind; a living one would hold the folder's lock.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listener)
}

/// A port could not be had. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(
        "{protocol} port {port} of {address} is used by another program: stop it (`ss -lnp 'sport = :{port}'` names it), \
         or change {key} in the configuration"
    )]
    InUse { protocol: &'static str, address: Ipv4Addr, port: u16, key: &'static str },
    #[error("{protocol} port {port} needs root: run this as root, or as a service with CAP_NET_BIND_SERVICE")]
    NotAllowed { protocol: &'static str, port: u16 },
    #[error("opening {protocol} port {port} of {address}")]
    Failed { protocol: &'static str, address: Ipv4Addr, port: u16, source: io::Error },
    #[error("opening the local socket {}", socket.display())]
    Local { socket: PathBuf, source: io::Error },
}

impl PortError {
    pub(crate) fn of(
        source: io::Error,
        protocol: &'static str,
        address: Ipv4Addr,
        port: u16,
        key: &'static str,
    ) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { protocol, address, port, key },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { protocol, port },
            _ => Self::Failed { protocol, address, port, source },
        }
    }
}
