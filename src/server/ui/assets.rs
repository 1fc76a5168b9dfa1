//! The style, the script and the sign of the pages, as they are in this program.

use std::sync::LazyLock;

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};

use crate::app::App;

const STYLE: &str = include_str!("assets/mimeo.css");
const SCRIPT: &str = include_str!("assets/mimeo.js");
const SIGN: &str = include_str!("assets/mimeo.svg");

pub fn router() -> Router<App> {
    Router::new()
        .route("/assets/mimeo.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/mimeo.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/mimeo.svg", get(async || asset("image/svg+xml", SIGN)))
}

/// Stands behind the question mark in the addresses of the assets, and changes with them: browsers may keep each for
/// ever and still never mix the assets of two versions.
pub fn revision() -> &'static str {
    static REVISION: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = blake3::Hasher::new();
        for asset in [STYLE, SCRIPT, SIGN] {
            hasher.update(asset.as_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    });
    &REVISION
}

fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], content)
}
