//! Everything that lives as long as the server and that requests need.

use std::sync::Arc;

use sqlx::SqlitePool;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Auth, boot::artefacts::Artefacts, clock::Timestamp, events::Events, imaging::session::requests::Sessions,
    wiring::Wiring,
};

/// What handlers get. Cloning gives other handles to the same.
#[derive(Clone)]
pub struct App {
    /// Who may come in.
    pub auth: Auth,
    /// What happens, told to everybody who listens.
    pub events: Events,
    /// The database, for what a noun's own file reads from it.
    pub db: SqlitePool,
    /// Captures and deploys, as they stand.
    pub sessions: Sessions,
    /// What needs more than one domain.
    pub wiring: Wiring,
    /// What machines boot from.
    pub artefacts: Arc<Artefacts>,
    /// The certificate of our authority.
    pub authority_pem: Arc<str>,
    /// When the server started.
    pub started: Timestamp,
    /// Cancelled when the server stops: streams end then.
    pub stopping: CancellationToken,
}
