//! The computers, and what is known of one.

use std::collections::HashMap;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use mimeo_core::{
    ids::ComputerId,
    machine::{FirmwareMode, PartitionReport, SecureBoot},
    text::failure::filesystem_name,
};
use serde::Deserialize;

use crate::{
    api::{
        computers::{ComputerSummary, ComputerView, LoaderView},
        sessions::{SessionView, load_views},
    },
    app::App,
    boot::notices::Notice,
    clock::Timestamp,
    imaging::session::table::SessionFilter,
    inventory::{
        computer::{list_computers, load_computer, rename_computer, set_loader},
        name::ComputerName,
    },
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::{Filled, InAddress, Visitor},
    },
};

/// Sessions that a computer's page shows at most; the list of all shows the rest.
const SESSIONS_SHOWN: usize = 10;

/// What keeps machines from booting is shown of so many, the latest: the others' reason is the same.
const NOTICES_SHOWN: usize = 10;

pub fn router() -> Router<App> {
    Router::new().route("/computers", get(list)).route("/computers/{computer}", get(show).post(change))
}

#[derive(Template)]
#[template(path = "computers.html")]
struct ComputersPage {
    page: Page,
    notices: Vec<NoticeLine>,
    /// Whether another DHCP server could be told what lets them boot.
    by_another_server: bool,
    computers: Vec<Line>,
}

/// What keeps machines from booting, and when it was last seen to.
struct NoticeLine {
    sentence: String,
    seen: Timestamp,
}

struct Line {
    computer: ComputerSummary,
    /// The session that waits or runs.
    open: Option<SessionView>,
}

#[derive(Template)]
#[template(path = "computer.html")]
struct ComputerPage {
    page: Page,
    computer: ComputerView,
    open: Option<SessionView>,
    sessions: Vec<SessionView>,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct ChangeForm {
    name: String,
    loader: LoaderView,
}

async fn list(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    let open = load_views(&app, SessionFilter { computer: None, open_only: true }).await?;
    let mut open: HashMap<_, _> = open.into_iter().map(|session| (session.computer, session)).collect();
    let computers = list_computers(&app.services.pool).await?;
    let lines = computers
        .iter()
        .map(|computer| Line { computer: computer.into(), open: open.remove(&computer.id) })
        .collect();
    let page = visitor.page("computers");
    let mut notices = app.notices.list(Timestamp::now());
    notices.truncate(NOTICES_SHOWN);
    let by_another_server =
        notices.iter().any(|(notice, _)| matches!(notice, Notice::SecureBootOutOfReach { .. }));
    let line = |(notice, seen)| NoticeLine { sentence: page.words.notice(&notice), seen };
    let notices = notices.into_iter().map(line).collect();
    html(&ComputersPage { page, notices, by_another_server, computers: lines })
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    InAddress(id): InAddress<ComputerId>,
) -> Result<Html<String>, Refusal> {
    computer_page(&app, &visitor, id, None).await
}

async fn change(
    State(app): State<App>,
    visitor: Visitor,
    InAddress(id): InAddress<ComputerId>,
    Filled(form): Filled<ChangeForm>,
) -> Result<Response, Refusal> {
    match keep(&app, id, &form).await {
        Ok(()) => Ok(Redirect::to(&format!("/computers/{id}")).into_response()),
        Err(refusal) if refusal.status() == StatusCode::NOT_FOUND => Err(refusal),
        Err(refusal) => {
            let page = computer_page(&app, &visitor, id, Some(&refusal)).await?;
            Ok((refusal.status(), page).into_response())
        }
    }
}

async fn keep(app: &App, id: ComputerId, form: &ChangeForm) -> Result<(), Refusal> {
    let name: ComputerName = form.name.trim().parse()?;
    rename_computer(&app.services.pool, id, &name).await?;
    set_loader(&app.services.pool, id, form.loader.into()).await?;
    Ok(())
}

async fn computer_page(
    app: &App,
    visitor: &Visitor,
    id: ComputerId,
    refusal: Option<&Refusal>,
) -> Result<Html<String>, Refusal> {
    let computer: ComputerView = load_computer(&app.services.pool, id).await?.into();
    let mut sessions = load_views(app, SessionFilter { computer: Some(id), open_only: false }).await?;
    sessions.truncate(SESSIONS_SHOWN);
    let open = load_views(app, SessionFilter { computer: Some(id), open_only: true }).await?.pop();
    let page = visitor.page("computers");
    let refused = refusal.map(|refusal| refusal.sentence(&page.words));
    html(&ComputerPage { page, computer, open, sessions, refused })
}

impl ComputerView {
    /// Whether it boots by the signed chain.
    fn is_signed(&self) -> bool {
        self.summary.loader == LoaderView::Signed
    }

    /// Whether its firmware, as it last was, starts nothing of what was chosen for it.
    fn refuses_its_loader(&self) -> bool {
        self.summary.loader == LoaderView::Ipxe && self.summary.secure_boot == SecureBoot::On
    }
}

impl Page {
    /// Memory as it is sold, in binary units: `8 GiB`.
    pub fn memory(&self, bytes: &u64) -> String {
        let gib = *bytes as f64 / f64::from(1 << 30);
        let unit = self.say("unit-gib");
        // Firmware keeps a part for itself, so what the kernel sees is a little less than what was bought.
        if gib >= 1.0 {
            format!("{gib:.0} {unit}")
        } else {
            format!("{:.0} {}", gib * 1024.0, self.say("unit-mib"))
        }
    }

    /// How the machine's firmware starts it, and whether it checks signatures.
    pub fn firmware(&self, firmware: &FirmwareMode, secure_boot: &SecureBoot) -> String {
        match (firmware, secure_boot) {
            (FirmwareMode::Bios, _) => self.say("firmware-bios"),
            (FirmwareMode::Uefi, SecureBoot::On) => self.say("firmware-uefi-secure"),
            (FirmwareMode::Uefi, SecureBoot::Off) => self.say("firmware-uefi-open"),
            (FirmwareMode::Uefi, SecureBoot::Absent) => self.say("firmware-uefi"),
        }
    }

    pub fn filesystem(&self, partition: &PartitionReport) -> String {
        match partition.filesystem {
            Some(filesystem) => filesystem_name(filesystem).to_owned(),
            None => self.say("filesystem-unknown"),
        }
    }
}
