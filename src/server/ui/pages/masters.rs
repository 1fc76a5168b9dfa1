//! The masters with their versions.

use askama::Template;
use axum::{Router, extract::State, response::Html, routing::get};

use crate::{
    api::masters::{self, MasterView},
    app::App,
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::Visitor,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/masters", get(list))
}

#[derive(Template)]
#[template(path = "masters.html")]
struct MastersPage {
    page: Page,
    masters: Vec<MasterView>,
}

async fn list(State(app): State<App>, visitor: Visitor) -> Result<Html<String>, Refusal> {
    html(&MastersPage { page: visitor.page("masters"), masters: masters::load_views(&app).await? })
}
