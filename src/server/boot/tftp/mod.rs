//! TFTP: what PXE firmware, shim and GRUB fetch their files with (RFC 1350, with the options of RFC 2347 to 2349
//! and the windows of RFC 7440).
//!
//! Reading order: [`packet`] turns bytes into values and back, [`transfer`] decides what one client is sent and
//! when, [`admission`] which clients are served when there are too many, [`socket`] does it until the client has
//! answered and `delivery` from then on. Files exist only as [`Files`] answers: no path ever reaches a file system, and
//! nothing can be written.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use bytes::Bytes;

use packet::FileName;

pub mod admission;
mod delivery;
pub mod packet;
mod segments;
pub mod socket;
pub mod transfer;

/// Whoever knows what can be fetched.
#[async_trait]
pub trait Files: Send + Sync {
    /// The content of `name` as the machine at `peer` is to see it; `None` where there is no such file.
    async fn open(&self, name: &FileName, peer: Ipv4Addr) -> Option<Bytes>;
}
