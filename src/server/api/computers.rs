//! The computers, each with what it said of itself when it last booted into the client.

use axum::{Json, Router, extract::State, routing::get};
use mimeo_core::{
    ids::ComputerId,
    machine::{FirmwareMode, MachineReport, SecureBoot},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    error::ApiError,
    extract::{Administrator, Body, InPath},
};
use crate::{
    app::App,
    clock::Timestamp,
    inventory::{
        computer::{self, Computer, ComputerError, Loader},
        name::ComputerName,
    },
};

pub fn router() -> Router<App> {
    Router::new().route("/computers", get(list)).route("/computers/{computer}", get(show).patch(change))
}

/// A line of the list.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComputerSummary {
    pub id: ComputerId,
    pub name: String,
    pub created: Timestamp,
    /// When it last booted into the client.
    pub seen: Timestamp,
    pub loader: LoaderView,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub serial: Option<String>,
    pub firmware: FirmwareMode,
    pub secure_boot: SecureBoot,
    pub memory_bytes: u64,
}

/// One computer with everything that is known of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComputerView {
    #[serde(flatten)]
    pub summary: ComputerSummary,
    pub report: MachineReport,
}

/// Which boot loader a computer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LoaderView {
    Signed,
    Ipxe,
}

/// What to change; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputerChange {
    pub name: Option<String>,
    pub loader: Option<LoaderView>,
}

async fn list(State(app): State<App>, _: Administrator) -> Result<Json<Vec<ComputerSummary>>, ApiError> {
    let computers = computer::list_computers(&app.services.pool).await?;
    Ok(Json(computers.iter().map(ComputerSummary::from).collect()))
}

async fn show(
    State(app): State<App>,
    _: Administrator,
    InPath(name_or_id): InPath<String>,
) -> Result<Json<ComputerView>, ApiError> {
    Ok(Json(computer::load_named_computer(&app.services.pool, &name_or_id).await?.into()))
}

async fn change(
    State(app): State<App>,
    _: Administrator,
    InPath(name_or_id): InPath<String>,
    Body(change): Body<ComputerChange>,
) -> Result<Json<ComputerView>, ApiError> {
    let id = computer::load_named_computer(&app.services.pool, &name_or_id).await?.id;
    if let Some(name) = change.name {
        let name: ComputerName = name.parse().map_err(|error| {
            ApiError::bad_request("bad_name", error).with_details(json!({ "computer": name }))
        })?;
        computer::rename_computer(&app.services.pool, id, &name).await?;
    }
    if let Some(loader) = change.loader {
        computer::set_loader(&app.services.pool, id, loader.into()).await?;
    }
    Ok(Json(computer::load_computer(&app.services.pool, id).await?.into()))
}

impl From<&Computer> for ComputerSummary {
    fn from(computer: &Computer) -> Self {
        let identity = &computer.report.identity;
        Self {
            id: computer.id,
            name: computer.name.to_string(),
            created: computer.created,
            seen: computer.seen,
            loader: computer.loader.into(),
            manufacturer: identity.manufacturer.clone(),
            model: identity.model.clone(),
            // As it stands on the label; a placeholder is none.
            serial: identity.facts().system_serial.and(identity.system_serial.clone()),
            firmware: computer.report.firmware,
            secure_boot: computer.report.secure_boot,
            memory_bytes: computer.report.memory_bytes,
        }
    }
}

impl From<Computer> for ComputerView {
    fn from(computer: Computer) -> Self {
        Self { summary: (&computer).into(), report: computer.report }
    }
}

impl From<Loader> for LoaderView {
    fn from(loader: Loader) -> Self {
        match loader {
            Loader::Signed => Self::Signed,
            Loader::Ipxe => Self::Ipxe,
        }
    }
}

impl From<LoaderView> for Loader {
    fn from(loader: LoaderView) -> Self {
        match loader {
            LoaderView::Signed => Self::Signed,
            LoaderView::Ipxe => Self::Ipxe,
        }
    }
}

impl From<ComputerError> for ApiError {
    fn from(error: ComputerError) -> Self {
        match &error {
            ComputerError::Unknown(wanted) => {
                let details = json!({ "computer": wanted });
                Self::not_found(format!("{error}: `mimeo computers` names them")).with_details(details)
            }
            ComputerError::NameTaken(name) => {
                let details = json!({ "computer": name.as_str() });
                Self::conflict("name_taken", error).with_details(details)
            }
            ComputerError::Corrupt { .. } | ComputerError::Database(_) => Self::internal(&error),
        }
    }
}
