//! The server as the imaging engine sees it, without network and database: requests go straight to a chunk store.

use std::{path::Path, sync::OnceLock};

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, SealedChunk},
    ids::{SessionId, VersionNumber},
    manifest::{Manifest, ManifestRoot, SignedManifest},
    messages::{ChunkList, DeployOrder, DiskPin, Heartbeat, HeartbeatReply, VersionReply, records},
};
use mimeo_engine::link::{ServerError, SessionServer};
use mimeo_server::imaging::store::{Store, StoreOptions, backend::Backend, intake::Intake};
use tokio::runtime::Runtime;

use crate::measure::Outcome;

/// Holds one capture.
pub(crate) struct StoreServer {
    runtime: Runtime,
    store: Store,
    intake: Intake,
    key: SigningKey,
    published: OnceLock<SignedManifest>,
}

impl StoreServer {
    /// Over a new store in `folder`.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let runtime = Runtime::new()?;
        let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
        let store = runtime.block_on(async { Store::open(Backend::folder(folder)?, options).await })?;
        let intake = store.intake();
        let key = SigningKey::from_bytes(&[7; 32]);
        Ok(Self { runtime, store, intake, key, published: OnceLock::new() })
    }

    /// The order to write what was captured to a disk.
    pub(crate) fn deploy_order(&self, target: DiskPin) -> Outcome<DeployOrder> {
        let published = self.published.get().ok_or("nothing was captured yet")?;
        Ok(DeployOrder {
            session: SessionId(2),
            master_name: "bench".into(),
            version: VersionNumber(1),
            manifest_root: published.root(),
            manifest_key: self.key.verifying_key().to_bytes(),
            target,
        })
    }

    /// As the server publishes: everything durable, what is new read back, the manifest after it.
    async fn make_version(&self, manifest: &Manifest) -> Result<VersionReply, Box<dyn std::error::Error>> {
        self.intake.finish().await?;
        let ids: Vec<ChunkId> = manifest.data_chunks().map(|(_, id)| id).collect();
        let missing = self.store.missing(&ids);
        if !missing.is_empty() {
            return Ok(VersionReply::Missing(ChunkList { ids: missing }));
        }
        let found = self.store.verify(&self.store.unproved(&ids), &|_| ()).await?;
        if !found.damaged.is_empty() {
            return Err(format!("{} chunks read back damaged", found.damaged.len()).into());
        }
        let signed = SignedManifest::sign(manifest, &self.key);
        let root = self.store.put_manifest(&signed).await?;
        self.published.set(signed).map_err(|_| "a second capture")?;
        Ok(VersionReply::Published { version: VersionNumber(1), root })
    }
}

/// The laboratory's own mistakes: no pause would mend them.
fn defect(error: impl std::fmt::Display) -> ServerError {
    ServerError::Malformed(error.to_string())
}

impl SessionServer for StoreServer {
    fn heartbeat(&self, _: &Heartbeat) -> Result<HeartbeatReply, ServerError> {
        Ok(HeartbeatReply::GoOn)
    }

    fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ServerError> {
        self.runtime.block_on(self.intake.missing(ids)).map_err(defect)
    }

    fn upload(&self, records: &[u8]) -> Result<(), ServerError> {
        let chunks = records::parse_all(records).map_err(defect)?;
        self.runtime.block_on(self.intake.put(chunks)).map_err(defect)
    }

    fn fetch(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, ServerError> {
        self.runtime.block_on(self.store.read_many(ids)).map_err(defect)
    }

    fn ask_version(&self, _: ManifestRoot) -> Result<VersionReply, ServerError> {
        Ok(VersionReply::ManifestWanted)
    }

    fn publish(&self, encoded: &[u8]) -> Result<VersionReply, ServerError> {
        let manifest = Manifest::decode(encoded).map_err(defect)?;
        self.runtime.block_on(self.make_version(&manifest)).map_err(defect)
    }

    fn manifest(&self) -> Result<SignedManifest, ServerError> {
        self.published.get().cloned().ok_or_else(|| defect("nothing was captured yet"))
    }
}
