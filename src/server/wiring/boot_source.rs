//! What a machine boots, from what is known of its computer and what waits for it.

use async_trait::async_trait;
use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};

use super::Services;
use crate::{
    boot::target::{BootSource, BootTarget, LoaderChoice, Machine, Menu},
    clock::Timestamp,
    config::UnknownMachines,
    imaging::session::requests::SessionError,
    inventory::{
        boot_token::{Purpose, mint},
        computer::{Computer, ComputerError, Loader, glimpse},
    },
};

/// After so many failed sessions in a row a computer boots its own disk without a word: whatever goes wrong there needs
/// a person, who will ask for the next session.
const FAILURES_MAX: u32 = 3;

/// What the administrator decided about boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootPolicy {
    pub unknown: UnknownMachines,
    pub menu_timeout_seconds: u32,
    pub language: Language,
}

/// Answers boot's question out of inventory and imaging.
#[derive(Clone)]
pub struct HouseBootSource {
    services: Services,
    policy: BootPolicy,
}

/// What a machine is to boot, before a token is made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Client(Purpose),
    Menu { computer_name: Option<String> },
    LocalDisk,
}

/// Why the question could not be answered.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error(transparent)]
    Computer(#[from] ComputerError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the boot token cannot be kept")]
    Token(#[from] sqlx::Error),
}

impl HouseBootSource {
    pub fn new(services: Services, policy: BootPolicy) -> Self {
        Self { services, policy }
    }

    async fn answer(&self, machine: &Machine) -> Result<BootTarget, BootError> {
        let computer = glimpse(&self.services.pool, machine.mac, machine.uuid.as_deref()).await?;
        let target = match self.decide(computer).await? {
            Decision::Client(purpose) => BootTarget::Client { token: self.mint(machine, purpose).await? },
            Decision::Menu { computer_name } => BootTarget::Menu(Menu {
                computer_name,
                token: self.mint(machine, Purpose::Menu).await?,
                timeout_seconds: self.policy.menu_timeout_seconds,
                language: self.policy.language,
            }),
            Decision::LocalDisk => BootTarget::LocalDisk,
        };
        Ok(target)
    }

    async fn decide(&self, computer: Option<Computer>) -> Result<Decision, BootError> {
        let Some(computer) = computer else {
            return Ok(match self.policy.unknown {
                UnknownMachines::Register => Decision::Client(Purpose::Register),
                UnknownMachines::Menu => Decision::Menu { computer_name: None },
            });
        };
        let sessions = &self.services.sessions;
        // A session that runs belongs to this computer's last boot, which is over: it goes on in this one.
        if let Some(session) = sessions.find_open(computer.id).await?
            && sessions.note_boot(session.id, Timestamp::now()).await?.state.is_open()
        {
            return Ok(Decision::Client(Purpose::Session));
        }
        let failures = sessions.failures_in_a_row(computer.id, FAILURES_MAX).await?;
        if failures >= FAILURES_MAX {
            return Ok(Decision::LocalDisk);
        }
        Ok(Decision::Menu { computer_name: Some(computer.name.to_string()) })
    }

    async fn mint(&self, machine: &Machine, purpose: Purpose) -> Result<Secret, BootError> {
        Ok(mint(&self.services.pool, machine.mac, purpose, Timestamp::now()).await?)
    }
}

#[async_trait]
impl BootSource for HouseBootSource {
    async fn boot_target(&self, machine: &Machine) -> BootTarget {
        self.answer(machine).await.unwrap_or_else(|error| {
            tracing::error!(machine.mac = %machine.mac, %error, "machine {} boots its own disk", machine.mac);
            BootTarget::LocalDisk
        })
    }

    async fn loader(&self, mac: MacAddr) -> LoaderChoice {
        match glimpse(&self.services.pool, mac, None).await {
            Ok(Some(computer)) => match computer.loader {
                Loader::Signed => LoaderChoice::Signed,
                Loader::Ipxe => LoaderChoice::Ipxe,
            },
            Ok(None) => LoaderChoice::default(),
            Err(error) => {
                tracing::error!(machine.mac = %mac, %error, "the loader chosen for {mac} cannot be read");
                LoaderChoice::default()
            }
        }
    }
}
