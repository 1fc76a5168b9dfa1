use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use mimeo_core::{
    chunk::{Effort, NamedChunk},
    failure::FailureCause,
    ids::{Secret, SessionId},
    messages::{ChunkList, Heartbeat, HeartbeatReply, Orders, Phase, Progress, records},
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Server;
use mimeo_engine::link::{ServerError, SessionServer};

/// What an error is to be.
type Expected = fn(&ServerError) -> bool;

/// A status, further header lines, each with its end, and a body.
type Answer = (u16, &'static str, Vec<u8>);

/// What the little server heard: request line, `authorization`, body.
type Heard = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

pub(crate) struct Ca {
    pub(crate) certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

pub(crate) fn ca() -> Ca {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Ca { certificate, issuer: rcgen::Issuer::new(params, key) }
}

/// A TLS server on the loopback with a certificate valid between two moments, for one connection.
pub(crate) fn serve_valid(ca: &Ca, from_unix_seconds: u64, until_unix_seconds: u64) -> SocketAddr {
    let moment = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = moment(from_unix_seconds);
    params.not_after = moment(until_unix_seconds);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca.issuer).unwrap();
    serve_as(certificate, &key, vec![(200, "", vec![])], false).0
}

/// A TLS server on the loopback that gives each request the answer of the same place. It ends with the last.
fn serve(ca: &Ca, answers: Vec<Answer>, tls12_only: bool) -> (SocketAddr, Heard) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca.issuer).unwrap();
    serve_as(certificate, &key, answers, tls12_only)
}

fn serve_as(
    certificate: rcgen::Certificate,
    key: &rcgen::KeyPair,
    answers: Vec<Answer>,
    tls12_only: bool,
) -> (SocketAddr, Heard) {
    let versions: &[&rustls::SupportedProtocolVersion] =
        if tls12_only { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.into()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let into = Arc::clone(&heard);
    thread::spawn(move || {
        let config = Arc::new(config);
        for (status, headers, answer) in answers {
            let (socket, _) = listener.accept().unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(tls, socket));
            let Some(request) = read_request(&mut stream, status < 300) else { continue };
            into.lock().unwrap().push(request);
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                answer.len()
            );
            stream.get_mut().write_all(&[head.as_bytes(), &answer].concat()).unwrap();
            stream.get_mut().conn.send_close_notify();
            stream.get_mut().flush().unwrap();
        }
    });
    (address, heard)
}

/// `None` where the other side does not get as far as a request. Who asks before sending a body is `let_in`, or not.
fn read_request(
    stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>,
    let_in: bool,
) -> Option<(String, String, Vec<u8>)> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let (request, mut authorization, mut length, mut asks) = (line()?, String::new(), 0, false);
    loop {
        let header = line()?;
        match header.to_lowercase().split_once(": ") {
            None => break,
            Some(("authorization", _)) => authorization = header["authorization: ".len()..].to_owned(),
            Some(("expect", "100-continue")) => asks = true,
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
        }
    }
    if asks && !let_in {
        return Some((request, authorization, vec![]));
    }
    if asks {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((request, authorization, body))
}

fn credential() -> Secret {
    Secret::from_random([5; 32])
}

/// A client of a server that answers `answers` in turn.
fn client(answers: Vec<Answer>) -> (super::Conversation, Heard) {
    let ca = ca();
    let (address, heard) = serve(&ca, answers, false);
    let server = Server::new(&format!("https://{address}"), ca.certificate.pem().as_bytes()).unwrap();
    (server.converse(credential()), heard)
}

