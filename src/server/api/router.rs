//! Which path leads to which file.

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    about, carry, computers, dhcp, error::ApiError, events, login, masters, notices, sessions, store,
};
use crate::app::App;

/// The longest body that the administrator's API takes: its requests are a few names.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The administrator's API, and the authority's certificate for browsers to download.
pub fn router(app: App) -> Router {
    let api = Router::new()
        .merge(about::router())
        .merge(carry::router())
        .merge(login::router())
        .merge(computers::router())
        .merge(notices::router())
        .merge(dhcp::router())
        .merge(masters::router())
        .merge(sessions::router())
        .merge(store::router())
        .merge(events::router())
        .fallback(async || ApiError::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            ApiError::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "bad_method",
                "this address has other methods",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(async |mut response: Response| {
            // What it says is true now and secret to the one who asked.
            response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            // Names that machines gave themselves stand in it, and no browser may take it for a page.
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }));
    Router::new().nest("/api/v1", api).route("/ca.pem", get(authority)).with_state(app)
}

/// Nothing secret: every client carries it.
async fn authority(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/x-pem-file")], app.authority_pem.to_string())
}
