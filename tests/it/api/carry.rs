//! Versions are copied to a disk and taken in by running servers, each over its own local socket.

use clap::Parser;
use mimeo_server::{
    cli::{self, Cli},
    imaging::library::Library,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::{Answer, As, House},
    store::{content, end_of_job, publish},
};

/// As root on the appliance itself asks.
async fn ask_locally(house: &House, path: &str, body: Value) -> Answer {
    let socket = house.folder.path().join("mimeo.sock");
    let local = reqwest::Client::builder().unix_socket(socket).build().expect("a client");
    let request = local.request(Method::POST, format!("http://localhost/api/v1{path}")).json(&body);
    Answer::read(request.send().await.expect("an answer")).await
}

/// Whether `mimeo masters` succeeds on a house.
async fn mimeo(house: &House, arguments: &[&str]) -> bool {
    let config = house.folder.path().join("mimeo.toml");
    let folder = house.folder.path().display();
    std::fs::write(&config, format!("[server]\ndata_dir = \"{folder}\"\n")).expect("a configuration");
    let begin = ["mimeo", "--json", "--config", config.to_str().expect("UTF-8"), "masters"];
    let Cli { options, command } = Cli::parse_from([&begin, arguments].concat());
    let code = cli::run(options, command).await;
    format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS)
}

fn stick() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let stick = folder.path().join("mimeo").to_str().expect("UTF-8").to_owned();
    (folder, stick)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_from_one_server_to_another_on_a_disk() {
    let (one, other) = (House::start().await, House::start().await);
    let (program_of_one, program_of_other) = (one.program().await, other.program().await);
    let (_folder, stick) = stick();
    publish(&one, "debian", &[1, 2, 3]).await;
    publish(&one, "debian", &[2, 3, 4]).await;
    let copy = json!({ "masters": ["debian@1", "debian"], "to": stick });
    let begun = ask_locally(&one, "/store/copy", copy.clone()).await;
    assert_eq!((begun.status, &begun.body["kind"]), (StatusCode::ACCEPTED, &json!("copy")));
    let carried = end_of_job(&one, &program_of_one).await["carried"].clone();
    let figures = |field: &str| [carried[0][field].clone(), carried[1][field].clone()];
    assert_eq!(figures("chunks"), [json!(3), json!(1)], "{carried}");
    assert_eq!(figures("from"), [json!(1), json!(2)]);
    let fingerprint = carried[0]["provenance"]["fingerprint"].clone();
    assert_eq!(one.get("/about", &program_of_one).await.body["fingerprint"], fingerprint);
    ask_locally(&one, "/store/copy", copy).await;
    let again = end_of_job(&one, &program_of_one).await["carried"].clone();
    assert_eq!([&again[0]["already_there"], &again[1]["already_there"]], [&json!(true), &json!(true)]);

    let take_in = json!({ "from": stick });
    let refused = ask_locally(&other, "/store/take-in", take_in.clone()).await;
    assert_eq!((refused.status, refused.error()), (StatusCode::CONFLICT, "untrusted"));
    assert_eq!(refused.body["details"]["fingerprint"], fingerprint);
    assert_eq!(other.get("/store/job", &program_of_other).await.status, StatusCode::NOT_FOUND);
    let trusting = json!({ "from": stick, "trust": [fingerprint] });
    let begun = ask_locally(&other, "/store/take-in", trusting).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
    assert!(end_of_job(&other, &program_of_other).await["error"].is_null());
    let versions = other.get("/masters/debian", &program_of_other).await.body["versions"].clone();
    assert_eq!(versions.as_array().map(Vec::len), Some(2));
    assert_eq!(versions[0]["provenance"]["fingerprint"], fingerprint);
    assert_eq!(versions[1]["provenance"]["version"], json!(1));
    // Trusted from now on, and nothing is there twice.
    assert_eq!(ask_locally(&other, "/store/take-in", take_in).await.status, StatusCode::ACCEPTED);
    let again = end_of_job(&other, &program_of_other).await["carried"].clone();
    assert_eq!(again[0]["already_there"], json!(true), "{again}");
    let whole = [1, 2, 3, 4].map(|number| mimeo_core::chunk::ChunkId::of(&content(number)));
    let found = other.services.store.verify(&whole, &|_| ()).await.expect("it can be read");
    assert_eq!(found.proved_chunks, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_the_same() {
    let (one, other) = (House::start().await, House::start().await);
    let (_folder, stick) = stick();
    publish(&one, "debian", &[1, 2]).await;
    assert!(!mimeo(&one, &["copy", "debian@2", "--to", &stick]).await, "there is no second version");
    assert!(!std::path::Path::new(&stick).exists(), "a mistyped name makes no library");
    assert!(mimeo(&one, &["copy", "debian", "--to", &stick]).await);
    assert!(!mimeo(&other, &["take-in", &stick]).await, "nobody is at the terminal to trust it");
    let library = Library::open(stick.as_ref()).await.expect("a library");
    let listed = mimeo_server::imaging::master::list_all_versions(&library.shelf.db).await.expect("listed");
    let provenance = mimeo_server::imaging::provenance::find(&library.shelf.db, &listed[0]).await;
    let fingerprint = provenance.expect("readable").expect("it has one").fingerprint().to_string();
    assert!(!mimeo(&other, &["take-in", &stick, "--trust", &fingerprint]).await, "it is in use");
    library.close().await;
    assert!(mimeo(&other, &["take-in", &stick, "debian", "--trust", &fingerprint]).await);
    assert!(mimeo(&other, &["take-in", &stick]).await, "its key is known now");
    assert!(mimeo(&other, &[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_at_the_appliance_names_its_folders() {
    let house = House::start().await;
    let program = house.program().await;
    let (_folder, stick) = stick();
    publish(&house, "debian", &[1]).await;
    let copy = json!({ "masters": ["debian"], "to": stick });
    let take_in = json!({ "from": stick });
    for (path, body) in [("/store/copy", &copy), ("/store/take-in", &take_in)] {
        let refused = house.post(path, &program, body.clone()).await;
        assert_eq!((refused.status, refused.error()), (StatusCode::FORBIDDEN, "local_only"), "{path}");
        let refused = house.post(path, &As::default(), body.clone()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(!std::path::Path::new(&stick).exists());
    for (path, body, error) in [
        ("/store/copy", json!({ "masters": ["debian"], "to": "mimeo" }), "bad_folder"),
        ("/store/copy", json!({ "masters": [], "to": stick }), "bad_master"),
        ("/store/copy", json!({ "masters": ["de/bian"], "to": stick }), "bad_master"),
        ("/store/copy", json!({ "masters": ["debian@9"], "to": stick }), "not_found"),
        ("/store/copy", json!({ "masters": ["debian"], "to": house.folder.path() }), "unusable_library"),
        ("/store/take-in", json!({ "from": stick }), "no_library"),
        ("/store/take-in", json!({ "from": stick, "trust": ["abc"] }), "bad_fingerprint"),
    ] {
        let refused = ask_locally(&house, path, body.clone()).await;
        assert!(refused.status.is_client_error(), "{body}");
        assert_eq!(refused.error(), error, "{body}");
    }
}
