//! What this server is, and what it lets machines boot from.

use askama::Template;
use axum::{Router, extract::State, response::Html, routing::get};

use crate::{
    api::about::{self, AboutView},
    app::App,
    boot::dhcp::settings::Mode,
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::Visitor,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/about", get(show))
}

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    page: Page,
    about: AboutView,
    mode: Mode,
}

async fn show(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    html(&AboutPage { page: visitor.page("about"), about: about::view(&app), mode: app.dhcp.mode })
}
