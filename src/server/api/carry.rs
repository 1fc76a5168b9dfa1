//! Versions on their way to and from libraries on disks of this machine. Such a request names a folder here, so it has to
//! come from somebody who is here: root, through the local socket.

use std::path::PathBuf;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use mimeo_core::{causes::causes, ids::VersionNumber};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    error::ApiError,
    extract::{Administrator, Body},
    store::JobView,
};
use crate::{
    app::App,
    auth::Peer,
    clock::Timestamp,
    events::Event,
    imaging::{
        copy::{Copied, CopyProgress},
        library::{Library, LibraryError},
        master::{self, MasterRef},
        provenance::{BadFingerprint, Fingerprint, Provenance},
        take_in::{self, Offer, TakeInError, Taken},
        upkeep::jobs::{JobKind, Outcome},
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/store/copy", post(copy)).route("/store/take-in", post(take_in))
}

/// Copies versions into a library elsewhere.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyRequest {
    /// `NAME` for the latest version, `NAME@VERSION` for a certain one.
    pub masters: Vec<String>,
    /// The folder of the library, made where there is none. Absolute.
    pub to: PathBuf,
}

/// Takes versions of another library in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeInRequest {
    /// The folder of the library. Absolute.
    pub from: PathBuf,
    /// As in [`CopyRequest`]; empty for all that it holds.
    #[serde(default)]
    pub masters: Vec<String>,
    /// Fingerprints that a person has compared.
    #[serde(default)]
    pub trust: Vec<String>,
}

/// What became of one version.
#[derive(Debug, Serialize, Deserialize)]
pub struct CarriedView {
    pub master: String,
    /// Its number in the library that it came from.
    pub from: VersionNumber,
    /// Its number in the library that it went to.
    pub version: VersionNumber,
    /// The hash that names everything in it.
    pub manifest: String,
    /// It was there before, and nothing was written.
    pub already_there: bool,
    /// Chunks that were written, and what the library grew by.
    pub chunks: u64,
    pub stored_bytes: u64,
    pub provenance: ProvenanceView,
}

/// Where a version was captured that came from another library.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProvenanceView {
    /// The name that the library gives itself.
    pub library: String,
    /// Of its key.
    pub fingerprint: String,
    /// As it calls the version.
    pub master: String,
    pub version: VersionNumber,
    pub captured: Timestamp,
}

