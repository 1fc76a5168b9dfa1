//! An order to capture or deploy: first what, then exactly what will be read or erased, then the button.
//!
//! What the person saw travels with the button. If the computer has other disks by then, nothing is ordered.

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::{Html, Redirect},
    routing::get,
};
use mimeo_core::{bad_sectors::BadSectorLimit, ids::ComputerId};
use serde::Deserialize;

use crate::{
    api::{
        computers::ComputerSummary,
        masters::{MasterView, VersionView, load_views},
        sessions::JobKind,
    },
    app::App,
    clock::Timestamp,
    imaging::{
        master::{MasterName, MasterRef, load_version},
        session::{
            plan::{DiskRule, ErasePreview, Plan},
            requests::NewCapture,
            shown::Shown,
        },
    },
    inventory::computer::{Computer, load_computer},
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::{Asked, Filled, InAddress, Visitor},
    },
    wiring::requests::NewDeploy,
};

pub fn router() -> Router<App> {
    Router::new()
        .route("/computers/{computer}/capture", get(show_capture).post(order_capture))
        .route("/computers/{computer}/deploy", get(show_deploy).post(order_deploy))
}

/// What an address says of an order so far.
#[derive(Deserialize)]
struct OrderQuery {
    master: Option<String>,
    /// A serial number or a WWN.
    disk: Option<String>,
}

#[derive(Deserialize)]
struct OrderForm {
    master: String,
    #[serde(default)]
    disk: String,
    shown: Shown,
    /// Of a capture; empty is none.
    #[serde(default)]
    tolerate_bad_sectors: String,
    /// Of a deploy; a box that is ticked is sent.
    no_verify: Option<String>,
}

/// Asks for the master.
#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    page: Page,
    kind: JobKind,
    computer: ComputerSummary,
    masters: Vec<MasterView>,
    master: String,
    refused: Option<String>,
}

/// Shows what will be read or erased.
#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    page: Page,
    kind: JobKind,
    computer: ComputerSummary,
    /// `NAME`, or `NAME@VERSION`.
    master: String,
    /// What whoever deploys it has to know first, a sentence each.
    to_know: Vec<String>,
    disks: Vec<DiskCard>,
    /// All of them, to be sent back with the button.
    shown: Shown,
    /// Why there is no button.
    refused: Option<String>,
}

/// A disk that could be meant, and how to name it.
pub struct DiskCard {
    pub disk: ErasePreview,
    /// Its serial number or WWN, where it has one.
    pub rule: Option<String>,
    /// This one, to be sent back with the answer.
    pub shown: Shown,
}

/// An order whose parts are well formed.
struct Wanted {
    master: MasterRef,
    rule: Option<DiskRule>,
}

async fn show_capture(
    State(app): State<App>,
    visitor: Visitor,
    InAddress(id): InAddress<ComputerId>,
    Asked(query): Asked<OrderQuery>,
) -> Result<Html<String>, Refusal> {
    show(&app, &visitor, id, JobKind::Capture, query).await
}

async fn show_deploy(
    State(app): State<App>,
    visitor: Visitor,
    InAddress(id): InAddress<ComputerId>,
    Asked(query): Asked<OrderQuery>,
) -> Result<Html<String>, Refusal> {
    show(&app, &visitor, id, JobKind::Deploy, query).await
}

async fn order_capture(
    State(app): State<App>,
    _: Visitor,
    InAddress(id): InAddress<ComputerId>,
    Filled(form): Filled<OrderForm>,
) -> Result<Redirect, Refusal> {
    order(&app, id, JobKind::Capture, form).await
}

async fn order_deploy(
    State(app): State<App>,
    _: Visitor,
    InAddress(id): InAddress<ComputerId>,
    Filled(form): Filled<OrderForm>,
) -> Result<Redirect, Refusal> {
    order(&app, id, JobKind::Deploy, form).await
}

async fn show(
    app: &App,
    visitor: &Visitor,
    id: ComputerId,
    kind: JobKind,
    query: OrderQuery,
) -> Result<Html<String>, Refusal> {
    let page = visitor.page("computers");
    let computer = load_computer(&app.services.pool, id).await?;
    let Some(master) = query.master else {
        return ask_for_master(app, page, kind, &computer, String::new(), None).await;
    };
    let wanted = match parse(kind, &master, query.disk.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(refusal) => return ask_for_master(app, page, kind, &computer, master, Some(&refusal)).await,
    };
    let previewed = preview(app, id, kind, &wanted).await;
    let busy = app.services.sessions.find_open(id).await?.map(|_| Refusal::ComputerBusy);
    let (master, disks, refused) = match previewed {
        Ok((master, disks)) => (master.to_string(), disks, busy),
        // What the disks do not allow is shown beside the computer that has them.
        Err(refusal @ Refusal::NoDisk(_)) => (wanted.master.to_string(), Vec::new(), Some(refusal)),
        Err(refusal) => return Err(refusal),
    };
    let refused = refused.map(|refusal| refusal.sentence(&page.words));
    let shown = Shown::of(&disks);
    let disks = disks.into_iter().map(DiskCard::from).collect();
    let to_know = to_know(app, &page, kind, &master).await?;
    html(&ConfirmPage { page, kind, computer: (&computer).into(), master, to_know, disks, shown, refused })
}

