//! What the rest of the house asks of sessions: each request is one transaction, then the events that follow from it.

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    failure::FailureCause,
    ids::{BootId, ComputerId, SessionId, VersionNumber},
    machine::MachineReport,
    manifest::{Manifest, ManifestRoot},
    messages::{DiskPin, Progress},
};
use sqlx::SqlitePool;

use super::{
    DiskChoice, Job, Session, State,
    machine::{Effect, Input, Refused, step},
    plan::{DiskRule, Need, Plan, plan},
    table::{self, PhaseRecord, SessionFilter, TableError},
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
    imaging::master::{self, MasterError, MasterName, MasterRef},
};

/// The sessions. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Sessions {
    pool: SqlitePool,
    events: Events,
}

/// A capture as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCapture {
    /// The master that gets a new version, or is made.
    pub master: MasterName,
    /// How many sectors in use may be unreadable.
    pub tolerate_bad_sectors: BadSectorLimit,
}

/// All that is in use has to be read.
impl From<MasterName> for NewCapture {
    fn from(master: MasterName) -> Self {
        Self { master, tolerate_bad_sectors: BadSectorLimit::NONE }
    }
}

/// The version that a deploy writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployVersion {
    pub master: MasterName,
    pub version: VersionNumber,
    pub root: ManifestRoot,
    pub need: Need,
    /// Whether everything is read back.
    pub verify: bool,
}

impl DeployVersion {
    /// As it is deployed unless somebody wishes otherwise.
    pub fn new(master: MasterName, version: VersionNumber, root: ManifestRoot, manifest: &Manifest) -> Self {
        let need =
            Need::Target { min_bytes: manifest.target_min_bytes(), sector: manifest.disk.logical_sector };
        Self { master, version, root, need, verify: true }
    }
}

/// Why a request about a session was not done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("no disk of the computer will do: {0:?}")]
    Impossible(FailureCause),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Table(#[from] TableError),
    /// The version that a deploy was to write.
    #[error(transparent)]
    Master(#[from] MasterError),
}

impl From<sqlx::Error> for SessionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Table(error.into())
    }
}

impl Sessions {
    pub fn new(pool: SqlitePool, events: Events) -> Self {
        Self { pool, events }
    }

    /// Asks for a disk of this computer to become a new version of a master.
    pub async fn request_capture(
        &self,
        computer: ComputerId,
        report: &MachineReport,
        what: impl Into<NewCapture>,
        rule: Option<DiskRule>,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let NewCapture { master, tolerate_bad_sectors } = what.into();
        let job = Job::Capture { master, tolerate_bad_sectors, published: None };
        self.request(computer, report, job, rule, now).await
    }

    /// Asks for a version to be written to a disk of this computer.
    pub async fn request_deploy(
        &self,
        computer: ComputerId,
        report: &MachineReport,
        what: DeployVersion,
        rule: Option<DiskRule>,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let DeployVersion { master, version, root, need, verify } = what;
        let job = Job::Deploy { master, version, root, need, verify };
        self.request(computer, report, job, rule, now).await
    }

    async fn request(
        &self,
        computer: ComputerId,
        report: &MachineReport,
        job: Job,
        rule: Option<DiskRule>,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let disk = match plan(report, job.need(), rule.as_ref()) {
            Plan::Pinned(pin) => DiskChoice::Pinned(pin),
            Plan::Ask(candidates) => DiskChoice::Asked(candidates),
            Plan::Impossible(cause) => return Err(SessionError::Impossible(cause)),
        };
        let mut session = Session {
            id: SessionId(0),
            computer,
            job,
            rule,
            disk,
            state: State::Waiting,
            phase: None,
            progress: Progress::default(),
            phase_times: Vec::new(),
            attempts: 0,
            boot: None,
            unheard_boots: 0,
            boot_offered: None,
            requested: now,
            started: None,
            ended: None,
        };
        // A version that is being removed is not seen here, or its removal sees the session.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Job::Deploy { master, version, root, .. } = &session.job
            && !master::is_listed(&mut transaction, master, *version, *root).await?
        {
            let wanted = MasterRef { name: master.clone(), version: Some(*version) };
            return Err(MasterError::Removed { wanted }.into());
        }
        session.id = table::insert_session(&mut transaction, &session).await?;
        transaction.commit().await?;
        self.events.emit(Event::SessionRequested { session: session.id, computer });
        if matches!(session.disk, DiskChoice::Asked(_)) {
            self.events.emit(Event::SessionAsked { session: session.id });
        }
        Ok(session)
    }

