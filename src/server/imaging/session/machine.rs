//! What becomes of a session when something happens to it. Pure: the caller keeps the result and tells the effects.

use std::time::Duration;

use mimeo_core::{
    failure::{Failure, FailureCause},
    ids::BootId,
    messages::{DiskPin, Heartbeat, Outcome, Phase, Progress},
};

use super::{DiskChoice, Job, Published, Session, State, plan::Plan};
use crate::{clock::Timestamp, events::Event};

/// How long a client is believed to live after its last sign of life: fifteen heartbeats, so that neither a switch
/// that relearns its ports nor a disk that stalls ends a session, and short enough that a person who pulled the plug
/// sees it in the page.
pub const LEASE: Duration = Duration::from_secs(30);

/// What running sessions get when the server starts: it was away, so their silence says nothing yet. Longer than the
/// longest pause between two tries of a client.
pub const START_GRACE: Duration = Duration::from_secs(60);

/// How many boots may begin to work on one session. A computer that dies three times in the same work has a defect
/// that a fourth time would not mend, and would be erased again at every start.
pub const ATTEMPTS_MAX: u32 = 3;

/// How many boots in a row may be sent into the client without a word from it. Its driver, its network or its trust
/// in us fails there, which a further boot will not mend. More than [`ATTEMPTS_MAX`], because nothing is erased by such
/// a boot, and somebody may switch a computer off and on again out of impatience.
pub const UNHEARD_BOOTS_MAX: u32 = 5;

/// Boot scripts asked for within this of each other are of one boot, which asks for several. A client that cannot go
/// on shows why for two minutes before it restarts, so a boot that fails is counted each time.
pub const BOOT_SPAN: Duration = Duration::from_secs(60);

/// Something that happens to a session.
#[derive(Debug, Clone)]
pub enum Input {
    /// The session's computer is given a boot script that starts the client.
    BootOffered,
    /// A client asks for its orders. `plan` is what its fresh report makes of the choice of the disk.
    Begin {
        boot: BootId,
        plan: Plan,
    },
    /// A sign of life.
    Heartbeat {
        boot: BootId,
        heartbeat: Heartbeat,
    },
    /// Any other request about the session that takes long, which shows life as well.
    Alive {
        boot: BootId,
    },
    /// The capture's version is listed.
    Published(Published),
    /// The client is done, well or badly.
    Outcome {
        boot: BootId,
        outcome: Outcome,
    },
    /// The server found out that the session cannot succeed.
    Fail(FailureCause),
    /// A person chose the disk.
    Answer(DiskPin),
    Cancel,
    /// Time passed.
    Tick,
    ServerStarted,
}

/// What is to be told and kept beside the session itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Tell(Event),
    PhaseBegan(Phase),
    PhaseEnded(Phase, Progress),
}

/// Why something cannot happen to a session as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the session is {state} already")]
    Ended { state: &'static str },
    #[error("another boot of the computer works on the session")]
    OtherBoot,
    #[error("no client works on the session")]
    NotRunning,
    #[error("the session has no question open")]
    NotAsked,
    #[error("the disk is none of those that could be meant")]
    NotACandidate,
    #[error("the session publishes no version")]
    NotACapture,
    #[error("the capture has become version {0} already")]
    PublishedOtherwise(mimeo_core::ids::VersionNumber),
}

