//! Everything that lives as long as the server and that requests need.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    auth::Auth,
    boot::{artefacts::Artefacts, dhcp::settings::Settings as DhcpSettings, notices::Notices},
    clock::Timestamp,
    wiring::Services,
};

/// What handlers get. Cloning gives other handles to the same.
#[derive(Clone)]
pub struct App {
    /// Computers, masters and sessions, and the events that tell of them.
    pub services: Services,
    /// Who may come in.
    pub auth: Auth,
    /// What machines boot from.
    pub artefacts: Arc<Artefacts>,
    /// DHCP as it is served.
    pub dhcp: Arc<DhcpSettings>,
    /// The certificate of our authority.
    pub authority_pem: Arc<str>,
    /// What keeps machines from booting.
    pub notices: Notices,
    /// When the server started.
    pub started: Timestamp,
    /// Cancelled when the server stops: streams end then.
    pub stopping: CancellationToken,
}
