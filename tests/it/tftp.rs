//! TFTP against real clients (tftp-hpa, atftp, curl), against tricks with names, and under a flood.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Command, Output},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use mimeo_server::boot::tftp::{Files, admission::TRANSFERS_MAX, packet::FileName, socket::Server};
use tokio_util::sync::{CancellationToken, DropGuard};

/// 64 MiB: at 512 bytes a block the 16-bit block number wraps twice, and the length is a multiple of the block
/// size, so that the last block is empty.
const LARGE_BYTES: usize = 64 << 20;

/// How long a client may take for anything: far more than it needs, so that a hang fails the test.
const CLIENT_SECONDS: &str = "120";

struct TestFiles;

#[async_trait]
impl Files for TestFiles {
    async fn open(&self, name: &FileName, _peer: Ipv4Addr) -> Option<Bytes> {
        match name.as_str() {
            "large" => Some(large()),
            "odd" => Some(large().slice(..1_000_003)),
            "small" => Some(Bytes::from_static(b"a boot file")),
            "empty" => Some(Bytes::new()),
            "grub/grub.cfg" => Some(Bytes::from_static(b"menu")),
            _ => None,
        }
    }
}

fn large() -> Bytes {
    static LARGE: OnceLock<Bytes> = OnceLock::new();
    let make = || {
        let mut content = vec![0; LARGE_BYTES];
        blake3::Hasher::new().update(b"a large boot file").finalize_xof().fill(&mut content);
        content.into()
    };
    LARGE.get_or_init(make).clone()
}

/// A server on a free port of the loopback, until it is dropped.
struct Served {
    port: u16,
    _runtime: tokio::runtime::Runtime,
    _stop: DropGuard,
}

fn serve() -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let port = server.local_addr().expect("its address").port();
    let stop = CancellationToken::new();
    runtime.spawn(server.serve(Arc::new(TestFiles), stop.clone()));
    Served { port, _runtime: runtime, _stop: stop.drop_guard() }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args([CLIENT_SECONDS, program])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program} must be installed: {error}"))
}

/// Compares without printing 64 MiB when they differ.
fn assert_same(path: &Path, expect: &[u8], what: &str) {
    let found = std::fs::read(path).unwrap_or_else(|error| panic!("{what} wrote nothing: {error}"));
    assert_eq!(found.len(), expect.len(), "{what}: length");
    assert!(found == expect, "{what}: the content differs");
}

#[test]
fn curl_fetches_64_mib_at_each_block_size() {
    let served = serve();
    let folder = tempfile::tempdir().expect("a folder");
    for block in ["512", "1468"] {
        let url = format!("tftp://127.0.0.1:{}/large", served.port);
        let output = run(folder.path(), "curl", &["-sS", "--tftp-blksize", block, "-o", "got", &url]);
        assert!(output.status.success(), "curl at {block}: {output:?}");
        assert_same(&folder.path().join("got"), &large(), &format!("curl at {block}"));
    }
}

#[test]
fn atftp_fetches_64_mib_at_each_block_and_window_size() {
    let served = serve();
    let folder = tempfile::tempdir().expect("a folder");
    let port = served.port.to_string();
    for block in ["512", "1468"] {
        for window in ["1", "8", "32"] {
            let (block_option, window_option) = (format!("blksize {block}"), format!("windowsize {window}"));
            let options = ["--option", &block_option, "--option", &window_option];
            let mut arguments = options.to_vec();
            arguments.extend_from_slice(&["--get", "-r", "large", "-l", "got", "127.0.0.1", &port]);
            let output = run(folder.path(), "atftp", &arguments);
            let what = format!("atftp at {block}, window {window}");
            assert!(output.status.success(), "{what}: {output:?}");
            assert_same(&folder.path().join("got"), &large(), &what);
            std::fs::remove_file(folder.path().join("got")).expect("removing what was fetched");
        }
    }
}

#[test]
fn tftp_hpa_fetches_64_mib_and_the_odd_lengths() {
    let served = serve();
    let folder = tempfile::tempdir().expect("a folder");
    let port = served.port.to_string();
    let files = [("large", large()), ("odd", large().slice(..1_000_003)), ("empty", Bytes::new())];
    for (name, expect) in files {
        let output =
            run(folder.path(), "tftp", &["-m", "binary", "127.0.0.1", &port, "-c", "get", name, "got"]);
        assert!(output.status.success(), "tftp {name}: {output:?}");
        assert_same(&folder.path().join("got"), &expect, &format!("tftp {name}"));
    }
}

#[test]
fn many_clients_fetch_at_once() {
    let served = serve();
    let folder = tempfile::tempdir().expect("a folder");
    let port = served.port;
    std::thread::scope(|scope| {
        for client in 0..30 {
            let folder = folder.path();
            scope.spawn(move || {
                let (url, file) = (format!("tftp://127.0.0.1:{port}/odd"), format!("got{client}"));
                let output = run(folder, "curl", &["-sS", "--tftp-blksize", "1468", "-o", &file, &url]);
                assert!(output.status.success(), "client {client}: {output:?}");
                assert_same(&folder.join(&file), &large()[..1_000_003], &format!("client {client}"));
            });
        }
    });
}

