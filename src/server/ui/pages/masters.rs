//! The masters with their versions, and how they are removed: first what, then the button.

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::{Html, Redirect},
    routing::get,
};
use serde::Deserialize;

use crate::{
    api::masters::{self, MasterView, VersionView, parse_versions},
    app::App,
    imaging::master::{MasterError, MasterRef},
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::{Asked, Filled, Visitor},
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/masters", get(list)).route("/masters/remove", get(confirm).post(remove))
}

#[derive(Template)]
#[template(path = "masters.html")]
struct MastersPage {
    page: Page,
    masters: Vec<MasterView>,
}

/// Shows what would be removed.
#[derive(Template)]
#[template(path = "remove.html")]
struct RemovePage {
    page: Page,
    /// The master's name.
    name: String,
    /// `NAME`, or `NAME@VERSION`.
    wanted: String,
    whole: bool,
    versions: Vec<VersionView>,
    /// Their numbers, to be sent back with the button.
    shown: String,
}

/// `NAME`, or `NAME@VERSION`.
#[derive(Deserialize)]
struct RemoveQuery {
    master: String,
}

#[derive(Deserialize)]
struct RemoveForm {
    master: String,
    /// The versions that were shown, apart by commas.
    versions: String,
}

async fn list(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    html(&MastersPage { page: visitor.page("masters"), masters: masters::load_views(&app).await? })
}

async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    Asked(query): Asked<RemoveQuery>,
) -> Result<Html<String>, Refusal> {
    let wanted: MasterRef = query.master.trim().parse()?;
    let MasterView { name, mut versions, .. } = masters::load_view(&app, &wanted.name).await?;
    versions.retain(|version| wanted.version.is_none_or(|number| version.version == number));
    if versions.is_empty() {
        return Err(MasterError::Removed { wanted }.into());
    }
    let mut numbers: Vec<_> = versions.iter().map(|version| version.version).collect();
    numbers.sort_unstable();
    let shown: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let meant = wanted.version.map_or_else(|| name.clone(), |number| format!("{name}@{number}"));
    html(&RemovePage {
        page: visitor.page("masters"),
        name,
        wanted: meant,
        whole: wanted.version.is_none(),
        versions,
        shown: shown.join(","),
    })
}

async fn remove(
    State(app): State<App>,
    _: Visitor,
    Filled(form): Filled<RemoveForm>,
) -> Result<Redirect, Refusal> {
    let shown = parse_versions(&form.versions)?;
    app.services.remove_master(&form.master.parse()?, Some(&shown)).await?;
    Ok(Redirect::to("/masters"))
}

impl Page {
    /// That part of what a version was made from could not be read.
    pub fn unread(&self, version: &VersionView) -> String {
        let (sectors, bytes) = (version.unread_sectors.to_string(), self.bytes(&version.unread_bytes));
        self.words.say_with("version-unread", &[("sectors", &sectors), ("bytes", &bytes)])
    }
}