async fn copy(
    State(app): State<App>,
    who: Administrator,
    Body(CopyRequest { masters, to }): Body<CopyRequest>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    require_presence(&who, &to)?;
    let shelf = app.services.shelf.clone();
    let wanted = parse(&masters)?;
    if wanted.is_empty() {
        return Err(ApiError::bad_request("bad_master", "no master is named that is to be copied"));
    }
    let versions = take_in::find_versions(&shelf, &wanted).await?;
    let into = Library::make(&to).await?;
    let job = app.services.jobs.start_with(JobKind::Copy, Timestamp::now(), async move |progress| {
        let note = |_: &Offer, seen: CopyProgress| progress.note_copy(seen);
        let done = take_in::give(&shelf, versions, &into.shelf, &note).await;
        into.close().await;
        outcome(done)
    })?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Refused with `untrusted` and the fingerprint where a person has to compare it first.
async fn take_in(
    State(app): State<App>,
    who: Administrator,
    Body(TakeInRequest { from, masters, trust }): Body<TakeInRequest>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    require_presence(&who, &from)?;
    let shelf = app.services.shelf.clone();
    let wanted = parse(&masters)?;
    let trusted = trust.iter().map(|text| text.parse()).collect::<Result<Vec<Fingerprint>, _>>()?;
    let library = Library::open_foreign(&from).await?;
    let offers = take_in::look(&library.shelf, &wanted).await?;
    take_in::check_trust(&offers, &shelf, &trusted).await?;
    let jobs = app.services.jobs.clone();
    let job = jobs.start_with(JobKind::TakeIn, Timestamp::now(), async move |progress| {
        let note = |_: &Offer, seen: CopyProgress| progress.note_copy(seen);
        let done = take_in::take_in(&library.shelf, offers, &shelf, &trusted, &note).await;
        library.close().await;
        tell_of_new(&app, done.as_deref().unwrap_or_default()).await;
        outcome(done)
    })?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Tells whoever listens of versions that were not there before.
async fn tell_of_new(app: &App, taken: &[Taken]) {
    for Taken { offer, copied } in taken {
        let Copied::Listed { number, .. } = *copied else { continue };
        // A master that is gone already needs nobody to know that it came.
        if let Ok(Some(master)) = master::find_by_name(&app.services.pool, &offer.listed.name).await {
            let name = master.name.to_string();
            app.services.events.emit(Event::VersionPublished { master: master.id, name, version: number });
        }
    }
}

fn outcome(done: Result<Vec<Taken>, TakeInError>) -> Outcome {
    match done {
        Ok(taken) => Outcome::Carried(taken),
        Err(error) => {
            let why = causes(&error);
            tracing::error!(error = why, "versions could not be carried");
            Outcome::Failed(why)
        }
    }
}

/// Whoever names a folder of this machine is at it, and names it so that it does not depend on where they stand.
fn require_presence(who: &Administrator, folder: &std::path::Path) -> Result<(), ApiError> {
    if who.peer != Peer::Local {
        let message = "only root on the appliance itself may name folders of it: use `mimeo masters` there";
        return Err(ApiError::forbidden("local_only", message));
    }
    if !folder.is_absolute() {
        let message = format!("the folder {} is not absolute", folder.display());
        return Err(ApiError::bad_request("bad_folder", message));
    }
    Ok(())
}

fn parse(masters: &[String]) -> Result<Vec<MasterRef>, ApiError> {
    Ok(masters.iter().map(|name| name.parse()).collect::<Result<_, _>>()?)
}

impl From<Taken> for CarriedView {
    fn from(Taken { offer: Offer { listed, provenance }, copied }: Taken) -> Self {
        let (number, already_there, chunks, stored_bytes) = match copied {
            Copied::Listed { number, chunks, stored_bytes } => (number, false, chunks, stored_bytes),
            Copied::AlreadyThere { number } => (number, true, 0, 0),
        };
        Self {
            master: listed.name.to_string(),
            from: listed.version.number,
            version: number,
            manifest: listed.version.manifest_root.to_string(),
            already_there,
            chunks,
            stored_bytes,
            provenance: (&provenance).into(),
        }
    }
}

impl From<&Provenance> for ProvenanceView {
    fn from(provenance: &Provenance) -> Self {
        Self {
            library: provenance.library.clone(),
            fingerprint: provenance.fingerprint().to_string(),
            master: provenance.master.to_string(),
            version: provenance.number,
            captured: provenance.captured_at,
        }
    }
}

impl From<BadFingerprint> for ApiError {
    fn from(error: BadFingerprint) -> Self {
        Self::bad_request("bad_fingerprint", error)
    }
}

impl From<LibraryError> for ApiError {
    fn from(error: LibraryError) -> Self {
        let (word, folder) = match &error {
            LibraryError::None { folder } => ("no_library", folder),
            LibraryError::NotEmpty { folder } => ("not_empty", folder),
            LibraryError::InUse { folder } => ("library_in_use", folder),
            LibraryError::Folder { path, .. } | LibraryError::Link { path } => ("unusable_folder", path),
            error => return Self::conflict("unusable_library", causes(error)),
        };
        Self::conflict(word, causes(&error)).with_details(json!({ "folder": folder }))
    }
}

impl From<TakeInError> for ApiError {
    fn from(error: TakeInError) -> Self {
        let message = causes(&error);
        match error {
            TakeInError::Untrusted { library, fingerprint } => {
                let details = json!({ "library": library, "fingerprint": fingerprint.to_string() });
                Self::conflict("untrusted", message).with_details(details)
            }
            TakeInError::NotGenuine { version, library } => Self::conflict("not_genuine", message)
                .with_details(json!({ "version": version.to_string(), "library": library })),
            TakeInError::AnotherName { version, signed } => Self::conflict("another_name", message)
                .with_details(json!({ "version": version.to_string(), "signed": signed.to_string() })),
            TakeInError::Copy { .. } => Self::conflict("not_copied", message),
            TakeInError::Master(error) => error.into(),
        }
    }
}
