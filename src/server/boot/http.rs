//! HTTP for boot loaders: plain, because iPXE on a BIOS has no TLS; nothing here is secret.
//!
//! | path | what |
//! |---|---|
//! | `/boot/ipxe/{mac}` | the machine's iPXE script; `?uuid=` and `?platform=` say more of it |
//! | `/boot/files/{name}` | an artefact |
//! | `/boot/uefi/{mac}.img` | the machine's disk image for UEFI HTTP boot |
//!
//! Errors have a body and end the connection: shim was seen to hang on an empty 404 that kept it open.

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{ConnectInfo, Path, Query, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use mimeo_core::ids::MacAddr;
use serde::Deserialize;

use super::{content::Content, files::BootFiles, firmware::Architecture, target::Machine};
use crate::{listener::Limits, seats::SeatLimits};

/// At gigabit speed so many machines have kernel and initramfs in less than a minute. A loader uses one connection or
/// two, and there may be several machines behind one address.
pub const LIMITS: Limits = Limits {
    connections: SeatLimits { in_all: 256, per_address: 32 },
    head: Duration::from_secs(15),
    stall: Duration::from_secs(30),
    // Without TLS nobody speaks HTTP/2 here.
    rest: Duration::from_secs(15),
    // 30 MB over 500 kbit/s take eight minutes.
    lifetime: Duration::from_secs(15 * 60),
};

/// What UEFI firmware knows a disk image and a program by (UEFI 2.10, section 24.7.3.1).
const DISK_IMAGE_TYPE: &str = "application/vnd.efi-img";
const PROGRAM_TYPE: &str = "application/efi";

/// The routes. The connection's `ConnectInfo<SocketAddr>` is used where there is one.
pub fn router(files: Arc<BootFiles>) -> Router {
    Router::new()
        .route("/boot/ipxe/{mac}", get(ipxe_script))
        .route("/boot/files/{name}", get(artefact))
        .route("/boot/uefi/{image}", get(disk_image))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::map_response(finish_errors))
        .with_state(files)
}

/// What iPXE tells of the machine it runs on.
#[derive(Debug, Default, Deserialize)]
struct Said {
    uuid: Option<String>,
    platform: Option<String>,
}

async fn ipxe_script(
    State(files): State<Arc<BootFiles>>,
    Path(mac): Path<String>,
    said: Result<Query<Said>, axum::extract::rejection::QueryRejection>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
) -> Response {
    let Ok(mac) = mac.parse() else { return bad_hardware_address() };
    let Said { uuid, platform } = said.map(|Query(said)| said).unwrap_or_default();
    let architecture = match platform.as_deref() {
        Some("efi") => Architecture::UefiX64,
        _ => Architecture::Bios,
    };
    let uuid = uuid.as_deref().and_then(usual_uuid);
    let script = files.ipxe_script(&Machine { uuid, ..machine(mac, architecture, peer) }).await;
    ([(header::CONTENT_TYPE, "text/plain; charset=us-ascii")], script).into_response()
}

async fn artefact(
    State(files): State<Arc<BootFiles>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match files.artefact(&name) {
        Some(content) => {
            let content_type = if name.ends_with(".efi") { PROGRAM_TYPE } else { "application/octet-stream" };
            send_part(&content.into(), content_type, &headers)
        }
        None => (StatusCode::NOT_FOUND, "there is no such boot file\n").into_response(),
    }
}

async fn disk_image(
    State(files): State<Arc<BootFiles>>,
    Path(image): Path<String>,
    method: Method,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
) -> Response {
    let Some(mac) = image.strip_suffix(".img").and_then(|mac| mac.parse().ok()) else {
        return bad_hardware_address();
    };
    if method == Method::HEAD {
        // Firmware asks for the length first. That is the same for all, and no boot yet.
        let length = HeaderValue::from(files.disk_image_bytes());
        let headers = [
            (header::CONTENT_LENGTH, length),
            (header::CONTENT_TYPE, HeaderValue::from_static(DISK_IMAGE_TYPE)),
        ];
        return (headers, Body::empty()).into_response();
    }
    match files.disk_image(&machine(mac, Architecture::UefiX64Http, peer)).await {
        // Never a part of it: the rest of a download that broke off would carry another token than its beginning.
        Ok(content) => send(content, DISK_IMAGE_TYPE),
        Err(error) => {
            tracing::error!(machine.mac = %mac, error = %error, "making a boot image");
            (StatusCode::INTERNAL_SERVER_ERROR, "the boot image could not be made\n").into_response()
        }
    }
}