/// A client by hand: sends packets, and waits for the answers.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    fn new(served: &Served) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        Self { socket, server: ([127, 0, 0, 1], served.port).into() }
    }

    fn ask(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.server).expect("sending");
    }

    fn read(&self, name: &[u8], options: &[&str]) {
        let mut packet = vec![0, 1];
        packet.extend_from_slice(name);
        packet.extend_from_slice(b"\0octet\0");
        for option in options {
            packet.extend_from_slice(option.as_bytes());
            packet.push(0);
        }
        self.ask(&packet);
    }

    fn answer(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("an answer within five seconds");
        (buffer[..length].to_vec(), from)
    }

    /// Whether nothing comes for this long.
    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a time-out");
        self.socket.recv_from(&mut [0; 2048]).is_err()
    }
}

/// The flood's own sockets and the server's are in one process here.
fn raise_descriptor_limit() {
    let process = std::process::id().to_string();
    let output =
        Command::new("prlimit").args(["--pid", &process, "--nofile=8192"]).output().expect("prlimit");
    assert!(output.status.success(), "{output:?}");
}

const NOT_FOUND: &[u8] = b"\0\x05\0\x01file not found\0";

#[test]
fn tricks_with_names_find_no_file() {
    let served = serve();
    let tricks: [&[u8]; 9] = [
        b"../../../../etc/passwd",
        b"/etc/passwd",
        b"..\\..\\etc\\passwd",
        b"grub/../small",
        b"./small",
        b"small\n",
        b"%2e%2e/etc/passwd",
        b"\xff\xfe",
        b"",
    ];
    for trick in tricks {
        let client = Client::new(&served);
        client.read(trick, &["tsize", "0"]);
        assert_eq!(client.answer().0, NOT_FOUND, "{}", trick.escape_ascii());
    }
    let client = Client::new(&served);
    client.read(b"//grub\\grub.cfg", &[]);
    assert_eq!(client.answer().0, b"\0\x03\0\x01menu");
}

#[test]
fn nothing_can_be_written() {
    let served = serve();
    let client = Client::new(&served);
    client.ask(b"\0\x02small\0octet\0");
    assert_eq!(client.answer().0, b"\0\x05\0\x02this server is read-only\0");
}

#[test]
fn a_probe_for_the_size_leaves_nothing_behind() {
    let served = serve();
    let client = Client::new(&served);
    client.read(b"odd", &["tsize", "0", "blksize", "1468"]);
    let (answer, transfer) = client.answer();
    assert_eq!(answer, b"\0\x06blksize\x001468\0tsize\x001000003\0");
    assert_ne!(transfer.port(), served.port, "a transfer has a port of its own");
    client.socket.send_to(b"\0\x05\0\x08User aborted\0", transfer).expect("sending");
    // Longer than the first repetition would take.
    assert!(client.hears_nothing_for(Duration::from_millis(1500)), "an aborted transfer goes on");
}

#[test]
fn a_stranger_cannot_end_a_transfer() {
    let served = serve();
    let client = Client::new(&served);
    client.read(b"odd", &["tsize", "0"]);
    let (_, transfer) = client.answer();
    let stranger = Client::new(&served);
    stranger.socket.send_to(b"\0\x05\0\0no\0", transfer).expect("sending");
    client.socket.send_to(&[0, 4, 0, 0], transfer).expect("sending");
    assert_eq!(client.answer().0[..4], [0, 3, 0, 1]);
}

#[test]
fn thousands_of_half_open_transfers_cost_little_and_the_next_client_is_served() {
    raise_descriptor_limit();
    let served = serve();
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("our descriptors").count();
    // From many addresses, as a flood with forged ones: nobody there ever answers.
    let sockets: Vec<_> = (0..800u16)
        .map(|number| {
            UdpSocket::bind((Ipv4Addr::new(127, 7, 0, (number / 40) as u8), 0)).expect("a loopback address")
        })
        .collect();
    let before = descriptors();
    let mut asked = 0;
    for round in 0..7 {
        for socket in &sockets {
            let request = format!("\0\x01large\0octet\0blksize\0{}\0", 600 + round);
            socket.send_to(request.as_bytes(), ("127.0.0.1", served.port)).expect("sending");
            asked += 1;
        }
        let client = Client::new(&served);
        client.read(b"small", &[]);
        assert_eq!(client.answer().0, b"\0\x03\0\x01a boot file", "after {asked} half-open transfers");
    }
    assert!(asked >= 5000);
    let held = descriptors().saturating_sub(before);
    // The other tests of this process hold some too.
    assert!(held <= TRANSFERS_MAX + 200, "{held} more descriptors, expected about {TRANSFERS_MAX}");

    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("tftp://127.0.0.1:{}/odd", served.port);
    let begun = Instant::now();
    let output = run(folder.path(), "curl", &["-sS", "-o", "got", &url]);
    assert!(output.status.success(), "{output:?}");
    assert_same(&folder.path().join("got"), &large()[..1_000_003], "curl after the flood");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?} for one megabyte", begun.elapsed());
}

#[test]
fn malformed_packets_are_survived_in_silence() {
    let served = serve();
    let client = Client::new(&served);
    for packet in
        [&b""[..], b"\0", b"\0\x01", b"\0\x01small", b"\0\x01small\0octet", b"\xff\xff", b"\0\x05\0\0\0"]
    {
        client.ask(packet);
    }
    client.ask(&[1; 4000]);
    client.ask(&[0; 513]);
    client.read(b"small", &["blksize", "7", "windowsize", "0", "timeout", "256", "unknown", "x"]);
    // The first thing that comes is the answer to the one good request, without options.
    assert_eq!(client.answer().0, b"\0\x03\0\x01a boot file");
}
