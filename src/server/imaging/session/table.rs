//! The table of sessions.

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    ids::{BootId, ComputerId, SessionId, VersionNumber},
    manifest::ManifestRoot,
    messages::{Phase, Progress},
    units::SectorSize,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{FromRow, SqliteConnection, SqlitePool};

use super::{DiskChoice, Job, Published, Session, State, machine::Effect, plan::Need};
use crate::{clock::Timestamp, imaging::master::MasterName};

/// Ended sessions that a list shows at most: months of a large site, and a page that still loads. Of open ones there
/// are no more than computers.
const LIST_MAX: u32 = 1000;

/// Which sessions a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionFilter {
    pub computer: Option<ComputerId>,
    /// Only those that still wait or run.
    pub open_only: bool,
}

/// When a phase of one attempt began and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseRecord {
    pub attempt: u32,
    pub phase: Phase,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    /// How far the attempt had come when the phase ended.
    pub progress: Option<Progress>,
}

/// Why a session cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("there is no session {0}")]
    Unknown(SessionId),
    #[error("computer {0} has a session already that waits or runs")]
    AlreadyOpen(ComputerId),
    #[error("session {session} has an unreadable {column} in the database: {detail}")]
    Corrupt { session: SessionId, column: &'static str, detail: String },
    #[error("the table of sessions cannot be used")]
    Database(#[from] sqlx::Error),
}

pub async fn load_session(connection: &mut SqliteConnection, id: SessionId) -> Result<Session, TableError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM session WHERE id = ?1").bind(id.0).fetch_optional(connection).await?;
    row.ok_or(TableError::Unknown(id))?.try_into()
}

/// The session of this computer that waits or runs.
pub async fn find_open_session(
    pool: &SqlitePool,
    computer: ComputerId,
) -> Result<Option<Session>, TableError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM session WHERE computer = ?1 AND state IN ('waiting', 'running')")
            .bind(computer.0)
            .fetch_optional(pool)
            .await?;
    row.map(Session::try_from).transpose()
}

/// The session that this boot works on, or the last one that it did.
pub async fn find_session_of_boot(pool: &SqlitePool, boot: BootId) -> Result<Option<Session>, TableError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM session WHERE boot = ?1 ORDER BY id DESC LIMIT 1")
        .bind(boot.0)
        .fetch_optional(pool)
        .await?;
    row.map(Session::try_from).transpose()
}

/// The newest session of this computer, in whatever state.
pub async fn find_last_session(
    pool: &SqlitePool,
    computer: ComputerId,
) -> Result<Option<Session>, TableError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM session WHERE computer = ?1 ORDER BY id DESC LIMIT 1")
            .bind(computer.0)
            .fetch_optional(pool)
            .await?;
    row.map(Session::try_from).transpose()
}

/// The newest first; at most [`LIST_MAX`] where ended ones are among them.
pub async fn list_sessions(pool: &SqlitePool, filter: SessionFilter) -> Result<Vec<Session>, TableError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM session WHERE (?1 IS NULL OR computer = ?1) \
         AND (NOT ?2 OR state IN ('waiting', 'running')) ORDER BY id DESC LIMIT CASE WHEN ?2 THEN -1 ELSE ?3 END",
    )
    .bind(filter.computer.map(|computer| computer.0))
    .bind(filter.open_only)
    .bind(LIST_MAX)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Session::try_from).collect()
}

/// The sessions that wait or run and concern this version, the oldest first; without a version, the whole master. A
/// capture concerns the version that it became, and its master from the start.
pub(in crate::imaging) async fn list_open_sessions_of(
    connection: &mut SqliteConnection,
    master: &MasterName,
    version: Option<VersionNumber>,
) -> Result<Vec<SessionId>, TableError> {
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM session WHERE state IN ('waiting', 'running') AND lower(master) = lower(?1) \
         AND (?2 IS NULL OR version = ?2) ORDER BY id",
    )
    .bind(master.as_str())
    .bind(version.map(|version| version.0))
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// How many of a computer's sessions failed since one of them ended otherwise, counted up to `most`.
pub async fn failures_in_a_row(
    pool: &SqlitePool,
    computer: ComputerId,
    most: u32,
) -> Result<u32, TableError> {
    let states: Vec<String> = sqlx::query_scalar(
        "SELECT state FROM session WHERE computer = ?1 AND ended_ms IS NOT NULL ORDER BY id DESC LIMIT ?2",
    )
    .bind(computer.0)
    .bind(most)
    .fetch_all(pool)
    .await?;
    let failures = states.iter().take_while(|state| *state == "failed").count();
    Ok(u32::try_from(failures).unwrap_or(most))
}

