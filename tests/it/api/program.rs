//! The whole program as root starts it: the server on its folder, and the command line that talks to it.

use std::{path::Path, time::Duration};

use clap::Parser;
use mimeo_core::{ids::MacAddr, messages::Language};
use mimeo_server::{
    cli::{self, Cli, words::Words},
    clock::Timestamp,
    config::Config,
    db,
    doctor::{self, Check, Verdict},
    events::Events,
    inventory::{
        admission::admit,
        boot_token::{Purpose, mint},
    },
    serve,
    tls::install_crypto_provider,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::house::{report, write_artefacts};

/// How long a server may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in this process, without the boot services, whose ports are for namespaces.
struct Program {
    stop: CancellationToken,
    served: JoinHandle<Result<(), serve::ServeError>>,
}

fn write_config(folder: &Path) -> Config {
    write_artefacts(&folder.join("artefacts"));
    let text = format!(
        "[server]\ndata_dir = {:?}\nartefacts_dir = {:?}\n[network]\ninterface = \"lo\"\n[dhcp]\nmode = \"off\"\n\
         [tftp]\nenabled = false\n[http]\nenabled = false\n",
        folder.join("data"),
        folder.join("artefacts"),
    );
    std::fs::write(folder.join("mimeo.toml"), &text).expect("written");
    let mut config = Config::parse(&text, "test").expect("a configuration");
    // Whichever is free: these tests talk through the local socket.
    config.https.port = 0;
    config
}

impl Program {
    async fn start(folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve::run(write_config(folder), stop.clone()));
        let program = Self { stop, served };
        let up = async {
            while about(folder).await.is_none() {
                assert!(!program.served.is_finished(), "the server ended");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up).await.expect("the server comes up");
        program
    }

    async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.served).await.expect("the server ends");
        ended.expect("no panic").expect("a clean end");
    }
}

async fn ask(folder: &Path, path: &str) -> Option<Value> {
    // The server installs it too, in a task that may begin later than the first question.
    install_crypto_provider();
    let socket = folder.join("data/mimeo.sock");
    let client = reqwest::Client::builder().unix_socket(socket).build().ok()?;
    client.get(format!("http://localhost/api/v1{path}")).send().await.ok()?.json().await.ok()
}

async fn about(folder: &Path) -> Option<Value> {
    ask(folder, "/about").await
}

/// Whether `mimeo` with these arguments succeeds.
async fn mimeo(folder: &Path, arguments: &str) -> bool {
    let config = folder.join("mimeo.toml");
    let line = ["mimeo", "--config", config.to_str().expect("a plain name")];
    let Cli { options, command } =
        Cli::try_parse_from(line.into_iter().chain(arguments.split(' '))).expect("usage");
    // Exit codes can be shown and not compared.
    format!("{:?}", cli::run(options, command).await) == format!("{:?}", std::process::ExitCode::SUCCESS)
}

#[tokio::test]
async fn a_restart_keeps_the_setup_code_and_the_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let program = Program::start(folder).await;
    let code = ask(folder, "/setup-code").await.expect("an answer");
    let authority = std::fs::read(folder.join("data/tls/ca.pem")).expect("made at the first start");
    program.stop().await;
    let program = Program::start(folder).await;
    assert_eq!(ask(folder, "/setup-code").await, Some(code));
    assert_eq!(std::fs::read(folder.join("data/tls/ca.pem")).expect("is there"), authority);
    program.stop().await;
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_made_good_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("tls")).expect("a folder");
    // The database was created and not yet written, the authority has a key and no certificate, and the socket of the
    // killed server lies about.
    for (name, content) in [
        ("mimeo.db", ""),
        ("tls/ca.key", "-----BEGIN PRIV"),
        ("tls/ca.new", "-----BEGIN CERT"),
        ("tls/server.json", "{"),
        ("mimeo.sock", ""),
    ] {
        std::fs::write(data.join(name), content).expect("written");
    }
    let program = Program::start(folder).await;
    let code = ask(folder, "/setup-code").await.expect("an answer");
    assert!(code["code"].is_string(), "{code}");
    let authority = std::fs::read_to_string(data.join("tls/ca.pem")).expect("it was made");
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
    program.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_says_why_it_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::start(folder.path()).await;
    let second = Box::pin(serve::run(write_config(folder.path()), CancellationToken::new())).await;
    let error = second.expect_err("the folder is in use").to_string();
    assert!(error.contains("another server uses"), "{error}");
    assert!(about(folder.path()).await.is_some(), "the first goes on");
    program.stop().await;
}

