//! DHCP: what is served here, and what to write into another server's configuration.

use askama::Template;
use axum::{Router, extract::State, response::Html, routing::get};

use crate::{
    api::dhcp::{self, DhcpView},
    app::App,
    boot::dhcp::settings::Mode,
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::Visitor,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/dhcp", get(show))
}

#[derive(Template)]
#[template(path = "dhcp.html")]
struct DhcpPage {
    page: Page,
    dhcp: DhcpView,
}

async fn show(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    html(&DhcpPage { page: visitor.page("about"), dhcp: dhcp::view(&app.dhcp) })
}

impl Page {
    /// What a mode does, in a sentence.
    pub fn dhcp_mode(&self, mode: &Mode) -> String {
        self.say(match mode {
            Mode::Proxy => "dhcp-mode-proxy",
            Mode::Pxe => "dhcp-mode-pxe",
            Mode::Full => "dhcp-mode-full",
            Mode::Off => "dhcp-mode-off",
        })
    }
}
