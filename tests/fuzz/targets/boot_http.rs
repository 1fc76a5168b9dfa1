//! What a machine asks on the HTTP port of the boot loaders.

use std::sync::LazyLock;

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, header},
};
use futures_util::StreamExt as _;
use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};
use mimeo_server::{
    boot::{
        artefacts::{Artefact, Artefacts, LIST_NAME, names},
        files::BootFiles,
        http,
        machines::Machines,
        menu::Settings,
        target::{BootSource, BootTarget, LoaderChoice, Machine, Menu},
    },
    clock::Timestamp,
    config::kernel_options::KernelOptions,
    events::Events,
};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "boot_http",
    whose: "anybody on the network, port 80",
    check,
    seeds,
    words: &[
        b"/boot/ipxe/",
        b"/boot/files/",
        b"/boot/uefi/",
        b".img",
        b"52:54:00:12:34:56",
        b"52-54-00-12-34-56",
        b"?uuid=",
        b"&platform=efi",
        b"%0a",
        b"%2e%2e%2f",
        b"\nbytes=",
        b"${",
        b"||",
    ],
    input_bytes_max: 2048,
    memory_bytes_max: 8 << 20,
};

/// What is kept of a body. Only scripts are looked at, and they are shorter; a disk image has 33 MiB.
const BODY_BYTES_KEPT: usize = 64 << 10;

static HOUSE: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    (runtime, http::router(std::sync::Arc::new(files())))
});

/// Up to three lines: the path with its query, a `Range`, and GET or HEAD.
fn check(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let path = lines.next().unwrap_or_default();
    let mut request = Request::builder().uri(path);
    if let Some(range) = lines.next().filter(|range| !range.is_empty()) {
        request = request.header(header::RANGE, range);
    }
    if lines.next() == Some(b"HEAD") {
        request = request.method(Method::HEAD);
    }
    let Ok(request) = request.body(Body::empty()) else { return };
    let is_script = request.uri().path().starts_with("/boot/ipxe/");
    let is_head = request.method() == Method::HEAD;
    let (runtime, router) = &*HOUSE;
    runtime.block_on(async {
        let Ok(response) = router.clone().oneshot(request).await;
        check_response(response, is_head, is_script).await;
    });
}

async fn check_response(response: Response<Body>, is_head: bool, is_script: bool) {
    let status = response.status();
    assert!([200, 206, 400, 404, 405, 416].contains(&status.as_u16()), "{status}");
    let length = response.headers().get(header::CONTENT_LENGTH).cloned();
    let (bytes, body) = read(response.into_body()).await;
    if is_head {
        return;
    }
    assert!(status.is_success() || bytes > 0, "{status} without a word");
    if let Some(length) = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok()) {
        assert_eq!(bytes, length, "{status}");
    }
    if is_script && status == 200 {
        // Nothing that a machine says of itself may add a line, or a word that iPXE would replace.
        let script = std::str::from_utf8(&body).expect("a script is ASCII");
        assert_eq!(shape(script), *PLAIN_SCRIPT, "{script}");
    }
}

/// The length of a body, and its first bytes.
async fn read(body: Body) -> (usize, Vec<u8>) {
    let (mut length, mut kept) = (0, Vec::new());
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.expect("a body in memory");
        length += piece.len();
        kept.extend_from_slice(&piece[..piece.len().min(BODY_BYTES_KEPT - kept.len())]);
    }
    (length, kept)
}

/// How many lines a script has, and how many words that iPXE replaces.
fn shape(script: &str) -> (usize, usize) {
    (script.lines().count(), script.matches("${").count())
}

/// The shape of the script of a machine that says nothing of itself.
static PLAIN_SCRIPT: LazyLock<(usize, usize)> = LazyLock::new(|| {
    // A thread of its own: this may be asked from inside the runtime.
    let body = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let request = Request::get("/boot/ipxe/52:54:00:12:34:56").body(Body::empty()).expect("a request");
        runtime.block_on(async {
            let Ok(response) = HOUSE.1.clone().oneshot(request).await;
            read(response.into_body()).await.1
        })
    });
    shape(&String::from_utf8_lossy(&body.join().expect("the script of a plain machine")))
});

/// Shows every machine a menu.
struct Menus;

#[async_trait]
impl BootSource for Menus {
    async fn boot_target(&self, machine: &Machine) -> BootTarget {
        let token = Secret::from_random([0xcd; 32]);
        let computer_name = Some(format!("poste {:?}", machine.uuid));
        BootTarget::Menu(Menu { computer_name, token, timeout_seconds: 10, language: Language::Fr })
    }

    async fn loader(&self, _mac: MacAddr) -> LoaderChoice {
        LoaderChoice::default()
    }
}

fn files() -> BootFiles {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str| {
        let content = name.repeat(40).into_bytes();
        std::fs::write(folder.path().join(name), &content).expect("writing an artefact");
        Artefact {
            name: name.into(),
            bytes: content.len() as u64,
            blake3: blake3::hash(&content).to_hex().to_string(),
            package: "test".into(),
            version: "1".into(),
        }
    };
    let list: Vec<_> = names::REQUIRED.iter().map(|name| write(name)).collect();
    let text = serde_json::json!({ "artefacts": list }).to_string();
    std::fs::write(folder.path().join(LIST_NAME), text).expect("writing the list");
    let artefacts = Artefacts::load(folder.path(), "certificate", Timestamp(0)).expect("good artefacts");
    let settings = Settings {
        boot_http: "10.0.0.1:80".parse().expect("an address"),
        api: "10.0.0.1:443".parse().expect("an address"),
        kernel_options: KernelOptions::parse("quiet").expect("an option"),
        language: Language::En,
    };
    let source = std::sync::Arc::new(Menus);
    BootFiles::new(artefacts.into(), source, Machines::default(), Events::new(), settings).expect("an image")
}

fn seeds() -> Vec<Vec<u8>> {
    let uuid = "4c4c4544-0044-3510-8052-b4c04f564432";
    let mut seeds = vec![
        format!("/boot/ipxe/52:54:00:12:34:56?uuid={uuid}&platform=efi"),
        "/boot/ipxe/52-54-00-12-34-56?platform=pcbios".into(),
        "/boot/uefi/52:54:00:12:34:56.img\nbytes=0-511".into(),
        "/boot/uefi/52:54:00:12:34:56.img\n\nHEAD".into(),
        "/boot/files/../list".into(),
    ];
    for name in names::REQUIRED {
        seeds.push(format!("/boot/files/{name}\nbytes=-5"));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}
