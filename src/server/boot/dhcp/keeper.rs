//! What is remembered of firmware's choices, and who keeps it while the server does not run.

use std::error::Error;

use async_trait::async_trait;
use mimeo_core::ids::MacAddr;

use crate::clock::Timestamp;

/// Firmware that passed our address over, and what came of it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    pub mac: MacAddr,
    /// Boots that led nowhere in a row.
    pub in_vain: u8,
    /// It booted when it was answered beside.
    pub proved: bool,
    /// When something was last heard of its choice.
    pub last: Timestamp,
}

/// A change of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Keep(Remembered),
    Forget(MacAddr),
}

impl Change {
    pub(super) fn mac(&self) -> MacAddr {
        match self {
            Self::Keep(Remembered { mac, .. }) | Self::Forget(mac) => *mac,
        }
    }
}

/// Keeps choices while the server does not run. How many, and how long, is the service's business: it says what to
/// forget.
#[async_trait]
pub trait ChoiceKeeper: Send + Sync {
    async fn load(&self) -> Result<Vec<Remembered>, KeeperError>;

    /// Makes the changes, all or none. They are of different machines each.
    async fn store(&self, changes: &[Change]) -> Result<(), KeeperError>;
}

/// Choices cannot be kept, or what was kept cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("reading or writing what firmware chose")]
pub struct KeeperError(#[from] pub Box<dyn Error + Send + Sync>);