/// The session after `input`, and what is to be told of it.
pub fn step(mut session: Session, input: Input, now: Timestamp) -> Result<(Session, Vec<Effect>), Refused> {
    let mut effects = Vec::new();
    if !session.state.is_open() {
        return match input {
            Input::Tick | Input::ServerStarted => Ok((session, effects)),
            _ => Err(Refused::Ended { state: session.state.name() }),
        };
    }
    match input {
        Input::BootOffered => session.note_boot(now, &mut effects),
        Input::Begin { boot, plan } => session.begin(boot, plan, now, &mut effects)?,
        Input::Heartbeat { boot, heartbeat } => {
            session.extend_lease(boot, now)?;
            session.enter_phase(heartbeat.phase, heartbeat.progress, &mut effects);
            effects.push(Effect::Tell(Event::SessionProgressed {
                session: session.id,
                phase: heartbeat.phase,
                progress: heartbeat.progress,
            }));
        }
        Input::Alive { boot } => session.extend_lease(boot, now)?,
        Input::Published(published) => session.publish(published, now, &mut effects)?,
        Input::Outcome { boot, outcome } => {
            session.extend_lease(boot, now)?;
            session.progress = outcome.progress;
            session.phase_times = outcome.phases;
            session.conclude(outcome.failure, now, &mut effects);
        }
        Input::Fail(cause) => session.fail(cause, now, &mut effects),
        Input::Answer(pin) => session.answer(pin)?,
        Input::Cancel => {
            session.end(State::Cancelled, now, &mut effects);
            effects.push(Effect::Tell(Event::SessionCancelled { session: session.id }));
        }
        Input::Tick => session.expire_lease(now, &mut effects),
        Input::ServerStarted => {
            if let State::Running { lease_until } = &mut session.state {
                *lease_until = (*lease_until).max(now.plus(START_GRACE));
            }
        }
    }
    Ok((session, effects))
}

impl Session {
    fn note_boot(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_counted = |at: Timestamp| at <= now && now < at.plus(BOOT_SPAN);
        if self.boot_offered.is_some_and(is_counted) {
            return;
        }
        if self.unheard_boots >= UNHEARD_BOOTS_MAX {
            return self.fail(FailureCause::ClientSilent { boots: self.unheard_boots }, now, effects);
        }
        self.unheard_boots += 1;
        self.boot_offered = Some(now);
    }

    fn begin(
        &mut self,
        boot: BootId,
        plan: Plan,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        // Boots are numbered as they come: this one asked before the computer was started anew.
        if self.boot.is_some_and(|current| boot < current) {
            return Err(Refused::OtherBoot);
        }
        self.unheard_boots = 0;
        if self.boot == Some(boot) && matches!(self.disk, DiskChoice::Pinned(_)) {
            // It asks again because our answer was lost on the way, or because it was silent for a while.
            self.state = State::Running { lease_until: now.plus(LEASE) };
            return Ok(());
        }
        if self.is_published() {
            self.succeed(now, effects);
            return Ok(());
        }
        match plan {
            Plan::Impossible(cause) => self.fail(cause, now, effects),
            Plan::Ask(candidates) => self.ask(candidates, effects),
            Plan::Pinned(_) if self.attempts >= ATTEMPTS_MAX => {
                self.fail(FailureCause::ClientLost { attempts: self.attempts }, now, effects);
            }
            Plan::Pinned(pin) => self.start(boot, pin, now, effects),
        }
        Ok(())
    }

    /// Whoever worked on it does so no more: its computer was started anew and is asked about.
    fn ask(&mut self, candidates: Vec<DiskPin>, effects: &mut Vec<Effect>) {
        if matches!(self.disk, DiskChoice::Pinned(_)) {
            effects.push(Effect::Tell(Event::SessionAsked { session: self.id }));
        }
        self.disk = DiskChoice::Asked(candidates);
        self.state = State::Waiting;
    }

    fn start(&mut self, boot: BootId, pin: DiskPin, now: Timestamp, effects: &mut Vec<Effect>) {
        self.disk = DiskChoice::Pinned(pin);
        self.end_phase(effects);
        self.phase_times = Vec::new();
        self.attempts += 1;
        self.boot = Some(boot);
        self.started = self.started.or(Some(now));
        self.state = State::Running { lease_until: now.plus(LEASE) };
        self.enter_phase(Phase::Prepare, Progress::default(), effects);
        effects.push(Effect::Tell(Event::SessionStarted { session: self.id }));
    }

    /// A client that was silent for longer than its lease and comes back in the same boot goes on where it is.
    fn extend_lease(&mut self, boot: BootId, now: Timestamp) -> Result<(), Refused> {
        match self.boot {
            Some(current) if current == boot && matches!(self.disk, DiskChoice::Pinned(_)) => {
                self.state = State::Running { lease_until: now.plus(LEASE) };
                self.unheard_boots = 0;
                Ok(())
            }
            Some(current) if current != boot => Err(Refused::OtherBoot),
            _ => Err(Refused::NotRunning),
        }
    }