/// The phases of a session in the order in which they began.
pub async fn load_phases(pool: &SqlitePool, session: SessionId) -> Result<Vec<PhaseRecord>, TableError> {
    let rows: Vec<PhaseRow> = sqlx::query_as(
        "SELECT attempt, phase_json, began_ms, ended_ms, progress_json FROM session_phase \
         WHERE session = ?1 ORDER BY rowid",
    )
    .bind(session.0)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let progress = row.progress_json.map(|json| read(session, "progress_json", &json));
            Ok(PhaseRecord {
                attempt: row.attempt,
                phase: read(session, "phase_json", &row.phase_json)?,
                began: Timestamp(row.began_ms),
                ended: row.ended_ms.map(Timestamp),
                progress: progress.transpose()?,
            })
        })
        .collect()
}

/// Adds a session; its id in the value is not used.
pub(super) async fn insert_session(
    connection: &mut SqliteConnection,
    session: &Session,
) -> Result<SessionId, TableError> {
    let (kind, need) = match &session.job {
        Job::Capture { .. } => ("capture", None),
        Job::Deploy { need: Need::Target { min_bytes, sector }, .. } => {
            ("deploy", Some((*min_bytes, *sector)))
        }
        Job::Deploy { need: Need::Source, .. } => ("deploy", None),
    };
    let (tolerate_bad_sectors, verify) = match &session.job {
        Job::Capture { tolerate_bad_sectors, .. } => (*tolerate_bad_sectors, true),
        Job::Deploy { verify, .. } => (BadSectorLimit::NONE, *verify),
    };
    let inserted = sqlx::query_scalar(
        "INSERT INTO session (computer, kind, master, version, manifest_root, target_min_bytes, sector_bytes, \
         disk_rule, disk_json, question_json, state, progress_json, attempts, requested_ms, \
         tolerate_bad_sectors, verify) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'waiting', ?11, 0, ?12, ?13, ?14) RETURNING id",
    )
    .bind(session.computer.0)
    .bind(kind)
    .bind(session.job.master().as_str())
    .bind(version_of(&session.job).map(|published| published.version.0))
    .bind(version_of(&session.job).map(|published| published.root.to_string()))
    .bind(need.map(|(min_bytes, _)| i64::try_from(min_bytes).unwrap_or(i64::MAX)))
    .bind(need.map(|(_, sector)| u32::from(sector)))
    .bind(session.rule.as_ref().map(|rule| rule.as_str()))
    .bind(pinned_json(&session.disk))
    .bind(question_json(&session.disk))
    .bind(json(&session.progress))
    .bind(session.requested.0)
    .bind(u32::from(tolerate_bad_sectors))
    .bind(verify)
    .fetch_one(connection)
    .await;
    match inserted {
        Ok(id) => Ok(SessionId(id)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(TableError::AlreadyOpen(session.computer))
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps a session after a step, and what the step says of its phases.
pub(super) async fn update_session(
    connection: &mut SqliteConnection,
    session: &Session,
    effects: &[Effect],
    now: Timestamp,
) -> Result<(), TableError> {
    let lease_until = match session.state {
        State::Running { lease_until } => Some(lease_until.0),
        _ => None,
    };
    let failure = match &session.state {
        State::Failed(failure) => Some(json(failure)),
        _ => None,
    };
    sqlx::query(
        "UPDATE session SET version = ?2, manifest_root = ?3, disk_json = ?4, question_json = ?5, state = ?6, \
         phase_json = ?7, progress_json = ?8, attempts = ?9, boot = ?10, lease_until_ms = ?11, failure_json = ?12, \
         started_ms = ?13, ended_ms = ?14, unheard_boots = ?15, boot_offered_ms = ?16, \
         phase_times_json = ?17 WHERE id = ?1",
    )
    .bind(session.id.0)
    .bind(version_of(&session.job).map(|published| published.version.0))
    .bind(version_of(&session.job).map(|published| published.root.to_string()))
    .bind(pinned_json(&session.disk))
    .bind(question_json(&session.disk))
    .bind(session.state.name())
    .bind(session.phase.map(|phase| json(&phase)))
    .bind(json(&session.progress))
    .bind(session.attempts)
    .bind(session.boot.map(|boot| boot.0))
    .bind(lease_until)
    .bind(failure)
    .bind(session.started.map(|at| at.0))
    .bind(session.ended.map(|at| at.0))
    .bind(session.unheard_boots)
    .bind(session.boot_offered.map(|at| at.0))
    .bind((!session.phase_times.is_empty()).then(|| json(&session.phase_times)))
    .execute(&mut *connection)
    .await?;
    for effect in effects {
        keep_phase(connection, session, effect, now).await?;
    }
    Ok(())
}

async fn keep_phase(
    connection: &mut SqliteConnection,
    session: &Session,
    effect: &Effect,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let query = match effect {
        Effect::Tell(_) => return Ok(()),
        // A phase that is entered a second time in one attempt goes on where it was.
        Effect::PhaseBegan(phase) => sqlx::query(
            "INSERT INTO session_phase (session, phase_json, began_ms, attempt) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO UPDATE SET ended_ms = NULL",
        )
        .bind(session.id.0)
        .bind(json(phase))
        .bind(now.0)
        .bind(session.attempts),
        Effect::PhaseEnded(phase, progress) => sqlx::query(
            "UPDATE session_phase SET ended_ms = ?3, progress_json = ?4 \
             WHERE session = ?1 AND phase_json = ?2 AND ended_ms IS NULL",
        )
        .bind(session.id.0)
        .bind(json(phase))
        .bind(now.0)
        .bind(json(progress)),
    };
    query.execute(connection).await?;
    Ok(())
}

fn version_of(job: &Job) -> Option<Published> {
    match job {
        Job::Capture { published, .. } => *published,
        Job::Deploy { version, root, .. } => Some(Published { version: *version, root: *root }),
    }
}

fn pinned_json(disk: &DiskChoice) -> Option<String> {
    match disk {
        DiskChoice::Pinned(pin) => Some(json(pin)),
        DiskChoice::Asked(_) => None,
    }
}

fn question_json(disk: &DiskChoice) -> Option<String> {
    match disk {
        DiskChoice::Pinned(_) => None,
        DiskChoice::Asked(candidates) => Some(json(candidates)),
    }
}

fn json<T: Serialize>(value: &T) -> String {
    // The messages' types have text keys and no fallible serialisation.
    serde_json::to_string(value).unwrap_or_else(|error| panic!("writing a message as JSON: {error}"))
}

fn read<T: DeserializeOwned>(session: SessionId, column: &'static str, json: &str) -> Result<T, TableError> {
    serde_json::from_str(json).map_err(|error| TableError::Corrupt {
        session,
        column,
        detail: error.to_string(),
    })
}

#[derive(FromRow)]
struct PhaseRow {
    attempt: u32,
    phase_json: String,
    began_ms: i64,
    ended_ms: Option<i64>,
    progress_json: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    computer: i64,
    kind: String,
    master: String,
    version: Option<u32>,
    manifest_root: Option<String>,
    target_min_bytes: Option<i64>,
    sector_bytes: Option<u32>,
    disk_rule: Option<String>,
    disk_json: Option<String>,
    question_json: Option<String>,
    state: String,
    phase_json: Option<String>,
    progress_json: String,
    attempts: u32,
    boot: Option<i64>,
    unheard_boots: u32,
    boot_offered_ms: Option<i64>,
    lease_until_ms: Option<i64>,
    failure_json: Option<String>,
    requested_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    tolerate_bad_sectors: u32,
    verify: bool,
    phase_times_json: Option<String>,
}

impl Row {
    fn corrupt(&self, column: &'static str, detail: impl ToString) -> TableError {
        TableError::Corrupt { session: SessionId(self.id), column, detail: detail.to_string() }
    }

    fn read<T: DeserializeOwned>(&self, column: &'static str, json: &str) -> Result<T, TableError> {
        read(SessionId(self.id), column, json)
    }

    fn published(&self) -> Result<Option<Published>, TableError> {
        let Some((version, root)) = self.version.zip(self.manifest_root.clone()) else { return Ok(None) };
        let root = ManifestRoot::try_from(root).map_err(|error| self.corrupt("manifest_root", error))?;
        Ok(Some(Published { version: VersionNumber(version), root }))
    }

    fn job(&self) -> Result<Job, TableError> {
        let master = self.master.parse().map_err(|error| self.corrupt("master", error))?;
        let published = self.published()?;
        if self.kind == "capture" {
            let tolerate_bad_sectors = BadSectorLimit::new(self.tolerate_bad_sectors)
                .map_err(|error| self.corrupt("tolerate_bad_sectors", error))?;
            return Ok(Job::Capture { master, tolerate_bad_sectors, published });
        }
        let missing = || self.corrupt("version", "a deploy without a version or what it needs");
        let Published { version, root } = published.ok_or_else(missing)?;
        let (min_bytes, sector) = self.target_min_bytes.zip(self.sector_bytes).ok_or_else(missing)?;
        let sector = SectorSize::new(sector).map_err(|error| self.corrupt("sector_bytes", error))?;
        let need = Need::Target { min_bytes: min_bytes.unsigned_abs(), sector };
        Ok(Job::Deploy { master, version, root, need, verify: self.verify })
    }

    fn disk(&self) -> Result<DiskChoice, TableError> {
        match (&self.disk_json, &self.question_json) {
            (Some(pin), _) => Ok(DiskChoice::Pinned(self.read("disk_json", pin)?)),
            (None, Some(candidates)) => Ok(DiskChoice::Asked(self.read("question_json", candidates)?)),
            (None, None) => Err(self.corrupt("disk_json", "neither a disk nor a question")),
        }
    }

    fn state(&self) -> Result<State, TableError> {
        match (self.state.as_str(), self.lease_until_ms, &self.failure_json) {
            ("waiting", ..) => Ok(State::Waiting),
            ("running", Some(until), _) => Ok(State::Running { lease_until: Timestamp(until) }),
            ("succeeded", ..) => Ok(State::Succeeded),
            ("failed", _, Some(failure)) => Ok(State::Failed(self.read("failure_json", failure)?)),
            ("cancelled", ..) => Ok(State::Cancelled),
            (other, ..) => Err(self.corrupt("state", other)),
        }
    }
}

impl TryFrom<Row> for Session {
    type Error = TableError;

    fn try_from(row: Row) -> Result<Self, TableError> {
        let rule = row.disk_rule.as_deref().map(str::parse).transpose();
        let times = row.phase_times_json.as_deref().map(|times| row.read("phase_times_json", times));
        Ok(Self {
            id: SessionId(row.id),
            computer: ComputerId(row.computer),
            job: row.job()?,
            rule: rule.map_err(|error| row.corrupt("disk_rule", error))?,
            disk: row.disk()?,
            state: row.state()?,
            phase: row.phase_json.as_deref().map(|phase| row.read("phase_json", phase)).transpose()?,
            progress: row.read("progress_json", &row.progress_json)?,
            phase_times: times.transpose()?.unwrap_or_default(),
            attempts: row.attempts,
            boot: row.boot.map(BootId),
            unheard_boots: row.unheard_boots,
            boot_offered: row.boot_offered_ms.map(Timestamp),
            requested: Timestamp(row.requested_ms),
            started: row.started_ms.map(Timestamp),
            ended: row.ended_ms.map(Timestamp),
        })
    }
}