/// What the version that would be deployed does not show by itself: that it is encrypted, or that part of it could not be
/// read when it was captured.
async fn to_know(app: &App, page: &Page, kind: JobKind, master: &str) -> Result<Vec<String>, Refusal> {
    if kind == JobKind::Capture {
        return Ok(Vec::new());
    }
    let version = VersionView::from(load_version(&app.services.pool, &master.parse()?).await?.1);
    let unread = (version.unread_sectors > 0).then(|| format!("{}.", page.unread(&version)));
    let warnings = version.warnings.iter().map(|warned| page.warning(&warned.warning));
    Ok(warnings.chain(unread).collect())
}

async fn ask_for_master(
    app: &App,
    page: Page,
    kind: JobKind,
    computer: &Computer,
    master: String,
    refusal: Option<&Refusal>,
) -> Result<Html<String>, Refusal> {
    let masters = load_views(app).await?;
    let refused = refusal.map(|refusal| refusal.sentence(&page.words));
    html(&OrderPage { page, kind, computer: computer.into(), masters, master, refused })
}

/// Orders what was shown, and nothing else.
async fn order(app: &App, id: ComputerId, kind: JobKind, form: OrderForm) -> Result<Redirect, Refusal> {
    let Wanted { master, rule } = parse(kind, &form.master, &form.disk)?;
    let (shown, now) = (Some(&form.shown), Timestamp::now());
    let session = match kind {
        JobKind::Capture => {
            let tolerate_bad_sectors = match form.tolerate_bad_sectors.trim() {
                "" => BadSectorLimit::NONE,
                typed => typed.parse()?,
            };
            let what = NewCapture { master: master.name, tolerate_bad_sectors };
            app.services.request_capture(id, what, rule, shown, now).await?
        }
        JobKind::Deploy => {
            let what = NewDeploy { master: &master, verify: form.no_verify.is_none() };
            app.services.request_deploy(id, what, rule, shown, now).await?
        }
    };
    Ok(Redirect::to(&format!("/sessions/{}", session.id)))
}

fn parse(kind: JobKind, master: &str, disk: &str) -> Result<Wanted, Refusal> {
    let master = match kind {
        JobKind::Capture => MasterRef { name: master.trim().parse::<MasterName>()?, version: None },
        JobKind::Deploy => master.trim().parse()?,
    };
    let rule = if disk.is_empty() { None } else { Some(disk.parse()?) };
    Ok(Wanted { master, rule })
}

/// The master, for a deploy with the version that is meant now, and what stands on the disks that could be meant.
async fn preview(
    app: &App,
    id: ComputerId,
    kind: JobKind,
    wanted: &Wanted,
) -> Result<(MasterRef, Vec<ErasePreview>), Refusal> {
    let rule = wanted.rule.as_ref();
    let (master, plan, disks) = match kind {
        JobKind::Capture => {
            let preview = app.services.preview_capture(id, rule).await?;
            (wanted.master.clone(), preview.plan, preview.disks)
        }
        JobKind::Deploy => {
            let preview = app.services.preview_deploy(id, &wanted.master, rule).await?;
            let version = preview.version;
            let master = MasterRef { name: version.master, version: Some(version.version) };
            (master, preview.plan, preview.disks)
        }
    };
    match plan {
        Plan::Impossible(cause) => Err(Refusal::NoDisk(cause)),
        Plan::Pinned(_) | Plan::Ask(_) => Ok((master, disks)),
    }
}

impl From<ErasePreview> for DiskCard {
    fn from(disk: ErasePreview) -> Self {
        let rule = disk.pin.serial.clone().or_else(|| disk.pin.wwn.clone());
        let shown = Shown::of(std::slice::from_ref(&disk));
        Self { disk, rule, shown }
    }
}

impl ConfirmPage {
    /// What the address of this page is called.
    fn verb(&self) -> &'static str {
        verb(self.kind)
    }

    fn is_deploy(&self) -> bool {
        self.kind == JobKind::Deploy
    }
}

impl OrderPage {
    fn verb(&self) -> &'static str {
        verb(self.kind)
    }

    fn is_deploy(&self) -> bool {
        self.kind == JobKind::Deploy
    }
}

fn verb(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Capture => "capture",
        JobKind::Deploy => "deploy",
    }
}
