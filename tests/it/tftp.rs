//! TFTP against real clients (tftp-hpa, atftp, curl), against tricks with names, and under a flood.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    path::Path,
    process::Output,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use mimeo_lab::network::{Host, Switch};
use mimeo_server::boot::tftp::{
    Files,
    admission::{PACE_PERIOD, TRANSFERS_MAX},
    packet::FileName,
    socket::Server,
};

use crate::background::{self, Background, raise_descriptor_limit};

/// 64 MiB: at 512 bytes a block the 16-bit block number wraps twice, and the length is a multiple of the block
/// size, so that the last block is empty.
const LARGE_BYTES: usize = 64 << 20;

/// Some hundred blocks of each size. Each that is lost costs a lock-step client half a second, and curl the six seconds
/// that it asks for as option `timeout`.
const LOSSY_BYTES: usize = 150_003;

/// How long a client may take for anything: far more than it needs, so that a hang fails the test.
const CLIENT_SECONDS: u32 = 120;

struct TestFiles;

#[async_trait]
impl Files for TestFiles {
    async fn open(&self, name: &FileName, _peer: Ipv4Addr) -> Option<Bytes> {
        match name.as_str() {
            "large" => Some(large()),
            "odd" => Some(large().slice(..1_000_003)),
            "lossy" => Some(large().slice(..LOSSY_BYTES)),
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

/// A server, until it is dropped.
struct Served {
    port: u16,
    _background: Background,
}

/// Serves on a free port of the loopback.
fn serve() -> Served {
    serve_at("127.0.0.1:0".parse().expect("an address"))
}

fn serve_at(address: SocketAddrV4) -> Served {
    let background = Background::new();
    let server = background.block_on(async { Server::bind(address) }).expect("a free port");
    let port = server.local_addr().expect("its address").port();
    background.spawn(server.serve(Arc::new(TestFiles), background.stop()));
    Served { port, _background: background }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    background::run(folder, CLIENT_SECONDS, program, arguments)
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

/// Loses every hundredth packet that arrives here, whatever it is.
fn lose_packets(host: &Host) {
    // Never the acknowledgement of block 0: without it the options are acknowledged again, at which atftp gives up
    // ("unexpected OACK").
    let rules = "add table ip loss; \
                 add chain ip loss arrives { type filter hook input priority 0; }; \
                 add rule ip loss arrives meta l4proto udp @th,64,32 0x00040000 accept; \
                 add rule ip loss arrives meta l4proto udp numgen random mod 100 < 1 counter drop";
    let output = host.command("nft").arg(rules).output().expect("nft is installed");
    assert!(output.status.success(), "{output:?}");
    // A window leaves as one packet that the card cuts up. Here it is cut before, or it would be lost as one.
    let output = host.command("ip").args(["link", "set", "eth0", "gso_max_segs", "1"]).output();
    assert!(output.as_ref().is_ok_and(|output| output.status.success()), "{output:?}");
}

/// How many packets this host has lost.
fn lost(host: &Host) -> u64 {
    let output =
        host.command("nft").args(["list", "table", "ip", "loss"]).output().expect("nft is installed");
    let rules = String::from_utf8(output.stdout).expect("text");
    let count = rules.split_once("counter packets ").and_then(|(_, rest)| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no counter in {rules}"))
}

#[test]
fn every_client_gets_every_byte_over_a_network_that_loses_packets() {
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
    let switch = Switch::create("loss").expect("a switch");
    let ours = switch.host("us", SERVER, 24).expect("a host");
    let theirs = switch.host("pc", Ipv4Addr::new(10, 78, 0, 2), 24).expect("a host");
    lose_packets(&ours);
    lose_packets(&theirs);
    let served = ours.run(|| serve_at(SocketAddrV4::new(SERVER, 0))).expect("inside the namespace");
    let (address, port) = (SERVER.to_string(), served.port.to_string());

    let url = format!("tftp://{address}:{port}/lossy");
    let mut commands = vec![
        vec!["curl", "-sS", "--tftp-blksize", "512", "-o", "curl-512", &url],
        vec!["curl", "-sS", "--tftp-blksize", "1468", "-o", "curl-1468", &url],
        vec!["tftp", "-m", "binary", &address, &port, "-c", "get", "lossy", "tftp-hpa"],
    ];
    let windows = [("512", "1"), ("512", "8"), ("512", "32"), ("1468", "1"), ("1468", "8"), ("1468", "32")];
    let windows = windows.map(|(block, window)| {
        [format!("blksize {block}"), format!("windowsize {window}"), format!("atftp-{block}-{window}")]
    });
    for [block, window, file] in &windows {
        let options = ["atftp", "--option", block, "--option", window];
        let rest = ["--get", "-r", "lossy", "-l", file, &address, &port];
        commands.push(options.into_iter().chain(rest).collect());
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for command in &commands {
            let (folder, theirs) = (folder.path(), &theirs);
            scope.spawn(move || {
                let mut client = theirs.command("timeout");
                client.arg(CLIENT_SECONDS.to_string()).args(command).current_dir(folder);
                let output = client.output().expect("the client is installed");
                assert!(output.status.success(), "{command:?}: {output:?}");
            });
        }
    });
    let files = std::fs::read_dir(folder.path()).expect("what was fetched");
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    assert_eq!(files.len(), commands.len());
    for file in files {
        assert_same(&file, &large()[..LOSSY_BYTES], &file.display().to_string());
    }
    assert!(lost(&ours) > 0 && lost(&theirs) > 0, "nothing was lost");
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
        Self::at(Ipv4Addr::LOCALHOST, served.port)
    }

    fn at(address: Ipv4Addr, port: u16) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("a loopback address");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        Self { socket, server: ([127, 0, 0, 1], port).into() }
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

/// How many sockets are open towards 127.`network`.0.0/16, where only the clients of one test are.
fn sockets_towards(network: u8) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/udp").expect("the kernel's list");
    let end = format!("{network:02X}7F:");
    let remote = |line: &&str| line.split_whitespace().nth(2).is_some_and(|remote| remote.contains(&end));
    sockets.lines().filter(remote).count()
}

#[test]
fn thousands_of_half_open_transfers_cost_little_and_the_next_client_is_served() {
    raise_descriptor_limit();
    let served = serve();
    // From many addresses, as a flood with forged ones: nobody there ever answers.
    let sockets: Vec<_> = (0..800u16)
        .map(|number| {
            UdpSocket::bind((Ipv4Addr::new(127, 7, 0, (number / 40) as u8), 0)).expect("a loopback address")
        })
        .collect();
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
    let (held, most) = (sockets_towards(7), TRANSFERS_MAX.in_all + sockets.len() / 10);
    assert!(
        held <= most,
        "{held} sockets, expected at most {most}, those included that are just being closed"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("tftp://127.0.0.1:{}/odd", served.port);
    let begun = Instant::now();
    let output = run(folder.path(), "curl", &["-sS", "-o", "got", &url]);
    assert!(output.status.success(), "{output:?}");
    assert_same(&folder.path().join("got"), &large()[..1_000_003], "curl after the flood");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?} for one megabyte", begun.elapsed());
}

/// A client in lock-step that goes on only when it is told to.
struct Walker {
    client: Client,
    transfer: SocketAddr,
    block: u16,
}

impl Walker {
    /// Has a seat that does not give way as one that nobody answers does.
    fn begin(address: Ipv4Addr, served: &Served) -> Self {
        let client = Client::at(address, served.port);
        client.read(b"large", &[]);
        let (answer, transfer) = client.answer();
        assert_eq!(answer[..4], [0, 3, 0, 1]);
        let mut walker = Self { client, transfer, block: 1 };
        walker.step();
        assert!(walker.has_answer(Duration::from_secs(5)), "no second block");
        walker
    }

    /// Acknowledges the block that came last.
    fn step(&mut self) {
        let [high, low] = self.block.to_be_bytes();
        self.client.socket.send_to(&[0, 4, high, low], self.transfer).expect("sending");
        self.block += 1;
    }

    /// Whether the block comes that was asked for; repetitions of earlier ones may come before.
    fn has_answer(&self, within: Duration) -> bool {
        self.client.socket.set_read_timeout(Some(within)).expect("a time-out");
        let mut buffer = [0; 2048];
        while self.client.socket.recv(&mut buffer).is_ok() {
            if buffer[2..4] == self.block.to_be_bytes() {
                return true;
            }
        }
        false
    }
}

/// A client that acknowledges now and then is no client that is gone, and no reason to keep others waiting.
#[test]
fn those_who_dawdle_on_all_seats_give_way_and_one_who_keeps_the_pace_does_not() {
    const STEP_EVERY: Duration = Duration::from_millis(100);
    /// Once in two seconds, a quarter of the pace.
    const STEPS_OF_WHO_DAWDLES: u32 = 20;
    raise_descriptor_limit();
    let served = serve();
    let mut steady = Walker::begin(Ipv4Addr::new(127, 8, 1, 0), &served);
    let seats = TRANSFERS_MAX.per_address;
    let mut dawdling: Vec<_> = (1..TRANSFERS_MAX.in_all)
        .map(|number| Walker::begin(Ipv4Addr::new(127, 8, 0, (number / seats) as u8), &served))
        .collect();
    let newcomer = Client::new(&served);
    newcomer.read(b"small", &[]);
    assert!(newcomer.hears_nothing_for(Duration::from_millis(300)), "there was a seat left");

    let begun = Instant::now();
    let (mut step, mut came) = (0, false);
    // Until all of them must be behind: their first steps were not all at the same time.
    while !came || begun.elapsed() <= PACE_PERIOD {
        step += 1;
        assert!(begun.elapsed() < 3 * PACE_PERIOD, "nobody gave way");
        steady.step();
        assert!(steady.has_answer(Duration::from_secs(5)), "the steady one gave way after {step} steps");
        if step % STEPS_OF_WHO_DAWDLES == 0 {
            dawdling.iter_mut().for_each(Walker::step);
        }
        newcomer.read(b"small", &[]);
        // This is the time between two steps as well.
        came |= !newcomer.hears_nothing_for(STEP_EVERY);
    }
    // Twice the seats of one address, each used by who acknowledges at once.
    let mut others: Vec<_> = (0..2 * seats)
        .map(|number| Walker::begin(Ipv4Addr::new(127, 8, 2, (number / seats) as u8), &served))
        .collect();
    for walker in others.iter_mut().chain([&mut steady]) {
        walker.step();
        assert!(walker.has_answer(Duration::from_secs(5)), "one who keeps the pace gave way");
    }
    let (held, most) = (sockets_towards(8), TRANSFERS_MAX.in_all + others.len() / 4);
    assert!(held <= most, "{held} sockets, expected at most {most}: who gave way still waits");
}

#[test]
fn a_server_that_stops_waits_for_no_client() {
    let background = Background::new();
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = background.block_on(async { Server::bind(address) }).expect("a free port");
    let port = server.local_addr().expect("its address").port();
    let service = background.spawn(server.serve(Arc::new(TestFiles), background.stop()));
    let client = Client::at(Ipv4Addr::LOCALHOST, port);
    // The client asks for its packets to be repeated only after minutes.
    client.read(b"large", &["timeout", "255"]);
    let (_, transfer) = client.answer();
    client.socket.send_to(&[0, 4, 0, 0], transfer).expect("sending");
    assert_eq!(client.answer().0[..4], [0, 3, 0, 1]);
    background.stop().cancel();
    let ended = background.block_on(async { tokio::time::timeout(Duration::from_secs(10), service).await });
    ended.expect("it stops at once").expect("without a panic");
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
