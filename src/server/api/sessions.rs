//! Captures and deploys: as they stand, and what people ask of them.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use mimeo_core::{
    bad_sectors::BadSectorLimit,
    failure::Failure,
    ids::{ComputerId, SessionId, VersionNumber},
    machine::PartitionReport,
    messages::{DiskPin, Language, Phase, Progress, phase_seconds},
    text::{failure::sentence, texts},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    error::ApiError,
    extract::{Administrator, Body, InPath, InQuery},
    masters::WarningView,
};
use crate::{
    app::App,
    clock::Timestamp,
    imaging::{
        master::{MasterName, MasterRef, load_version},
        session::{
            DiskChoice, Job, Session, State as SessionState,
            machine::Refused,
            plan::{DiskRule, ErasePreview, Plan},
            requests::{NewCapture, SessionError},
            shown::Shown,
            table::{PhaseRecord, SessionFilter, TableError},
        },
    },
    inventory::computer::{self, Computer},
    wiring::requests::{NewDeploy, RequestError},
};

pub fn router() -> Router<App> {
    Router::new()
        .route("/sessions", get(list).post(request))
        .route("/sessions/preview", post(preview))
        .route("/sessions/{session}", get(show))
        .route("/sessions/{session}/cancel", post(cancel))
        .route("/sessions/{session}/answer", post(answer))
}

/// What is to be done to one computer. `disk` is a serial number or a WWN; without it, the only disk is meant.
/// With `shown`, as the preview gave it, the request is refused where the disks are not those of the preview.
///
/// A key that nobody knows is refused: a mistyped `disk` must not mean "whichever there is".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum SessionRequest {
    Capture {
        /// Name or id.
        computer: String,
        /// The master that gets a new version, or is made.
        master: String,
        disk: Option<String>,
        shown: Option<Shown>,
        /// How many sectors in use may be unreadable; zeros stand for them.
        #[serde(default)]
        tolerate_bad_sectors: BadSectorLimit,
    },
    Deploy {
        /// Name or id.
        computer: String,
        /// `NAME`, or `NAME@VERSION`.
        master: String,
        disk: Option<String>,
        shown: Option<Shown>,
        /// Whether everything is read back and compared once it is written.
        #[serde(default = "yes")]
        verify: bool,
    },
}

fn yes() -> bool {
    true
}

/// What a request would do, before anybody asks for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionPreview {
    pub kind: JobKind,
    pub computer: ComputerId,
    pub computer_name: String,
    pub master: String,
    /// Which version a deploy would write.
    pub version: Option<VersionNumber>,
    /// What of that could not be read when it was captured.
    #[serde(default)]
    pub unread_sectors: u64,
    #[serde(default)]
    pub unread_bytes: u64,
    /// What whoever deploys it should know first.
    #[serde(default)]
    pub warnings: Vec<WarningView>,
    /// The disk that is meant. More than one: a person has to say which, by serial number or WWN.
    pub disks: Vec<DiskPreview>,
    /// To be sent with the request, which is then refused if the disks are others by then.
    pub shown: Shown,
}

/// A disk and what stands on it. A deploy erases all of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct DiskPreview {
    /// What the computer called it when it was last seen, for people only.
    pub kernel_name: String,
    #[serde(flatten)]
    pub pin: DiskPin,
    pub partitions: Vec<PartitionReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Capture,
    Deploy,
}

/// A session as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionView {
    pub id: SessionId,
    pub kind: JobKind,
    pub computer: ComputerId,
    pub computer_name: String,
    pub master: String,
    /// Deploy: what is written. Capture: what it became, once that is sure.
    pub version: Option<VersionNumber>,
    /// `waiting`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The last phase that the client was in.
    pub phase: Option<Phase>,
    pub progress: Progress,
    /// How many seconds went into each phase of the last attempt, once it is over.
    #[serde(default)]
    pub phase_seconds: BTreeMap<Phase, f64>,
    /// Deploy: whether everything is read back.
    #[serde(default)]
    pub verify: Option<bool>,
    /// The disk that is meant.
    pub disk: Option<DiskPin>,
    /// Where a person has to choose first: the disks that could be meant.
    pub question: Vec<DiskPin>,
    pub failure: Option<Failure>,
    pub attempts: u32,
    pub requested: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

/// A session with the times of its phases.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionDetails {
    #[serde(flatten)]
    pub session: SessionView,
    pub phases: Vec<PhaseView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PhaseView {
    pub attempt: u32,
    pub phase: Phase,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub progress: Option<Progress>,
}