fn machine(
    mac: MacAddr,
    architecture: Architecture,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
) -> Machine {
    let address = peer.and_then(|axum::Extension(ConnectInfo(peer))| match peer {
        SocketAddr::V4(peer) => Some(*peer.ip()),
        SocketAddr::V6(peer) => peer.ip().to_ipv4_mapped(),
    });
    Machine { mac, uuid: None, architecture, address }
}

fn bad_hardware_address() -> Response {
    (StatusCode::BAD_REQUEST, "expected a hardware address such as 52:54:00:12:34:56\n").into_response()
}

/// A UUID in the usual spelling and lower case; `None` for anything else.
fn usual_uuid(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    let usual = lengths.eq([8, 4, 4, 4, 12]) && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit());
    usual.then(|| text.to_ascii_lowercase())
}

/// Answers with the content, or the part of it that was asked for.
fn send_part(content: &Content, content_type: &'static str, headers: &HeaderMap) -> Response {
    let length = content.length_bytes();
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let range = match asked.map_or(Asked::All, |range| parse_range(range, length)) {
        Asked::All => None,
        Asked::Part(range) => Some(range),
        Asked::Nothing => {
            let header = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, header, "there is no such part\n").into_response();
        }
    };
    let mut response = send(content.slice(range.clone().unwrap_or(0..length)), content_type);
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range {
        let part = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        let part = HeaderValue::try_from(part).expect("digits are a header's value");
        response.headers_mut().insert(header::CONTENT_RANGE, part);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Answers with all of the content.
fn send(content: Content, content_type: &'static str) -> Response {
    let length = content.length_bytes();
    let pieces = content.into_pieces().into_iter().map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// What of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(Range<u64>),
    /// A part that the file does not have.
    Nothing,
}

/// Reads a `Range` header (RFC 9110 section 14). Several parts at once, and what is no range in bytes, are answered
/// with the whole, as the RFC allows.
fn parse_range(header: &str, length: u64) -> Asked {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Asked::All;
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Asked::All,
    };
    if range.is_empty() { Asked::Nothing } else { Asked::Part(range) }
}

/// Gives every error a body and ends its connection.
async fn finish_errors(mut response: Response) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        if response.body().size_hint().exact() == Some(0) {
            let text = format!("{status}\n");
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
            *response.body_mut() = Body::from(text);
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{Asked, parse_range, usual_uuid};

    #[test]
    fn a_range_is_one_part_of_what_there_is() {
        let check = |header, expect| assert_eq!(parse_range(header, 100), expect, "{header:?}");
        check("bytes=0-9", Asked::Part(0..10));
        check("bytes=90-", Asked::Part(90..100));
        check("bytes=90-1000", Asked::Part(90..100));
        check("bytes=-10", Asked::Part(90..100));
        check("bytes=-1000", Asked::Part(0..100));
        check("bytes=99-99999999999999999999999999", Asked::Part(99..100));
        check("bytes=100-", Asked::Nothing);
        check("bytes=-0", Asked::Nothing);
        for whole in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,5-6", "bytes=+1-2", "lines=1-2"]
        {
            check(whole, Asked::All);
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Nothing);
    }

    #[test]
    fn only_a_uuid_is_a_uuid() {
        let usual = "4c4c4544-0044-3510-8052-b4c04f564432";
        assert_eq!(usual_uuid(&usual.to_uppercase()).as_deref(), Some(usual));
        for other in
            ["", "4c4c4544", "4c4c4544-0044-3510-8052-b4c04f56443g", "4c4c45440044-3510-8052-b4c04f564432-"]
        {
            assert_eq!(usual_uuid(other), None, "{other:?}");
        }
    }
}