    pub async fn cancel(&self, id: SessionId, now: Timestamp) -> Result<Session, SessionError> {
        self.step(id, Input::Cancel, now).await
    }

    /// Notes that the session's computer is sent into the client once more. Gives the session as it stands then: it
    /// ends where the client was not heard of too often.
    pub async fn note_boot(&self, id: SessionId, now: Timestamp) -> Result<Session, SessionError> {
        match self.step(id, Input::BootOffered, now).await {
            // It ended in between.
            Err(SessionError::Refused(_)) => self.load(id).await,
            stepped => stepped,
        }
    }

    /// Says which disk is meant. Wakes the client that shows the question.
    pub async fn answer(
        &self,
        id: SessionId,
        disk: DiskPin,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let session = self.step(id, Input::Answer(disk), now).await?;
        self.events.emit(Event::SessionAnswered { session: id, computer: session.computer });
        Ok(session)
    }

    /// Puts an input through the machine. Durable when it returns; the events follow.
    pub async fn step(&self, id: SessionId, input: Input, now: Timestamp) -> Result<Session, SessionError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let session = table::load_session(&mut transaction, id).await?;
        let (session, effects) = step(session, input, now)?;
        table::update_session(&mut transaction, &session, &effects, now).await?;
        transaction.commit().await?;
        for effect in effects {
            if let Effect::Tell(event) = effect {
                self.events.emit(event);
            }
        }
        Ok(session)
    }

    /// Ends the leases that are over. To be called every few seconds.
    pub async fn expire_leases(&self, now: Timestamp) -> Result<(), SessionError> {
        self.step_running(&Input::Tick, now).await
    }

    /// Extends the leases of running sessions once. To be called when the server starts, before the first
    /// [`Sessions::expire_leases`].
    pub async fn resume_after_start(&self, now: Timestamp) -> Result<(), SessionError> {
        self.step_running(&Input::ServerStarted, now).await
    }

    async fn step_running(&self, input: &Input, now: Timestamp) -> Result<(), SessionError> {
        let filter = SessionFilter { open_only: true, ..SessionFilter::default() };
        for session in self.list(filter).await? {
            let concerned = match session.state {
                State::Running { lease_until } => matches!(input, Input::ServerStarted) || lease_until <= now,
                _ => false,
            };
            if concerned {
                match self.step(session.id, input.clone(), now).await {
                    // It ended in between.
                    Ok(_) | Err(SessionError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    pub async fn load(&self, id: SessionId) -> Result<Session, SessionError> {
        Ok(table::load_session(&mut *self.pool.acquire().await?, id).await?)
    }

    pub async fn list(&self, filter: SessionFilter) -> Result<Vec<Session>, SessionError> {
        Ok(table::list_sessions(&self.pool, filter).await?)
    }

    /// The session of this computer that waits or runs.
    pub async fn find_open(&self, computer: ComputerId) -> Result<Option<Session>, SessionError> {
        Ok(table::find_open_session(&self.pool, computer).await?)
    }

    /// The session that this boot works on, or the last one that it did.
    pub async fn find_of_boot(&self, boot: BootId) -> Result<Option<Session>, SessionError> {
        Ok(table::find_session_of_boot(&self.pool, boot).await?)
    }

    /// The newest session of this computer, in whatever state.
    pub async fn find_last(&self, computer: ComputerId) -> Result<Option<Session>, SessionError> {
        Ok(table::find_last_session(&self.pool, computer).await?)
    }

    pub async fn phases(&self, id: SessionId) -> Result<Vec<PhaseRecord>, SessionError> {
        Ok(table::load_phases(&self.pool, id).await?)
    }

    /// How many of a computer's last sessions failed one after the other, counted up to `most`.
    pub async fn failures_in_a_row(&self, computer: ComputerId, most: u32) -> Result<u32, SessionError> {
        Ok(table::failures_in_a_row(&self.pool, computer, most).await?)
    }
}

#[cfg(test)]
mod tests;