    fn expire_lease(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.state {
            State::Running { lease_until } if lease_until <= now => {
                if self.is_published() {
                    self.succeed(now, effects);
                } else if self.attempts >= ATTEMPTS_MAX {
                    self.fail(FailureCause::ClientLost { attempts: self.attempts }, now, effects);
                } else {
                    self.state = State::Waiting;
                }
            }
            _ => {}
        }
    }

    fn enter_phase(&mut self, phase: Phase, progress: Progress, effects: &mut Vec<Effect>) {
        self.progress = progress;
        if self.phase != Some(phase) {
            self.end_phase(effects);
            self.phase = Some(phase);
            effects.push(Effect::PhaseBegan(phase));
        }
    }

    fn end_phase(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.phase.take().map(|phase| Effect::PhaseEnded(phase, self.progress)));
    }

    fn publish(
        &mut self,
        published: Published,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let Job::Capture { published: slot, .. } = &mut self.job else { return Err(Refused::NotACapture) };
        match slot {
            Some(before) if *before != published => Err(Refused::PublishedOtherwise(before.version)),
            _ => {
                *slot = Some(published);
                // Its client went away meanwhile. Nothing is left for the next one to do.
                if self.state == State::Waiting {
                    self.succeed(now, effects);
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, pin: DiskPin) -> Result<(), Refused> {
        let DiskChoice::Asked(candidates) = &self.disk else { return Err(Refused::NotAsked) };
        if !candidates.contains(&pin) {
            return Err(Refused::NotACandidate);
        }
        self.disk = DiskChoice::Pinned(pin);
        Ok(())
    }

    /// Whether the capture has done what it was asked for: its version is listed, and every byte of it was read back.
    /// What becomes of its client after that takes nothing away.
    fn is_published(&self) -> bool {
        matches!(self.job, Job::Capture { published: Some(_), .. })
    }

    fn conclude(&mut self, failure: Option<Failure>, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.is_published() {
            return self.succeed(now, effects);
        }
        if let Some(mut failure) = failure {
            self.phase.get_or_insert(failure.phase);
            effects.extend(self.note_damage(&mut failure.cause));
            effects.push(Effect::Tell(Event::SessionFailed { session: self.id, failure: failure.clone() }));
            return self.end(State::Failed(failure), now, effects);
        }
        if matches!(self.job, Job::Capture { .. }) {
            let detail = "the client reports success, but its version was never published".into();
            return self.fail(FailureCause::Internal { detail }, now, effects);
        }
        self.succeed(now, effects);
    }

    fn succeed(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.end(State::Succeeded, now, effects);
        effects.push(Effect::Tell(Event::SessionSucceeded { session: self.id }));
    }

    /// A chunk that is lost matters to more than this session: the failure says of which version it is, and everybody
    /// hears.
    fn note_damage(&self, cause: &mut FailureCause) -> Option<Effect> {
        let Job::Deploy { master, version, .. } = &self.job else { return None };
        let (chunk, detail) = match cause {
            FailureCause::ChunkDamaged { chunk, detail } => {
                *detail = format!("{master}@{version}: {detail}");
                (*chunk, detail.clone())
            }
            FailureCause::ChunkMissing { chunk } => {
                (*chunk, format!("{master}@{version}: the store lacks it"))
            }
            _ => return None,
        };
        Some(Effect::Tell(Event::ChunkFoundDamaged { chunk, detail }))
    }

    fn fail(&mut self, cause: FailureCause, now: Timestamp, effects: &mut Vec<Effect>) {
        let failure = Failure { phase: self.phase.unwrap_or(Phase::Prepare), cause };
        effects.push(Effect::Tell(Event::SessionFailed { session: self.id, failure: failure.clone() }));
        self.end(State::Failed(failure), now, effects);
    }

    fn end(&mut self, state: State, now: Timestamp, effects: &mut Vec<Effect>) {
        let last = self.phase;
        self.end_phase(effects);
        // People want to read where it ended.
        self.phase = last;
        self.state = state;
        self.ended = Some(now);
    }
}

#[cfg(test)]
pub(crate) mod tests;
