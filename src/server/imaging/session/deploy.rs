//! The server's side of a running deploy: the manifest of its version, and the chunks that this version names.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use mimeo_core::{
    chunk::{ChunkId, SealedChunk},
    manifest::{Manifest, ManifestError, ManifestRoot, SignedManifest},
};

use crate::imaging::store::{Store, error::StoreError};

/// Memory for versions that are deployed. Each takes twice 32 bytes per chunk (16 MB for 32 GB of content), so this is
/// for all that a site deploys at a time. The one used last is kept whatever it takes.
const VERSIONS_BYTES_MAX: usize = 512 << 20;

/// What deploys read. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Deploys {
    store: Store,
    /// Versions in memory, the one used last at the end.
    versions: Arc<Mutex<VecDeque<Arc<DeployedVersion>>>>,
    /// Held while a version is read: a classroom that starts at once reads it once.
    loading: Arc<tokio::sync::Mutex<()>>,
}

/// What every deploy of a version needs, once in memory however many there are.
struct DeployedVersion {
    root: ManifestRoot,
    /// The signed manifest, as it travels.
    signed: Bytes,
    /// The chunks that it names, each once and in order.
    ids: Vec<ChunkId>,
}

impl DeployedVersion {
    fn read(root: ManifestRoot, signed: &SignedManifest) -> Result<Self, FetchError> {
        let manifest =
            Manifest::decode(&signed.encoded).map_err(|source| FetchError::Manifest { root, source })?;
        let mut ids: Vec<_> = manifest.data_chunks().map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.shrink_to_fit();
        Ok(Self { root, signed: signed.to_bytes().into(), ids })
    }

    fn memory_bytes(&self) -> usize {
        self.signed.len() + self.ids.len() * size_of::<ChunkId>()
    }
}

/// Why a deploy does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the version that is deployed has no chunk {0}")]
    NotNamed(ChunkId),
    #[error("manifest {root} cannot be read")]
    Manifest { root: ManifestRoot, source: ManifestError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deploys {
    pub fn new(store: Store) -> Self {
        Self { store, versions: Arc::default(), loading: Arc::default() }
    }

    /// The signed manifest of a version, as [`SignedManifest::to_bytes`] writes it. All who ask share its memory.
    pub async fn manifest(&self, root: ManifestRoot) -> Result<Bytes, FetchError> {
        Ok(self.version(root).await?.signed.clone())
    }

    /// How long the records of these chunks are together: what [`Deploys::fetch`] will take in memory.
    pub async fn records_bytes(&self, root: ManifestRoot, ids: &[ChunkId]) -> Result<u64, FetchError> {
        self.check_named(root, ids).await?;
        Ok(self.store.records_bytes(ids)?)
    }

    /// Chunks of the version with this root, in the order asked.
    pub async fn fetch(&self, root: ManifestRoot, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, FetchError> {
        self.check_named(root, ids).await?;
        Ok(self.store.read_many(ids).await?)
    }

    /// A session opens its own version and nothing else of the store.
    async fn check_named(&self, root: ManifestRoot, ids: &[ChunkId]) -> Result<(), FetchError> {
        let version = self.version(root).await?;
        match ids.iter().find(|id| version.ids.binary_search(id).is_err()) {
            Some(foreign) => Err(FetchError::NotNamed(*foreign)),
            None => Ok(()),
        }
    }

    /// Looks at a chunk that a client found damaged. What the store finds damaged as well counts as missing from then
    /// on, so the next capture that has it brings it again.
    pub async fn recheck(&self, chunk: ChunkId) {
        match self.store.verify(&[chunk], &|_progress| {}).await {
            Ok(found) if found.proved_chunks > 0 => {
                tracing::warn!(%chunk, "chunk {chunk} is sound in the store: it was damaged on its way or in memory");
            }
            Ok(_) => tracing::error!(%chunk, "chunk {chunk} is lost: capture a computer that has it again"),
            Err(error) => tracing::error!(%chunk, %error, "chunk {chunk} cannot be looked at"),
        }
    }

    async fn version(&self, root: ManifestRoot) -> Result<Arc<DeployedVersion>, FetchError> {
        if let Some(version) = self.find_version(root) {
            return Ok(version);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(version) = self.find_version(root) {
            return Ok(version);
        }
        let signed = self.store.read_manifest(root).await?;
        let read = tokio::task::spawn_blocking(move || DeployedVersion::read(root, &signed)).await;
        let version = Arc::new(read.map_err(|_| StoreError::Stopped)??);
        let mut versions = self.lock();
        versions.push_back(version.clone());
        while versions.len() > 1
            && versions.iter().map(|version| version.memory_bytes()).sum::<usize>() > VERSIONS_BYTES_MAX
        {
            versions.pop_front();
        }
        Ok(version)
    }

    fn find_version(&self, root: ManifestRoot) -> Option<Arc<DeployedVersion>> {
        let mut versions = self.lock();
        let at = versions.iter().position(|known| known.root == root)?;
        let version = versions.remove(at)?;
        versions.push_back(version.clone());
        Some(version)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<DeployedVersion>>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use futures_util::future::try_join_all;
    use mimeo_core::{
        chunk::{ChunkId, ChunkSize},
        disk::table::{PartitionTable, Scheme},
        manifest::{DiskGeometry, Manifest, SignedManifest},
        units::SectorSize,
    };

    use super::{Deploys, FetchError};
    use crate::imaging::store::{Store, StoreOptions, backend::Backend};

    #[tokio::test]
    async fn however_many_deploy_a_version_its_manifest_is_in_memory_once() {
        let store = Store::open(Backend::in_memory(), StoreOptions::default()).await.expect("a store");
        let (logical_sector, physical_sector) = (SectorSize::B512, SectorSize::B512);
        let manifest = Manifest {
            disk: DiskGeometry { size_bytes: 1 << 20, logical_sector, physical_sector },
            chunk_size: ChunkSize::DEFAULT,
            table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
            regions: Vec::new(),
            unread: vec![],
        };
        let signed = SignedManifest::sign(&manifest, &SigningKey::from_bytes(&[3; 32]));
        let root = store.put_manifest(&signed).await.expect("kept");
        let deploys = Deploys::new(store);
        let given = try_join_all((0..500).map(|_| deploys.manifest(root))).await.expect("given");
        assert_eq!(given[0], signed.to_bytes());
        assert!(given.iter().all(|bytes| bytes.as_ptr() == given[0].as_ptr()));
        let foreign = [ChunkId([1; 32])];
        assert!(matches!(deploys.fetch(root, &foreign).await, Err(FetchError::NotNamed(_))));
        assert!(matches!(deploys.records_bytes(root, &foreign).await, Err(FetchError::NotNamed(_))));
    }
}
