//! A window into the isolated network: the appliance's page on this machine's own loopback, while the demonstration runs.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use mimeo_lab::network::Host;
use nix::sched::{CloneFlags, setns};

/// Where the window is if nobody else is there, so that a forwarded port (`ssh -L 8443:localhost:8443`) stays the same.
const PORT: u16 = 8443;

/// Opens a window on the HTTPS port `page` of a host, and tells where. It closes with the program.
pub(crate) fn open(host: &Host, page: u16) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let window = listener.local_addr()?;
    let namespace = Path::new("/run/netns").join(host.namespace());
    let page = SocketAddr::from((host.address(), page));
    thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            let namespace = namespace.clone();
            // A visitor who is turned away sees it in the browser.
            thread::spawn(move || show(&visitor, namespace, page));
        }
    });
    Ok(window)
}

/// Passes bytes between a visitor and the page until one of them has said everything.
fn show(visitor: &TcpStream, namespace: PathBuf, page: SocketAddr) -> io::Result<()> {
    // This thread stays in the namespace, and its socket belongs there; it ends with the connection.
    setns(File::open(namespace)?, CloneFlags::CLONE_NEWNET)?;
    let appliance = TcpStream::connect(page)?;
    thread::scope(|scope| {
        scope.spawn(|| pass(&appliance, visitor));
        pass(visitor, &appliance);
    });
    Ok(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    // However it ends, the other side learns of it.
    let _ended = io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
}
