//! What this server is: its version, and what it lets machines boot from.

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};

use super::extract::Administrator;
use crate::{app::App, clock::Timestamp, imaging::provenance::Fingerprint};

pub fn router() -> Router<App> {
    Router::new().route("/about", get(about))
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AboutView {
    pub name: String,
    pub version: String,
    pub started: Timestamp,
    /// Of the key that signs what is captured here: other appliances ask for it before they take a copy in.
    #[serde(default)]
    pub fingerprint: String,
    pub artefacts: Vec<ArtefactView>,
}

/// One boot artefact and where it comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArtefactView {
    pub name: String,
    pub bytes: u64,
    /// BLAKE3 in hexadecimal.
    pub blake3: String,
    pub package: String,
    pub version: String,
}

async fn about(State(app): State<App>, _: Administrator) -> Json<AboutView> {
    Json(view(&app))
}

pub fn view(app: &App) -> AboutView {
    let artefacts = app.artefacts.list().iter().map(|artefact| ArtefactView {
        name: artefact.name.clone(),
        bytes: artefact.bytes,
        blake3: artefact.blake3.clone(),
        package: artefact.package.clone(),
        version: artefact.version.clone(),
    });
    AboutView {
        name: "Mimeo".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: app.started,
        fingerprint: Fingerprint::of(&app.services.manifest_key.to_bytes()).to_string(),
        artefacts: artefacts.collect(),
    }
}
