//! The administrator's API as programs and browsers meet it: over real TLS and over the real local socket.

#[path = "api/carry.rs"]
mod carry;
#[path = "api/house.rs"]
pub(crate) mod house;
#[path = "api/login.rs"]
mod login;
#[path = "api/program.rs"]
mod program;
#[path = "api/store.rs"]
mod store;

use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use mimeo_core::ids::MacAddr;
use mimeo_server::{boot::notices::Notice, clock::Timestamp, events::Event};
use reqwest::{Method, StatusCode};
use serde_json::json;

use self::house::{Answer, As, House};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);

/// What openssl says of a connection with these options.
fn openssl(house: &House, options: &[&str]) -> (bool, String) {
    let authority = house.folder.path().join("tls/ca.pem");
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &house.address.to_string(), "-brief", "-verify_return_error"])
        .arg("-CAfile")
        .arg(authority)
        .args(options)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl is installed");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_tls_1_3_under_our_authority_for_its_own_address() {
    let house = House::start().await;
    let answer = house.network().get(house.url("/ca.pem")).send().await.expect("our authority is trusted");
    let text = answer.text().await.expect("a certificate");
    assert_eq!(text.as_bytes(), std::fs::read(house.folder.path().join("tls/ca.pem")).expect("is there"));
    let stranger = reqwest::Client::builder().build().expect("a client");
    assert!(stranger.get(house.url("/ca.pem")).send().await.is_err(), "nobody else knows our authority");
    let (connected, said) = openssl(&house, &["-tls1_3", "-verify_ip", "127.0.0.1"]);
    assert!(connected && said.contains("TLSv1.3"), "{said}");
    let (connected, said) = openssl(&house, &["-tls1_2"]);
    assert!(!connected && said.contains("protocol version"), "{said}");
    let (connected, said) = openssl(&house, &["-tls1_3", "-verify_ip", "127.0.0.2"]);
    assert!(!connected && said.contains("mismatch"), "{said}");
}

#[tokio::test]
async fn whoever_can_open_the_local_socket_is_administrator_and_only_its_owner_can() {
    let house = House::start().await;
    let socket = house.folder.path().join("mimeo.sock");
    assert_eq!(socket.metadata().expect("is there").permissions().mode() & 0o777, 0o600);
    let local = reqwest::Client::builder().unix_socket(socket).build().expect("a client");
    let answer = local.get("http://localhost/api/v1/login").send().await.expect("an answer");
    assert_eq!(Answer::read(answer).await.body, json!({ "kind": "local", "name": null }));
    let answer = local.get("http://localhost/api/v1/setup-code").send().await.expect("an answer");
    let code = house.auth.setup_code().await.expect("works").expect("there is no account");
    assert_eq!(Answer::read(answer).await.body, json!({ "code": code.to_string() }));
}

#[tokio::test]
async fn nothing_is_told_to_one_who_shows_nothing_and_each_refusal_is_known() {
    let house = House::start().await;
    let mut events = house.services.events.listen();
    let unknown = As { token: Some("00".repeat(32)), ..As::default() };
    let malformed = As { token: Some("letmein".into()), ..As::default() };
    let stale = As {
        cookie: Some(format!("__Host-mimeo_login={}", "00".repeat(32))),
        origin: house.own_page(),
        ..As::default()
    };
    for who in [&As::default(), &unknown, &malformed, &stale] {
        for (method, path) in [
            (Method::GET, "/about"),
            (Method::GET, "/login"),
            (Method::GET, "/computers"),
            (Method::GET, "/notices"),
            (Method::GET, "/dhcp"),
            (Method::GET, "/masters"),
            (Method::GET, "/sessions"),
            (Method::GET, "/events"),
            (Method::GET, "/tokens"),
            (Method::GET, "/setup-code"),
            (Method::POST, "/sessions/1/cancel"),
            (Method::DELETE, "/tokens/x"),
            (Method::DELETE, "/masters/debian"),
            (Method::GET, "/store"),
            (Method::GET, "/store/job"),
            (Method::POST, "/store/gc"),
            (Method::POST, "/store/verify"),
        ] {
            let answer = house.ask(method, path, who, None).await;
            assert_eq!(
                (answer.status, answer.error()),
                (StatusCode::UNAUTHORIZED, "unauthenticated"),
                "{path}"
            );
            let event = events.recv().await.expect("told");
            assert!(
                matches!(event, Event::CredentialRefused { ref reason, .. } if reason.contains(path)),
                "{event:?}"
            );
        }
    }
}

