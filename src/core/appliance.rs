//! What an appliance adds to the initramfs that it serves: whom to trust, and what comes next.
//!
//! The boot artefacts are the same for every appliance; this one small file is not. It lies at [`PATH`] in an
//! archive of its own that the server puts beside the artefact's.

use serde::{Deserialize, Serialize};

/// Where the client finds the file.
pub const PATH: &str = "/etc/mimeo/appliance.json";

/// The appliance, as its clients need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appliance {
    /// The only authority whose certificates the client accepts.
    pub ca_pem: String,
    /// When the server was started, in seconds since 1970: a computer whose clock lies before that has a dead
    /// battery, and would find the server's certificate not yet valid.
    pub started_unix_seconds: u64,
    /// BLAKE3 of the initramfs' second part, in hexadecimal.
    pub payload_blake3: String,
    pub payload_bytes: u64,
}