#[test]
fn requests_go_to_their_paths_with_the_credential_and_their_bodies() {
    let plain = [b"some content".to_vec(), vec![7; 9000]];
    let named = plain.each_ref().map(|plain| NamedChunk::of(plain));
    let chunks = named.map(|chunk| chunk.seal(Effort::Hurried));
    let mut sent = vec![];
    chunks.iter().for_each(|chunk| records::append(chunk, &mut sent));
    let ids = chunks.each_ref().map(|chunk| chunk.id);
    let list = serde_json::to_vec(&ChunkList { ids: ids.to_vec() }).unwrap();
    let (conversation, heard) = client(vec![
        (200, "", br#""stop""#.to_vec()),
        (200, "", list.clone()),
        (204, "", vec![]),
        (200, "", sent.clone()),
        (200, "", br#"{"do":"power_off"}"#.to_vec()),
    ]);
    let session = conversation.session(SessionId(7));
    let beat = Heartbeat { phase: Phase::Read, progress: Progress::default() };
    assert_eq!(session.heartbeat(&beat), Ok(HeartbeatReply::Stop));
    assert_eq!(session.missing(&ids), Ok(ids.to_vec()));
    assert_eq!(session.hand_in(&named, Effort::Hurried), Ok(sent.len() as u64));
    assert_eq!(session.fetch(&ids), Ok(chunks.to_vec()));
    assert_eq!(conversation.orders(), Ok(Orders::PowerOff));

    let heard = heard.lock().unwrap();
    let requests: Vec<_> = heard.iter().map(|(request, ..)| request.as_str()).collect();
    assert_eq!(
        requests,
        [
            "POST /client/v1/sessions/7/heartbeat HTTP/1.1",
            "POST /client/v1/sessions/7/chunks/missing HTTP/1.1",
            "POST /client/v1/sessions/7/chunks/upload HTTP/1.1",
            "POST /client/v1/sessions/7/chunks/fetch HTTP/1.1",
            "POST /client/v1/orders HTTP/1.1",
        ]
    );
    assert!(
        heard
            .iter()
            .all(|(_, authorization, _)| *authorization == format!("Bearer {}", credential().reveal()))
    );
    assert_eq!([&heard[1].2, &heard[2].2, &heard[3].2], [&list, &sent, &list]);
}

#[test]
fn a_long_body_is_sent_to_a_server_that_has_room_for_it() {
    let long = vec![7; 4 << 20];
    let (conversation, heard) =
        client(vec![(503, "retry-after: 1\r\n", b"later".to_vec()), (200, "", vec![]), (200, "", vec![])]);
    let session = conversation.session(SessionId(7));
    let refused = session.upload(&long);
    assert!(matches!(refused, Err(ServerError::Busy(_))), "{refused:?}");
    assert_eq!(session.upload(&long), Ok(()));
    assert_eq!(session.upload(&long[..9000]), Ok(()));
    let lengths: Vec<_> = heard.lock().unwrap().iter().map(|(_, _, body)| body.len()).collect();
    assert_eq!(lengths, [0, long.len(), 9000]);
}

#[test]
fn bad_answers_say_whether_trying_again_helps() {
    let full = FailureCause::StoreFull { detail: "0 bytes left".into() };
    let too_long = vec![b' '; super::JSON_BYTES_MAX as usize + 1];
    let table: Vec<(Answer, Expected)> = vec![
        ((507, "", serde_json::to_vec(&full).unwrap()), |error| {
            matches!(error, ServerError::Refused(FailureCause::StoreFull { .. }))
        }),
        ((503, "", b"starting".to_vec()), |error| matches!(error, ServerError::Unreachable(_))),
        ((503, "retry-after: 1\r\n", vec![]), |error| matches!(error, ServerError::Busy(_))),
        ((429, "", vec![]), |error| matches!(error, ServerError::Unreachable(_))),
        (
            (401, "", b"who are you".to_vec()),
            |error| matches!(error, ServerError::Refused(FailureCause::Internal { detail }) if detail.contains("401") && detail.contains("who are you")),
        ),
        ((200, "", b"no json".to_vec()), |error| matches!(error, ServerError::Malformed(_))),
        ((200, "", too_long), |error| matches!(error, ServerError::Malformed(_))),
    ];
    let (conversation, _) = client(table.iter().map(|(answer, _)| answer.clone()).collect());
    for ((status, ..), expected) in table {
        let error = conversation.orders().expect_err("a bad answer was taken");
        assert!(expected(&error), "{status}: {error:?}");
    }
    let error = conversation.orders().expect_err("nobody listens any more");
    assert!(matches!(error, ServerError::Unreachable(_)), "{error:?}");
}

#[test]
fn a_server_of_another_ca_and_one_of_old_tls_are_not_talked_to() {
    let (ours, other) = (ca(), ca());
    for (ca_of_server, tls12_only) in [(&other, false), (&ours, true)] {
        let (address, heard) = serve(ca_of_server, vec![(200, "", b"{}".to_vec())], tls12_only);
        let server = Server::new(&format!("https://{address}"), ours.certificate.pem().as_bytes()).unwrap();
        assert!(server.converse(credential()).orders().is_err());
        assert!(heard.lock().unwrap().is_empty(), "the credential was shown to a stranger");
    }
}

#[test]
fn a_server_without_a_ca_to_prove_itself_to_is_refused() {
    assert!(Server::new("https://127.0.0.1", b"nothing").is_err());
}
