//! The surface for people: pages in French and English, rendered here, whole without a script.
//!
//! A request passes [`guard`], which says what browsers must not do with the answer; a [`visitor::Visitor`] is one who
//! logged in; a page in [`pages`] asks the same functions as the API and fills a template; what cannot be done becomes
//! a [`refusal::Refusal`], which is a sentence. [`text`] speaks both languages. The one script (`assets/mimeo.js`) tells
//! times in the browser's zone and, whenever something happens, fetches the page again and puts its live parts in place.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_response},
};

use crate::app::App;

pub mod assets;
pub mod guard;
pub mod page;
pub mod pages;
pub mod refusal;
pub mod text;
pub mod visitor;

/// The longest form: a few names and a disk's description.
const FORM_BYTES_MAX: usize = 16 << 10;

/// The pages. To be served over TLS with connection information, because logins are counted by address.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(pages::door::router())
        .merge(pages::computers::router())
        .merge(pages::masters::router())
        .merge(pages::sessions::router())
        .merge(pages::order::router())
        .merge(pages::about::router())
        .merge(pages::dhcp::router())
        .merge(assets::router())
        .fallback(async || refusal::Refusal::NoPage)
        .method_not_allowed_fallback(async || refusal::Refusal::NoPage)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(app.clone(), refusal::render))
        .layer(map_response(guard::protect))
        .with_state(app)
}
