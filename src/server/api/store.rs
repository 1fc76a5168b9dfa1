//! The store: what it holds, and work on the whole of it.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use mimeo_core::ids::VersionNumber;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    carry::CarriedView,
    error::ApiError,
    extract::{Administrator, Body, InQuery},
};
use crate::{
    app::App,
    clock::Timestamp,
    imaging::{
        master::MasterRef,
        store::{StoreStats, collect::Collected, error::Damage, index::UnreadablePack},
        upkeep::{
            audit::{Audit, BrokenVersion},
            census::{self, Census, CensusError, VersionFigures},
            jobs::{Busy, Job, JobKind, Outcome, StoreWork},
        },
    },
};

pub fn router() -> Router<App> {
    Router::new()
        .route("/store", get(show))
        .route("/store/job", get(job))
        .route("/store/gc", post(collect))
        .route("/store/verify", post(verify))
}

/// What the store holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoreView {
    pub chunks: u64,
    pub packs: u64,
    /// Length of all packs.
    pub pack_bytes: u64,
    /// Of that, what some version needs.
    pub needed_bytes: u64,
    /// What the disks of all versions hold, each for itself and uncompressed.
    pub content_bytes: u64,
    /// How many times smaller the store is than that; `null` while there is no version.
    pub ratio: Option<f64>,
    /// Room on the store's disk; `null` where it has no limit.
    pub free_bytes: Option<u64>,
    /// Chunks that were here and are lost.
    pub damaged_chunks: u64,
    pub unreadable_packs: Vec<DamagedPackView>,
    /// In the order in which they were captured.
    pub versions: Vec<VersionFiguresView>,
}

