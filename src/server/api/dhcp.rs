//! DHCP as it is served here, and what another DHCP server has to be told to name this one.

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};

use super::extract::Administrator;
use crate::{
    app::App,
    boot::dhcp::{
        settings::{Mode, Settings},
        snippets,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/dhcp", get(show))
}

/// What is served, and ready configuration for another server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpView {
    pub mode: Mode,
    pub snippets: Vec<SnippetView>,
}

/// Configuration for one DHCP server that is not ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnippetView {
    pub server: ForeignServer,
    /// The server's name, for people.
    pub name: String,
    pub text: String,
}

/// A DHCP server for which there is ready configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ForeignServer {
    Isc,
    Kea,
    Dnsmasq,
    Windows,
}

async fn show(State(app): State<App>, _: Administrator) -> Json<DhcpView> {
    Json(view(&app.dhcp))
}

pub fn view(settings: &Settings) -> DhcpView {
    let snippet = |server, name: &str, text| SnippetView { server, name: name.into(), text };
    let snippets = vec![
        snippet(ForeignServer::Isc, "ISC dhcpd", snippets::isc_dhcpd(settings)),
        snippet(ForeignServer::Kea, "Kea", snippets::kea(settings)),
        snippet(ForeignServer::Dnsmasq, "dnsmasq", snippets::dnsmasq(settings)),
        snippet(ForeignServer::Windows, "Windows Server", snippets::windows(settings)),
    ];
    DhcpView { mode: settings.mode, snippets }
}
