//! The sessions, as they go on and as they ended.

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::{Html, Redirect},
    routing::{get, post},
};
use mimeo_core::{
    ids::SessionId,
    messages::Progress,
    text::{
        report::{taken_over, verification},
        size,
    },
};
use serde::Deserialize;

use super::order::DiskCard;
use crate::{
    api::sessions::{JobKind, PhaseView, SessionDetails, SessionView, load_details, load_views},
    app::App,
    clock::Timestamp,
    imaging::session::{
        plan::{Plan, preview_erase},
        shown::Shown,
        table::SessionFilter,
    },
    inventory::computer::load_computer,
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::{Filled, InAddress, Visitor},
    },
};

/// Ended sessions that the list shows.
const ENDED_SHOWN: usize = 50;

pub fn router() -> Router<App> {
    Router::new()
        .route("/sessions", get(list))
        .route("/sessions/{session}", get(show))
        .route("/sessions/{session}/cancel", post(cancel))
        .route("/sessions/{session}/answer", post(answer))
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    page: Page,
    open: Vec<SessionView>,
    ended: Vec<SessionView>,
}

#[derive(Template)]
#[template(path = "session.html")]
struct SessionPage {
    page: Page,
    session: SessionView,
    phases: Vec<PhaseView>,
    /// The disks among which a person has to choose.
    question: Vec<DiskCard>,
}

#[derive(Deserialize)]
struct AnswerForm {
    /// The disk that is meant, as it was shown.
    disk: Shown,
}

async fn list(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    let all = load_views(&app, SessionFilter::default()).await?;
    let open = load_views(&app, SessionFilter { computer: None, open_only: true }).await?;
    let ended = all.into_iter().filter(|session| session.ended.is_some()).take(ENDED_SHOWN).collect();
    html(&SessionsPage { page: visitor.page("sessions"), open, ended })
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    InAddress(id): InAddress<SessionId>,
) -> Result<Html<String>, Refusal> {
    let SessionDetails { session, phases } = load_details(&app, id).await?;
    let question = question_of(&app, &session).await?;
    html(&SessionPage { page: visitor.page("sessions"), session, phases, question })
}

async fn cancel(
    State(app): State<App>,
    _: Visitor,
    InAddress(id): InAddress<SessionId>,
) -> Result<Redirect, Refusal> {
    app.services.sessions.cancel(id, Timestamp::now()).await?;
    Ok(Redirect::to(&format!("/sessions/{id}")))
}

async fn answer(
    State(app): State<App>,
    _: Visitor,
    InAddress(id): InAddress<SessionId>,
    Filled(form): Filled<AnswerForm>,
) -> Result<Redirect, Refusal> {
    let SessionDetails { session, .. } = load_details(&app, id).await?;
    if session.ended.is_some() {
        return Err(Refusal::SessionEnded);
    }
    if session.question.is_empty() {
        return Err(Refusal::NothingAsked);
    }
    let candidates = question_of(&app, &session).await?;
    let meant = candidates.into_iter().find(|card| card.shown == form.disk).ok_or(Refusal::DisksChanged)?;
    app.services.sessions.answer(id, meant.disk.pin, Timestamp::now()).await?;
    Ok(Redirect::to(&format!("/sessions/{id}")))
}

/// The disks in question, with what stands on them.
async fn question_of(app: &App, session: &SessionView) -> Result<Vec<DiskCard>, Refusal> {
    if session.question.is_empty() || session.ended.is_some() {
        return Ok(Vec::new());
    }
    let computer = load_computer(&app.services.pool, session.computer).await?;
    let disks = preview_erase(&computer.report, &Plan::Ask(session.question.clone()));
    Ok(disks.into_iter().map(DiskCard::from).collect())
}

impl SessionView {
    fn is_deploy(&self) -> bool {
        self.kind == JobKind::Deploy
    }
}

impl Page {
    /// What a session does: `debian@2 → pc-1`, in words.
    pub fn session_title(&self, session: &SessionView) -> String {
        let key = match session.kind {
            JobKind::Capture => "session-capture",
            JobKind::Deploy => "session-deploy",
        };
        let master = self.master_of(session);
        self.words.say_with(key, &[("master", &master), ("computer", &session.computer_name)])
    }

    /// `NAME@VERSION`, or the name alone as long as a capture has not become a version.
    pub fn master_of(&self, session: &SessionView) -> String {
        match session.version {
            Some(version) => format!("{}@{version}", session.master),
            None => session.master.clone(),
        }
    }

    /// What a session did, once it is over, in sentences.
    pub fn report(&self, session: &SessionView) -> Vec<String> {
        let Some(verify) = session.verify.filter(|_| session.state == "succeeded") else { return Vec::new() };
        let texts = self.words.shared();
        let sentences =
            [taken_over(texts, &session.progress), verification(texts, verify, &session.phase_seconds)];
        sentences.into_iter().flatten().collect()
    }

    /// Where a session stands, in a word or two.
    pub fn state(&self, session: &SessionView) -> String {
        match session.state.as_str() {
            "waiting" if !session.question.is_empty() => self.say("state-asked"),
            "waiting" => self.say("state-waiting"),
            "running" => {
                session.phase.map_or_else(|| self.say("state-running"), |phase| self.words.phase(phase))
            }
            "succeeded" => self.say("state-succeeded"),
            "failed" => self.say("state-failed"),
            _ => self.say("state-cancelled"),
        }
    }

    /// How far the phase has come, of a hundred.
    pub fn percent(&self, progress: &Progress) -> u64 {
        match progress.total_bytes {
            0 => 0,
            total => (u128::from(progress.done_bytes.min(total)) * 100 / u128::from(total)) as u64,
        }
    }

    /// How far the phase has come, in words.
    pub fn progress(&self, progress: &Progress) -> String {
        if progress.total_bytes == 0 {
            return String::new();
        }
        let (done, total) = (self.bytes(&progress.done_bytes), self.bytes(&progress.total_bytes));
        let percent = self.percent(progress).to_string();
        self.words.say_with("session-progress", &[("percent", &percent), ("done", &done), ("total", &total)])
    }

    /// From one moment to another; a dash where there is no other.
    pub fn duration(&self, from: &Timestamp, to: &Option<Timestamp>) -> String {
        to.map_or_else(|| "—".to_owned(), |to| size::duration(to.since(*from)))
    }
}
