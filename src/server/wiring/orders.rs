//! What a client is to do: its sessions, seen with what its computer reported at this boot.

use super::Services;
use crate::{
    clock::Timestamp,
    imaging::session::{orders::Asking, requests::SessionError},
    inventory::{
        client_boot::ClientBoot,
        computer::{ComputerError, load_computer},
    },
};
use mimeo_core::messages::Orders;

/// Why no orders can be given.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    #[error(transparent)]
    Computer(#[from] ComputerError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Services {
    /// The orders for a computer in its present boot.
    pub async fn next_orders(&self, boot: ClientBoot, now: Timestamp) -> Result<Orders, OrdersError> {
        let computer = load_computer(&self.pool, boot.computer).await?;
        let ClientBoot { id, computer: of, since } = boot;
        let asking = Asking { computer: of, boot: id, since, report: &computer.report };
        Ok(self.sessions.next_orders(asking, &self.manifest_key, now).await?)
    }
}
