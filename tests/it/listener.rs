//! The listener of both HTTP ports under floods and beside peers that leave everything undone.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, HttpBody, to_bytes},
    routing::{get, post},
};
use mimeo_server::{
    boot::http,
    clock::Timestamp,
    listener::{self, BreakOff, Limits, Transport},
    seats::SeatLimits,
    serve::web::HTTPS_LIMITS,
    tls::Tls,
};
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_util::io::ReaderStream;

use crate::background::{Background, raise_descriptor_limit, run};

/// What a peer may leave undone in these tests before it is cut off.
const SHORT: Duration = Duration::from_millis(300);

/// How long anything that must end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const SMALL: Limits = Limits {
    connections: SeatLimits { in_all: 3, per_address: 2 },
    head: Duration::from_secs(15),
    stall: Duration::from_secs(15),
    rest: Duration::from_secs(15),
    lifetime: Duration::from_secs(60),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Http,
    Https,
}

struct Served {
    port: Port,
    address: SocketAddr,
    folder: tempfile::TempDir,
    _background: Background,
}

fn serve(port: Port, limits: Limits) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let transport = match port {
        Port::Http => Transport::Plain,
        Port::Https => {
            let names = ["127.0.0.1".into()];
            Transport::Tls(Tls::open(&folder.path().join("tls"), &names, Timestamp::now()).expect("keys"))
        }
    };
    let background = Background::new();
    let listener = background.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("its address");
    let router = Router::new()
        .route("/", get(|| async { "hello" }).post(|body: String| async { body }))
        .route("/slow", get(slow))
        .route("/length", post(length))
        .route("/never", get(never));
    background.spawn(listener::serve(listener, transport, router, limits, background.stop()));
    Served { port, address, folder, _background: background }
}

/// Five pieces, each after a pause.
async fn slow() -> Body {
    let (mut writer, reader) = tokio::io::duplex(64);
    tokio::spawn(async move {
        for _ in 0..5 {
            tokio::time::sleep(SHORT).await;
            writer.write_all(b"x").await.expect("somebody reads");
        }
    });
    Body::from_stream(ReaderStream::new(reader))
}

/// How long a body says it is, and how long it is.
async fn length(body: Body) -> String {
    let said = body.size_hint().upper();
    let bytes = to_bytes(body, 1000).await.expect("a body");
    format!("{} of {}", said.unwrap_or(u64::MAX), bytes.len())
}

async fn never(Extension(connection): Extension<BreakOff>) {
    connection.now();
    std::future::pending().await
}

impl Served {
    /// What curl gets from here.
    fn curl(&self, arguments: &[&str]) -> String {
        let url = match self.port {
            Port::Http => format!("http://{}/", self.address),
            Port::Https => format!("https://{}/", self.address),
        };
        let mut all = vec!["-sS", "--cacert", "tls/ca.pem", &url];
        all.extend_from_slice(arguments);
        let output = run(self.folder.path(), 20, "curl", &all);
        assert!(output.status.success(), "{:?}: {output:?}", self.port);
        String::from_utf8(output.stdout).expect("text")
    }