#[tokio::test]
async fn a_computer_is_given_another_name_and_another_loader_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let program = Program::start(folder).await;
    let pool = db::open(&folder.join("data/mimeo.db")).await.expect("the server's database");
    let mac = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);
    let token = mint(&pool, mac, Purpose::Register, Timestamp::now()).await.expect("a token");
    let report = report(mac, &["AAA"]);
    admit(&pool, &Events::new(), &token, report, Timestamp::now()).await.expect("registered");

    let computer = async || ask(folder, "/computers/1").await.expect("an answer");
    let name = computer().await["name"].as_str().expect("a name").to_owned();
    assert_eq!(computer().await["loader"], "signed");
    for (arguments, expect) in [
        (format!("computers {name} --loader ipxe --json"), true),
        ("computers 1 --name room-12-pc-1".to_owned(), true),
        ("computers nobody --loader ipxe".to_owned(), false),
        ("computers 1 --name salle_12".to_owned(), false),
    ] {
        assert_eq!(mimeo(folder, &arguments).await, expect, "mimeo {arguments}");
    }
    let changed = computer().await;
    assert_eq!((&changed["name"], &changed["loader"]), (&json!("room-12-pc-1"), &json!("ipxe")));
    assert!(mimeo(folder, "computers room-12-pc-1 --loader signed").await);
    assert_eq!(computer().await["loader"], "signed");
    program.stop().await;
}

#[tokio::test]
async fn the_doctor_asks_the_running_server_what_keeps_machines_from_booting() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_config(folder);
    let file = folder.join("mimeo.toml");
    let found = async |language| {
        let findings = doctor::examine(Words::new(language), Some(&file)).await;
        let notices = findings.iter().find(|finding| finding.check == Check::Notices);
        notices.map(|finding| (finding.verdict, finding.message.clone()))
    };
    assert_eq!(found(Language::En).await, None, "there is no server yet");
    let program = Program::start(folder).await;
    for (language, sentence) in [
        (Language::En, "Nothing is known to keep a machine from booting."),
        (Language::Fr, "Rien ne semble empêcher une machine de démarrer."),
    ] {
        assert_eq!(found(language).await, Some((Verdict::Ok, sentence.into())));
    }
    program.stop().await;
}

#[tokio::test]
async fn commands_reach_the_server_of_this_machine_and_say_when_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_config(folder);
    assert!(!mimeo(folder, "computers").await, "there is no server yet");
    let program = Program::start(folder).await;
    for (arguments, expect) in [
        ("computers", true),
        ("masters --json", true),
        ("notices", true),
        ("notices --json", true),
        ("dhcp-snippets", true),
        ("dhcp-snippets --server kea", true),
        ("dhcp-snippets --json", true),
        ("about", true),
        ("about --json", true),
        ("masters remove debian --yes", false),
        ("masters remove debian@2 --yes --json", false),
        ("store stats", true),
        ("store stats --json", true),
        ("store gc --dry-run", true),
        ("store gc --json", true),
        ("store verify", true),
        ("store verify --json", true),
        ("sessions", true),
        ("sessions --open --json", true),
        ("setup-code", true),
        ("token create nightly", true),
        ("token create nightly", false),
        ("token list", true),
        ("token delete nightly", true),
        ("token delete nightly", false),
        ("token create ..", false),
        ("token create weekly --json", true),
        ("token delete weekly --json", true),
        ("computers nobody", false),
        ("computers nobody --json", false),
        ("computers ..", false),
        ("capture nobody --name debian", false),
        ("deploy debian nobody --yes", false),
        ("cancel 7", false),
        ("answer 7 1", false),
    ] {
        assert_eq!(mimeo(folder, arguments).await, expect, "mimeo {arguments}");
    }
    program.stop().await;
}