/// What one version takes in the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct VersionFiguresView {
    pub master: String,
    pub version: VersionNumber,
    /// What its disk holds, uncompressed and without zeros.
    pub content_bytes: u64,
    /// What no version had that was captured before and is still there.
    pub new_bytes: u64,
    pub shared_bytes: u64,
    /// What removing it would free.
    pub own_bytes: u64,
    pub ratio: Option<f64>,
    /// Chunks that the store has lost.
    pub lost_chunks: u64,
    /// Its manifest is lost.
    pub without_manifest: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DamagedPackView {
    pub pack: String,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKindView {
    Gc,
    Verify,
    Copy,
    TakeIn,
}

/// Work on the whole store, as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobView {
    pub id: u64,
    pub kind: JobKindView,
    pub dry_run: bool,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub done_bytes: u64,
    /// 0 until it is known.
    pub total_bytes: u64,
    /// Why it did not come to its end.
    pub error: Option<String>,
    /// What a collection freed or, as a dry run, would free.
    pub collected: Option<CollectedView>,
    /// What a verification found.
    pub found: Option<FoundView>,
    /// The versions that a copy or a take-in was asked for.
    #[serde(default)]
    pub carried: Option<Vec<CarriedView>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CollectedView {
    pub freed_bytes: u64,
    pub removed_packs: u64,
    /// Packs of which something is needed: that was copied.
    pub rewritten_packs: u64,
    pub copied_bytes: u64,
    pub removed_manifests: u64,
    /// Chunks that versions need and the store has lost.
    pub lost_chunks: u64,
    pub damaged: Vec<DamagedChunkView>,
    /// There was no room to copy what is needed of the packs that are left.
    pub out_of_room: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FoundView {
    pub read_bytes: u64,
    pub proved_chunks: u64,
    pub damaged_chunks: u64,
    /// The first of them.
    pub damaged: Vec<DamagedChunkView>,
    /// Packs whose footer was lost, which cost nothing: they were written anew.
    #[serde(default)]
    pub rewritten_packs: u64,
    pub unreadable_packs: Vec<DamagedPackView>,
    /// The versions that cannot be deployed any more.
    pub broken: Vec<BrokenVersionView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DamagedChunkView {
    pub chunk: String,
    pub pack: String,
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BrokenVersionView {
    pub master: String,
    pub version: Option<VersionNumber>,
    pub lost_chunks: u64,
    pub first_lost: Option<String>,
    pub without_manifest: bool,
}

/// How a collection is to go.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectRequest {
    /// Count what would go, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Compress again what stays and was compressed in a hurry.
    #[serde(default)]
    pub recompress: bool,
}

async fn show(State(app): State<App>, _: Administrator) -> Result<Json<StoreView>, ApiError> {
    Ok(Json(load_view(&app).await?))
}

/// What the store holds, counted from all manifests.
pub async fn load_view(app: &App) -> Result<StoreView, CensusError> {
    let census = census::count(&app.services.store, &app.services.pool).await?;
    let stats = app.services.store.stats().await?;
    Ok(StoreView::new(stats, census))
}

/// Which job is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobQuery {
    id: Option<u64>,
}

/// The job with this id, as long as it is remembered; without one, the job that was begun last since the server started.
async fn job(
    State(app): State<App>,
    _: Administrator,
    InQuery(JobQuery { id }): InQuery<JobQuery>,
) -> Result<Json<JobView>, ApiError> {
    let jobs = &app.services.jobs;
    let found = match id {
        Some(id) => {
            jobs.find(id).ok_or_else(|| ApiError::not_found(format!("there is no job {id} any more")))
        }
        None => jobs
            .last()
            .ok_or_else(|| ApiError::not_found("no work on the store was begun since the server started")),
    };
    Ok(Json(found?.into()))
}

async fn collect(
    State(app): State<App>,
    _: Administrator,
    Body(CollectRequest { dry_run, recompress }): Body<CollectRequest>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    start(&app, StoreWork::Collect { dry_run, recompress })
}

async fn verify(State(app): State<App>, _: Administrator) -> Result<(StatusCode, Json<JobView>), ApiError> {
    start(&app, StoreWork::Verify)
}

fn start(app: &App, work: StoreWork) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let job = app.services.jobs.start(work, Timestamp::now())?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// How many times smaller something is than what it holds.
fn ratio(content_bytes: u64, stored_bytes: u64) -> Option<f64> {
    // Nobody needs more than the first digits of a ratio.
    (stored_bytes > 0).then(|| content_bytes as f64 / stored_bytes as f64)
}

impl StoreView {
    fn new(stats: StoreStats, census: Census) -> Self {
        let StoreStats { chunks, packs, pack_bytes, damaged_chunks, unreadable_packs, free_bytes } = stats;
        let content_bytes = census.content_bytes();
        let Census { versions, needed_bytes } = census;
        Self {
            chunks,
            packs,
            pack_bytes,
            needed_bytes,
            content_bytes,
            ratio: ratio(content_bytes, needed_bytes),
            free_bytes,
            damaged_chunks,
            unreadable_packs: unreadable_packs.into_iter().map(DamagedPackView::from).collect(),
            versions: versions.into_iter().map(VersionFiguresView::from).collect(),
        }
    }
}

impl From<VersionFigures> for VersionFiguresView {
    fn from(figures: VersionFigures) -> Self {
        let VersionFigures { version: MasterRef { name, version }, content_bytes, .. } = figures;
        let VersionFigures { new_bytes, shared_bytes, own_bytes, lost_chunks, unreadable, .. } = figures;
        Self {
            master: name.to_string(),
            // A version that is listed has its number.
            version: version.unwrap_or(VersionNumber(0)),
            content_bytes,
            new_bytes,
            shared_bytes,
            own_bytes,
            ratio: ratio(content_bytes, new_bytes + shared_bytes),
            lost_chunks,
            without_manifest: unreadable,
        }
    }
}

impl From<UnreadablePack> for DamagedPackView {
    fn from(UnreadablePack { pack, error }: UnreadablePack) -> Self {
        Self { pack: pack.to_string(), reason: error.to_string() }
    }
}

impl From<Damage> for DamagedChunkView {
    fn from(Damage { chunk, pack, detail }: Damage) -> Self {
        Self { chunk: chunk.to_string(), pack: pack.to_string(), reason: detail }
    }
}

impl From<BrokenVersion> for BrokenVersionView {
    fn from(broken: BrokenVersion) -> Self {
        let BrokenVersion { version: MasterRef { name, version }, .. } = broken;
        Self {
            master: name.to_string(),
            version,
            lost_chunks: broken.lost_chunks,
            first_lost: broken.first_lost.map(|chunk| chunk.to_string()),
            without_manifest: broken.without_manifest,
        }
    }
}

impl From<JobKind> for JobKindView {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::Collect { .. } => Self::Gc,
            JobKind::Verify => Self::Verify,
            JobKind::Copy => Self::Copy,
            JobKind::TakeIn => Self::TakeIn,
        }
    }
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let dry_run = matches!(job.kind, JobKind::Collect { dry_run: true, .. });
        let kind = JobKindView::from(job.kind);
        let (ended, outcome) = job.ended.unzip();
        let (mut error, mut collected, mut found, mut carried) = (None, None, None, None);
        match outcome {
            Some(Outcome::Failed(why)) => error = Some(why),
            Some(Outcome::Collected(what)) => collected = Some(what.into()),
            Some(Outcome::Audited(what)) => found = Some(what.into()),
            Some(Outcome::Carried(what)) => carried = Some(what.into_iter().map(CarriedView::from).collect()),
            None => {}
        }
        let Job { id, began, done_bytes, total_bytes, .. } = job;
        Self { id, kind, dry_run, began, ended, done_bytes, total_bytes, error, collected, found, carried }
    }
}

impl From<Collected> for CollectedView {
    fn from(collected: Collected) -> Self {
        Self {
            freed_bytes: collected.freed_bytes,
            removed_packs: collected.removed_packs,
            rewritten_packs: collected.rewritten_packs,
            copied_bytes: collected.copied_bytes,
            removed_manifests: collected.removed_manifests,
            lost_chunks: collected.lost_chunks,
            damaged: collected.damaged.into_iter().map(DamagedChunkView::from).collect(),
            out_of_room: collected.out_of_room,
        }
    }
}

impl From<Audit> for FoundView {
    fn from(audit: Audit) -> Self {
        Self {
            read_bytes: audit.read_bytes,
            proved_chunks: audit.proved_chunks,
            damaged_chunks: audit.damaged_chunks,
            damaged: audit.damaged.into_iter().map(DamagedChunkView::from).collect(),
            rewritten_packs: audit.rewritten_packs,
            unreadable_packs: audit.unreadable_packs.into_iter().map(DamagedPackView::from).collect(),
            broken: audit.broken.into_iter().map(BrokenVersionView::from).collect(),
        }
    }
}

impl From<Busy> for ApiError {
    fn from(busy: Busy) -> Self {
        let kind = JobKindView::from(busy.0);
        Self::conflict("store_busy", format!("{busy}: wait for its end"))
            .with_details(json!({ "kind": kind }))
    }
}

impl From<CensusError> for ApiError {
    fn from(error: CensusError) -> Self {
        Self::internal(&error)
    }
}