#[tokio::test]
async fn errors_are_json_with_a_word_and_a_sentence() {
    let house = House::start().await;
    let program = house.program().await;
    for (method, path, body, status, error) in [
        (Method::GET, "/nothing", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::PUT, "/computers", None, StatusCode::METHOD_NOT_ALLOWED, "bad_method"),
        (Method::GET, "/computers/none", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::GET, "/masters/none", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::GET, "/masters/a%20b", None, StatusCode::BAD_REQUEST, "bad_master"),
        (Method::DELETE, "/masters/none@2", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::DELETE, "/masters/none?versions=x", None, StatusCode::BAD_REQUEST, "bad_master"),
        (Method::DELETE, "/masters/none?version=1", None, StatusCode::BAD_REQUEST, "bad_query"),
        (Method::GET, "/store/job", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::GET, "/sessions/7", None, StatusCode::NOT_FOUND, "not_found"),
        (Method::GET, "/sessions/seven", None, StatusCode::BAD_REQUEST, "bad_path"),
        (Method::GET, "/sessions?open=perhaps", None, StatusCode::BAD_REQUEST, "bad_query"),
        (Method::POST, "/tokens", Some(json!({})), StatusCode::UNPROCESSABLE_ENTITY, "bad_body"),
        (Method::POST, "/tokens", Some(json!({ "name": "test" })), StatusCode::CONFLICT, "token_exists"),
    ] {
        let answer = house.ask(method, path, &program, body).await;
        assert_eq!((answer.status, answer.error()), (status, error), "{path}: {:?}", answer.body);
        assert!(answer.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn what_keeps_machines_from_booting_is_told_with_facts_and_a_sentence() {
    let house = House::start().await;
    let program = house.program().await;
    assert_eq!(house.get("/notices", &program).await.body, json!([]));
    let notice = Notice::PoolExhausted { addresses: 4 };
    house.notices.note(notice, Timestamp::now());
    let told = house.get("/notices", &program).await.body;
    assert_eq!((&told[0]["notice"], &told[0]["addresses"]), (&json!("pool_exhausted"), &json!(4)));
    assert!(told[0]["message"].as_str().is_some_and(|message| message.contains("[dhcp] pool")), "{told}");
    assert!(told[0]["seen"].as_i64().is_some_and(|seen| seen > 0), "{told}");
}

#[tokio::test]
async fn another_dhcp_server_s_configuration_names_this_server() {
    let house = House::start().await;
    let dhcp = house.get("/dhcp", &house.program().await).await.body;
    assert_eq!(dhcp["mode"], "proxy");
    let snippets = dhcp["snippets"].as_array().expect("a list");
    let servers: Vec<_> = snippets.iter().map(|snippet| &snippet["server"]).collect();
    assert_eq!(servers, ["isc", "kea", "dnsmasq", "windows"]);
    for snippet in snippets {
        assert!(snippet["text"].as_str().is_some_and(|text| text.contains("127.0.0.1")), "{snippet}");
    }
}

#[tokio::test]
async fn the_server_says_what_it_is_and_what_it_boots() {
    let house = House::start().await;
    let about = house.get("/about", &house.program().await).await;
    assert_eq!(about.body["name"], "Mimeo");
    assert_eq!(about.headers["cache-control"], "no-store");
    assert_eq!(about.headers["x-content-type-options"], "nosniff");
    let artefacts = about.body["artefacts"].as_array().expect("a list");
    assert!(artefacts.iter().any(|artefact| artefact["name"] == "vmlinuz" && artefact["package"] == "test"));
}

#[tokio::test]
async fn a_computer_is_listed_shown_renamed_and_given_a_loader() {
    let house = House::start().await;
    let program = house.program().await;
    let first = house.register(MAC, &["AAA"]).await;
    house.register(MacAddr([0x52, 0x54, 0, 0, 0, 0xb]), &["BBB"]).await;
    let list = house.get("/computers", &program).await.body;
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let path = format!("/computers/{first}");
    let change = json!({ "name": "room-12-pc-1", "loader": "ipxe" });
    let answer = house.ask(Method::PATCH, &path, &program, Some(change)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let shown = house.get("/computers/room-12-pc-1", &program).await.body;
    assert_eq!((&shown["loader"], &shown["secure_boot"]), (&json!("ipxe"), &json!("on")));
    assert_eq!(shown["report"]["disks"][0]["serial"], "AAA");
    let other = list.as_array().and_then(|list| list.iter().find(|computer| computer["id"] != json!(first)));
    let other = other.expect("the other computer")["id"].clone();
    let taken = json!({ "name": "room-12-pc-1" });
    let answer = house.ask(Method::PATCH, &format!("/computers/{other}"), &program, Some(taken)).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::CONFLICT, "name_taken"));
    let answer = house.ask(Method::PATCH, &path, &program, Some(json!({ "colour": "red" }))).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_body"));
}

#[tokio::test]
async fn a_capture_is_previewed_requested_and_cancelled() {
    let house = House::start().await;
    let program = house.program().await;
    let computer = house.register(MAC, &["AAA"]).await;
    let capture = json!({ "do": "capture", "computer": computer.to_string(), "master": "debian" });
    let preview = house.post("/sessions/preview", &program, capture.clone()).await.body;
    assert_eq!(preview["disks"][0]["serial"], "AAA");
    assert_eq!(house.get("/sessions", &program).await.body, json!([]), "looking changes nothing");
    let requested = house.post("/sessions", &program, capture.clone()).await;
    assert_eq!((requested.status, &requested.body["state"]), (StatusCode::CREATED, &json!("waiting")));
    let again = house.post("/sessions", &program, capture).await;
    assert_eq!((again.status, again.error()), (StatusCode::CONFLICT, "computer_busy"));
    let id = &requested.body["id"];
    let cancelled = house.post(&format!("/sessions/{id}/cancel"), &program, json!({})).await;
    assert_eq!(cancelled.body["state"], "cancelled");
    let again = house.post(&format!("/sessions/{id}/cancel"), &program, json!({})).await;
    assert_eq!((again.status, again.error()), (StatusCode::CONFLICT, "not_now"));
    assert_eq!(house.get("/sessions?open=true", &program).await.body, json!([]));
    let details = house.get(&format!("/sessions/{id}"), &program).await.body;
    assert_eq!((&details["kind"], &details["phases"]), (&json!("capture"), &json!([])));
}

#[tokio::test]
async fn a_session_on_a_computer_with_two_disks_waits_for_an_answer() {
    let house = House::start().await;
    let program = house.program().await;
    let computer = house.register(MAC, &["AAA", "BBB"]).await;
    let capture = json!({ "do": "capture", "computer": computer.to_string(), "master": "debian" });
    let preview = house.post("/sessions/preview", &program, capture.clone()).await.body;
    assert_eq!(preview["disks"].as_array().map(Vec::len), Some(2));
    let session = house.post("/sessions", &program, capture).await.body;
    let question = session["question"].as_array().expect("a list");
    assert_eq!((question.len(), &session["disk"]), (2, &json!(null)));
    let path = format!("/sessions/{}/answer", session["id"]);
    let mut foreign = question[1].clone();
    foreign["serial"] = json!("CCC");
    let refused = house.post(&path, &program, json!({ "disk": foreign })).await;
    assert_eq!((refused.status, refused.error()), (StatusCode::CONFLICT, "not_now"));
    let answered = house.post(&path, &program, json!({ "disk": question[1] })).await;
    assert_eq!(answered.body["disk"]["serial"], "BBB");
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_refused_with_a_sentence() {
    let house = House::start().await;
    let program = house.program().await;
    let computer = house.register(MAC, &["AAA"]).await;
    let capture =
        json!({ "do": "capture", "computer": computer.to_string(), "master": "debian", "disk": "ZZZ" });
    for path in ["/sessions/preview", "/sessions"] {
        let answer = house.post(path, &program, capture.clone()).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::UNPROCESSABLE_ENTITY, "no_disk"));
        assert_eq!(answer.body["details"]["cause"], "disk_missing");
    }
    let deploy = json!({ "do": "deploy", "computer": computer.to_string(), "master": "debian@3" });
    let answer = house.post("/sessions/preview", &program, deploy).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_is_bound_to_what_its_preview_showed_and_to_keys_that_are_known() {
    let house = House::start().await;
    let program = house.program().await;
    let computer = house.register(MAC, &["AAA"]).await;
    let mut capture = json!({ "do": "capture", "computer": computer.to_string(), "master": "debian" });
    let mistyped = {
        let mut capture = capture.clone();
        capture["dsik"] = json!("AAA");
        capture
    };
    let answer = house.post("/sessions", &program, mistyped).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_body"));
    let preview = house.post("/sessions/preview", &program, capture.clone()).await.body;
    capture["shown"] = preview["shown"].clone();
    assert!(capture["shown"].is_string(), "{preview}");
    assert_eq!(house.register(MAC, &["BBB"]).await, computer, "it got another disk");
    let answer = house.post("/sessions", &program, capture.clone()).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::CONFLICT, "disks_changed"));
    assert_eq!(house.get("/sessions", &program).await.body, json!([]));
    assert_eq!(house.register(MAC, &["AAA"]).await, computer, "and the first again");
    assert_eq!(house.post("/sessions", &program, capture).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn events_arrive_by_name_and_one_who_lost_some_is_told_to_reload() {
    let house = House::start().await;
    let program = house.program().await;
    let request =
        house.network().get(house.url("/api/v1/events")).bearer_auth(program.token.expect("a token"));
    let mut stream = request.send().await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    house.services.events.emit(Event::TokenCreated { name: "a".into() });
    let mut heard = String::new();
    read_until(&mut stream, &mut heard, "\n\n").await;
    assert_eq!(heard, "event: token_created\ndata: {\"event\":\"token_created\",\"name\":\"a\"}\n\n");
    // All in one go: on this one thread nobody reads in between.
    for number in 0..5000 {
        house.services.events.emit(Event::TokenCreated { name: number.to_string() });
    }
    read_until(&mut stream, &mut heard, "event: reload").await;
    read_until(&mut stream, &mut heard, "\"name\":\"4999\"").await;
}

#[tokio::test]
async fn streams_are_counted_and_a_closed_one_makes_room() {
    let house = House::start().await;
    let program = house.program().await;
    let network = house.network();
    let token = program.token.as_deref().expect("a token");
    let listen = async || {
        let request = network.get(house.url("/api/v1/events")).bearer_auth(token);
        request.send().await.expect("an answer")
    };
    let mut streams = Vec::new();
    let refused = loop {
        let answer = listen().await;
        if answer.status() != StatusCode::OK {
            break Answer::read(answer).await;
        }
        streams.push(answer);
    };
    assert_eq!((refused.status, refused.error()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_streams"));
    assert_eq!(streams.len(), 128);
    assert_eq!(house.get("/about", &program).await.status, StatusCode::OK, "everything else goes on");
    streams.truncate(100);
    // The server learns of the closing a moment after it.
    let again = async { while listen().await.status() != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("a place became free");
}

async fn read_until(stream: &mut reqwest::Response, heard: &mut String, expect: &str) {
    while !heard.contains(expect) {
        let piece = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
        let piece = piece.unwrap_or_else(|_| panic!("{expect:?} did not come")).expect("a stream");
        heard.push_str(&String::from_utf8_lossy(&piece.expect("the stream goes on")));
    }
}