/// Which sessions are listed.
#[derive(Debug, Deserialize)]
struct ListQuery {
    /// Only those that wait or run.
    #[serde(default)]
    open: bool,
    /// Only those of this computer, by name or id.
    computer: Option<String>,
}

/// Which of the disks in question is meant.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerRequest {
    pub disk: DiskPin,
}

async fn list(
    State(app): State<App>,
    _: Administrator,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Vec<SessionView>>, ApiError> {
    let computer = match &query.computer {
        Some(name_or_id) => Some(computer::load_named_computer(&app.services.pool, name_or_id).await?.id),
        None => None,
    };
    Ok(Json(load_views(&app, SessionFilter { computer, open_only: query.open }).await?))
}

/// The sessions that a list shows, with their computers' names.
pub async fn load_views(app: &App, filter: SessionFilter) -> Result<Vec<SessionView>, RequestError> {
    let sessions = app.services.sessions.list(filter).await?;
    let computers = computer::list_computers(&app.services.pool).await?;
    let name_of =
        |id| computers.iter().find(|computer| computer.id == id).map(|computer| computer.name.to_string());
    let views = sessions.into_iter().map(|session| {
        let name = name_of(session.computer).unwrap_or_else(|| session.computer.to_string());
        SessionView::new(session, name)
    });
    Ok(views.collect())
}

async fn show(
    State(app): State<App>,
    _: Administrator,
    InPath(id): InPath<SessionId>,
) -> Result<Json<SessionDetails>, ApiError> {
    Ok(Json(load_details(&app, id).await?))
}

/// A session with the times of its phases.
pub async fn load_details(app: &App, id: SessionId) -> Result<SessionDetails, RequestError> {
    let session = view(app, app.services.sessions.load(id).await?).await?;
    let phases = app.services.sessions.phases(id).await?.into_iter().map(PhaseView::from).collect();
    Ok(SessionDetails { session, phases })
}

async fn preview(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<SessionRequest>,
) -> Result<Json<SessionPreview>, ApiError> {
    let computer = computer_of(&app, &request).await?;
    let rule = rule_of(&request)?;
    let (mut unread, mut warnings) = ((0, 0), Vec::new());
    let (kind, master, version, plan, disks) = match &request {
        SessionRequest::Capture { master, .. } => {
            let name: MasterName = master.parse()?;
            let preview = app.services.preview_capture(computer.id, rule.as_ref()).await?;
            (JobKind::Capture, name, None, preview.plan, preview.disks)
        }
        SessionRequest::Deploy { master, .. } => {
            let preview = app.services.preview_deploy(computer.id, &master.parse()?, rule.as_ref()).await?;
            let version = preview.version;
            let wanted = MasterRef { name: version.master.clone(), version: Some(version.version) };
            let listed = load_version(&app.services.pool, &wanted).await?.1;
            unread = (listed.unread_sectors, listed.unread_bytes);
            warnings = listed.warnings.into_iter().map(WarningView::from).collect();
            (JobKind::Deploy, version.master, Some(version.version), preview.plan, preview.disks)
        }
    };
    if let Plan::Impossible(cause) = plan {
        return Err(SessionError::Impossible(cause).into());
    }
    Ok(Json(SessionPreview {
        kind,
        computer: computer.id,
        computer_name: computer.name.to_string(),
        master: master.to_string(),
        version,
        unread_sectors: unread.0,
        unread_bytes: unread.1,
        warnings,
        shown: Shown::of(&disks),
        disks: disks.into_iter().map(DiskPreview::from).collect(),
    }))
}

async fn request(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<SessionRequest>,
) -> Result<(StatusCode, Json<SessionView>), ApiError> {
    let computer = computer_of(&app, &request).await?;
    let rule = rule_of(&request)?;
    let now = Timestamp::now();
    let session = match &request {
        SessionRequest::Capture { master, shown, tolerate_bad_sectors, .. } => {
            let tolerate_bad_sectors = *tolerate_bad_sectors;
            let what = NewCapture { master: master.parse()?, tolerate_bad_sectors };
            app.services.request_capture(computer.id, what, rule, shown.as_ref(), now).await?
        }
        SessionRequest::Deploy { master, shown, verify, .. } => {
            let master: MasterRef = master.parse()?;
            let what = NewDeploy { master: &master, verify: *verify };
            app.services.request_deploy(computer.id, what, rule, shown.as_ref(), now).await?
        }
    };
    Ok((StatusCode::CREATED, Json(SessionView::new(session, computer.name.to_string()))))
}

async fn cancel(
    State(app): State<App>,
    _: Administrator,
    InPath(id): InPath<SessionId>,
) -> Result<Json<SessionView>, ApiError> {
    Ok(Json(view(&app, app.services.sessions.cancel(id, Timestamp::now()).await?).await?))
}

async fn answer(
    State(app): State<App>,
    _: Administrator,
    InPath(id): InPath<SessionId>,
    Body(answer): Body<AnswerRequest>,
) -> Result<Json<SessionView>, ApiError> {
    Ok(Json(view(&app, app.services.sessions.answer(id, answer.disk, Timestamp::now()).await?).await?))
}

async fn computer_of(app: &App, request: &SessionRequest) -> Result<Computer, ApiError> {
    let (SessionRequest::Capture { computer, .. } | SessionRequest::Deploy { computer, .. }) = request;
    Ok(computer::load_named_computer(&app.services.pool, computer).await?)
}

fn rule_of(request: &SessionRequest) -> Result<Option<DiskRule>, ApiError> {
    let (SessionRequest::Capture { disk, .. } | SessionRequest::Deploy { disk, .. }) = request;
    let rule = disk.as_deref().map(str::parse).transpose();
    rule.map_err(|error| ApiError::bad_request("bad_disk", error))
}

async fn view(app: &App, session: Session) -> Result<SessionView, RequestError> {
    let computer = computer::load_computer(&app.services.pool, session.computer).await?;
    Ok(SessionView::new(session, computer.name.to_string()))
}

impl SessionView {
    fn new(session: Session, computer_name: String) -> Self {
        let (kind, version, verify) = match &session.job {
            Job::Capture { published, .. } => {
                (JobKind::Capture, published.map(|published| published.version), None)
            }
            Job::Deploy { version, verify, .. } => (JobKind::Deploy, Some(*version), Some(*verify)),
        };
        let (disk, question) = match session.disk {
            DiskChoice::Pinned(pin) => (Some(pin), Vec::new()),
            DiskChoice::Asked(candidates) => (None, candidates),
        };
        Self {
            id: session.id,
            kind,
            computer: session.computer,
            computer_name,
            master: session.job.master().to_string(),
            version,
            state: session.state.name().to_owned(),
            phase: session.phase,
            progress: session.progress,
            phase_seconds: phase_seconds(&session.phase_times),
            verify,
            disk,
            question,
            failure: match session.state {
                SessionState::Failed(failure) => Some(failure),
                _ => None,
            },
            attempts: session.attempts,
            requested: session.requested,
            started: session.started,
            ended: session.ended,
        }
    }
}

impl From<PhaseRecord> for PhaseView {
    fn from(record: PhaseRecord) -> Self {
        let PhaseRecord { attempt, phase, began, ended, progress } = record;
        Self { attempt, phase, began, ended, progress }
    }
}

impl From<ErasePreview> for DiskPreview {
    fn from(disk: ErasePreview) -> Self {
        Self { kernel_name: disk.kernel_name, pin: disk.pin, partitions: disk.partitions }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Computer(error) => error.into(),
            RequestError::Master(error) => error.into(),
            RequestError::Session(error) => error.into(),
            RequestError::DisksChanged => Self::conflict("disks_changed", error),
            RequestError::Store(_) | RequestError::Manifest { .. } => Self::internal(&error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Impossible(cause) => {
                let message = sentence(texts(Language::En), &cause);
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no_disk", message).with_details(json!(cause))
            }
            SessionError::Refused(refused) => {
                let details = json!({ "reason": reason(&refused) });
                Self::conflict("not_now", refused).with_details(details)
            }
            SessionError::Master(error) => error.into(),
            SessionError::Table(error) => match &error {
                TableError::Unknown(id) => {
                    let details = json!({ "session": id });
                    Self::not_found(format!("{error}: `mimeo sessions` names them")).with_details(details)
                }
                TableError::AlreadyOpen(computer) => {
                    let advice = "wait for its end (`mimeo sessions --watch`), or cancel it";
                    let details = json!({ "computer": computer });
                    Self::conflict("computer_busy", format!("{error}: {advice}")).with_details(details)
                }
                _ => Self::internal(&error),
            },
        }
    }
}

/// Why something cannot happen to a session now, as a word for programs.
fn reason(refused: &Refused) -> &'static str {
    match refused {
        Refused::Ended { .. } => "ended",
        Refused::NotAsked | Refused::NotACandidate => "not_asked",
        Refused::OtherBoot => "other_boot",
        Refused::NotRunning => "not_running",
        Refused::NotACapture | Refused::PublishedOtherwise(_) => "published",
    }
}
