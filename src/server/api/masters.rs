//! The masters and their versions.

use axum::{Json, Router, extract::State, routing::get};
use mimeo_core::{
    ids::{ComputerId, MasterId, SessionId, VersionNumber},
    manifest::warning::Warning,
    messages::Language,
    text::{texts, warning},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    carry::ProvenanceView,
    error::ApiError,
    extract::{Administrator, InPath, InQuery},
};
use crate::{
    app::App,
    clock::Timestamp,
    imaging::{
        master::{self, BadMasterRef, Master, MasterError, MasterName, MasterRef, Version},
        provenance,
        remove::{RemoveError, Removed},
        session::requests::SessionError,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/masters", get(list)).route("/masters/{master}", get(show).delete(remove))
}

/// A master with all of its versions, the latest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct MasterView {
    pub id: MasterId,
    pub name: String,
    pub description: String,
    pub created: Timestamp,
    pub versions: Vec<VersionView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct VersionView {
    pub version: VersionNumber,
    /// The hash that names everything in it.
    pub manifest: String,
    pub created: Timestamp,
    /// Size of the captured disk.
    pub disk_bytes: u64,
    /// Of that, in use and carried.
    pub carried_bytes: u64,
    /// What the store grew by.
    pub stored_bytes: u64,
    /// What was in use and could not be read: zeros stand for so many bytes, and sectors of the captured disk.
    pub unread_bytes: u64,
    pub unread_sectors: u64,
    /// Where it was captured, and by which session.
    pub computer: Option<ComputerId>,
    pub session: Option<SessionId>,
    /// Where it was captured that came from another library.
    #[serde(default)]
    pub provenance: Option<ProvenanceView>,
    /// What whoever deploys it should know.
    #[serde(default)]
    pub warnings: Vec<WarningView>,
}

/// A warning about a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningView {
    #[serde(flatten)]
    pub warning: Warning,
    /// A sentence for people, with what to do about it.
    pub message: String,
}

impl From<Warning> for WarningView {
    fn from(warning: Warning) -> Self {
        let message = warning::sentence(texts(Language::En), &warning);
        Self { warning, message }
    }
}

impl MasterView {
    /// Each warning once, and the versions that it is about, as people name them.
    pub fn warned(&self) -> Vec<(String, &Warning)> {
        let mut warned: Vec<(String, &Warning)> = Vec::new();
        for version in &self.versions {
            let name = format!("{}@{}", self.name, version.version);
            for WarningView { warning, .. } in &version.warnings {
                match warned.iter_mut().find(|(_, known)| *known == warning) {
                    Some((names, _)) => *names = format!("{names}, {name}"),
                    None => warned.push((name.clone(), warning)),
                }
            }
        }
        warned
    }
}

async fn list(State(app): State<App>, _: Administrator) -> Result<Json<Vec<MasterView>>, ApiError> {
    Ok(Json(load_views(&app).await?))
}

/// Every master with its versions.
pub async fn load_views(app: &App) -> Result<Vec<MasterView>, MasterError> {
    let mut views = Vec::new();
    for master in master::list(&app.services.pool).await? {
        views.push(with_versions(app, master).await?);
    }
    Ok(views)
}

async fn show(
    State(app): State<App>,
    _: Administrator,
    InPath(name): InPath<String>,
) -> Result<Json<MasterView>, ApiError> {
    Ok(Json(load_view(&app, &name.parse()?).await?))
}

/// One master with its versions.
pub async fn load_view(app: &App, name: &MasterName) -> Result<MasterView, MasterError> {
    let unknown = || MasterError::Unknown { wanted: MasterRef { name: name.clone(), version: None } };
    let master = master::find_by_name(&app.services.pool, name).await?.ok_or_else(unknown)?;
    with_versions(app, master).await
}

/// What was removed, as the API says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemovedView {
    pub name: String,
    pub versions: Vec<VersionNumber>,
}

/// What the person who removes has seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    /// Versions, apart by commas: nothing is removed where others would be.
    versions: Option<String>,
}

/// `NAME@VERSION` removes that version, `NAME` the whole master.
async fn remove(
    State(app): State<App>,
    _: Administrator,
    InPath(wanted): InPath<String>,
    InQuery(query): InQuery<RemoveQuery>,
) -> Result<Json<RemovedView>, ApiError> {
    let shown = query.versions.as_deref().map(parse_versions).transpose()?;
    let Removed { name, versions } = app.services.remove_master(&wanted.parse()?, shown.as_deref()).await?;
    Ok(Json(RemovedView { name: name.to_string(), versions }))
}

/// Reads version numbers that are apart by commas.
pub fn parse_versions(text: &str) -> Result<Vec<VersionNumber>, BadMasterRef> {
    let bad = |part: &str| BadMasterRef::Version { found: part.chars().take(20).collect() };
    text.split(',').map(|part| part.parse().map(VersionNumber).map_err(|_| bad(part))).collect()
}

async fn with_versions(app: &App, master: Master) -> Result<MasterView, MasterError> {
    let mut versions = master::list_versions(&app.services.pool, master.id).await?;
    versions.sort_by_key(|version| std::cmp::Reverse(version.number));
    let provenances = provenance::list(&app.services.pool).await?;
    let view = |version: Version| {
        let from = provenances.get(&(version.master, version.number)).map(ProvenanceView::from);
        VersionView { provenance: from, ..VersionView::from(version) }
    };
    Ok(MasterView {
        id: master.id,
        name: master.name.to_string(),
        description: master.description,
        created: master.created_at,
        versions: versions.into_iter().map(view).collect(),
    })
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        Self {
            version: version.number,
            manifest: version.manifest_root.to_string(),
            created: version.created_at,
            disk_bytes: version.disk_bytes,
            carried_bytes: version.carried_bytes,
            stored_bytes: version.stored_bytes,
            unread_bytes: version.unread_bytes,
            unread_sectors: version.unread_sectors,
            computer: version.computer,
            session: version.session,
            provenance: None,
            warnings: version.warnings.into_iter().map(WarningView::from).collect(),
        }
    }
}

impl From<BadMasterRef> for ApiError {
    fn from(error: BadMasterRef) -> Self {
        let (BadMasterRef::Name { found } | BadMasterRef::Version { found }) = &error;
        let details = json!({ "master": found });
        Self::bad_request("bad_master", error).with_details(details)
    }
}

impl From<MasterError> for ApiError {
    fn from(error: MasterError) -> Self {
        let wanted = match &error {
            MasterError::Unknown { wanted } | MasterError::Removed { wanted } => wanted.to_string(),
            MasterError::UnknownVersion { name, number, .. } => format!("{name}@{number}"),
            _ => return Self::internal(&error),
        };
        let details = json!({ "master": wanted });
        Self::not_found(format!("{error}: `mimeo masters` names them")).with_details(details)
    }
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::InUse { session, sessions, .. } => {
                let advice = format!("wait for its end (`mimeo sessions {session}` shows it), or cancel it");
                Self::conflict("in_use", format!("{error}: {advice}"))
                    .with_details(json!({ "session": session, "sessions": sessions }))
            }
            RemoveError::Changed { .. } => Self::conflict("versions_changed", error),
            RemoveError::Master(error) => error.into(),
            RemoveError::Sessions(error) => SessionError::from(error).into(),
        }
    }
}