    /// A connection from this address of the loopback.
    fn connect(&self, from: [u8; 4]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::from(from), 0)).into()).expect("a loopback address");
        socket.connect(&self.address.into()).expect("the listener's queue has room");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// A connection that has asked once and could ask again.
    fn at_rest(&self, from: [u8; 4]) -> TcpStream {
        let mut stream = self.connect(from);
        assert!(ask(&mut stream), "an answer");
        stream
    }

    /// A program that speaks TLS with this protocol and says nothing inside it; whether it is cut off in time.
    fn silent_in_tls_ends(&self, protocol: &str) -> bool {
        let mut client = Command::new("timeout")
            .args([&PATIENCE.as_secs().to_string(), "openssl", "s_client", "-quiet"])
            .args(["-alpn", protocol, "-connect", &self.address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        // Closing its input would end it.
        let _held = client.stdin.take();
        const TIMED_OUT: i32 = 124;
        client.wait().expect("it ends").code() != Some(TIMED_OUT)
    }
}

/// Asks over plain HTTP/1 and waits for the answer; `false` where the connection is closed instead.
fn ask(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = [0; 1024];
    match sent.and_then(|()| stream.read(&mut answer)) {
        Ok(length) => answer[..length].starts_with(b"HTTP/1.1 200 OK"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("neither answered nor closed"),
        Err(_closed) => false,
    }
}

/// Whether the server closes a connection before our patience ends, whatever it says before.
fn is_closed(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    !matches!(stream.read_to_end(&mut said), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn thousands_of_half_open_connections_leave_the_service_going() {
    raise_descriptor_limit();
    for (port, limits) in [(Port::Http, http::LIMITS), (Port::Https, HTTPS_LIMITS)] {
        let served = serve(port, limits);
        let beginnings: [&[u8]; 3] =
            [b"", b"GET / HTTP/1.1\r\nHost: ", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"];
        let mut flood = Vec::new();
        for number in 0..3000u16 {
            let mut stream = served.connect([127, 8, 0, (number / 20) as u8]);
            // The oldest have given way already when the later ones come.
            let _sent = stream.write_all(beginnings[usize::from(number % 3)]);
            flood.push(stream);
        }
        assert!(flood.len() > limits.connections.in_all, "more than there are seats");
        assert_eq!(served.curl(&[]), "hello", "{port:?} beside the flood");
    }
}

#[test]
fn one_who_asks_for_nothing_is_cut_off_wherever_it_stops() {
    let limits = Limits { head: SHORT, ..SMALL };
    let plain = serve(Port::Http, limits);
    let tls = serve(Port::Https, limits);
    let said: [(&Served, &[u8]); 4] = [
        (&plain, b""),
        (&plain, b"GET / HTTP/1.1\r\nHost: "),
        (&tls, b""),
        (&tls, b"\x16\x03\x01\x02\0\x01"),
    ];
    for (served, said) in said {
        let mut stream = served.connect([127, 0, 0, 1]);
        stream.write_all(said).expect("sent");
        assert!(is_closed(stream), "{:?} after {:?}", served.port, said.escape_ascii().to_string());
    }
    for protocol in ["http/1.1", "h2"] {
        assert!(tls.silent_in_tls_ends(protocol), "silent inside TLS, {protocol}");
    }
}

#[test]
fn a_body_that_pauses_for_too_long_ends_its_request() {
    let served = serve(Port::Http, Limits { stall: SHORT, ..SMALL });
    let mut stream = served.connect([127, 0, 0, 1]);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert_eq!(served.curl(&["-d", "a whole body"]), "a whole body");
}

#[test]
fn an_address_that_was_heard_has_its_share_and_others_have_theirs() {
    let served = serve(Port::Http, SMALL);
    let mut first = served.at_rest([127, 0, 0, 1]);
    let _second = served.at_rest([127, 0, 0, 1]);
    assert!(!ask(&mut served.connect([127, 0, 0, 1])), "the third of one address is closed");
    assert!(ask(&mut first), "and costs the others nothing");
    let mut other = served.at_rest([127, 0, 0, 2]);
    assert!(ask(&mut other));
}

#[test]
fn one_who_comes_when_all_seats_are_taken_is_served_when_one_is_free() {
    let served = serve(Port::Http, SMALL);
    let _others = [served.at_rest([127, 0, 0, 1]), served.at_rest([127, 0, 0, 2])];
    let leaves = served.at_rest([127, 0, 0, 2]);
    let mut waits = served.connect([127, 0, 0, 3]);
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| ask(&mut waits));
        drop(leaves);
        assert!(answered.join().expect("no panic"));
    });
}

#[test]
fn an_http2_connection_without_requests_ends_and_a_long_answer_does_not() {
    let limits = Limits { rest: SHORT, ..SMALL };
    let served = serve(Port::Https, limits);
    // How many connections a second request, two seconds after the first, made anew.
    let anew = |served: &Served| {
        let url = format!("https://{}/", served.address);
        served.curl(&["--http2", "--rate", "30/m", "-w", ",%{num_connects}", &url])
    };
    assert_eq!(anew(&served), "hello,1hello,1", "the first was at rest for too long");
    assert_eq!(anew(&serve(Port::Https, SMALL)), "hello,1hello,0");
    let url = format!("https://{}/slow", served.address);
    assert_eq!(served.curl(&["--http2", "-o", "/dev/null", "-w", "%{num_connects},", &url]), "1,xxxxx0,");
}

#[test]
fn a_body_says_how_long_it_is() {
    let served = serve(Port::Http, SMALL);
    let url = format!("http://{}/length", served.address);
    assert_eq!(served.curl(&["-o", "/dev/null", "-d", "nine byte", &url]), "9 of 9");
}

#[test]
fn an_answer_can_break_its_connection_off() {
    let served = serve(Port::Http, SMALL);
    let mut stream = served.connect([127, 0, 0, 1]);
    stream.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    assert!(is_closed(stream));
}

#[test]
fn both_versions_of_http_are_spoken_inside_tls() {
    let served = serve(Port::Https, HTTPS_LIMITS);
    for (option, version) in [("--http1.1", "hello1.1"), ("--http2", "hello2")] {
        assert_eq!(served.curl(&[option, "-w", "%{http_version}"]), version);
    }
}
