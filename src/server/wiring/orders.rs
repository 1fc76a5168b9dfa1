//! What a client is to do: its sessions, seen with what its computer reported at this boot.

use super::Services;
use crate::{
    clock::Timestamp,
    imaging::session::requests::SessionError,
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
        let orders =
            self.sessions.next_orders(boot.computer, boot.id, &computer.report, &self.manifest_key, now);
        Ok(orders.await?)
    }
}
