//! Manifests: one object each, named by its root.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use mimeo_core::manifest::{ManifestError, ManifestRoot, SignedManifest};

use super::{Store, backend::is_medium_error, error::StoreError};

/// Where manifests are, among a store's objects.
pub(super) const FOLDER: &str = "manifests";
const SUFFIX: &str = ".manifest";

impl Store {
    /// Writes a manifest, reads it back and gives its name. Durable once this returns; writing the same twice is no harm.
    ///
    /// The caller has made every chunk that it names durable before, and lists it nowhere until after. The caller has
    /// a [`Hold`](super::hold::Hold) from before until it is listed; without one, the next collection takes it.
    pub async fn put_manifest(&self, manifest: &SignedManifest) -> Result<ManifestRoot, StoreError> {
        let root = manifest.root();
        let tick = self.index().tick();
        // Before it is put: then whoever removes one of this name from here on sees it.
        self.held_manifests().insert(root, tick);
        let reserve_bytes = self.shared.options.reserve_bytes;
        // Also where it is there already: it may have been put by one who died before its name was durable.
        self.put(object(root), manifest.to_bytes().into(), reserve_bytes, |_| ()).await?;
        Ok(root)
    }

    /// The names of all manifests that lie in the store.
    pub(super) async fn list_manifests(&self) -> Result<Vec<ManifestRoot>, StoreError> {
        let objects = self.shared.backend.list(FOLDER).await?;
        let roots = objects.iter().filter_map(|found| {
            let stem = found.name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
            ManifestRoot::try_from(stem.to_owned()).ok()
        });
        Ok(roots.collect())
    }

    /// Removes a manifest that no version names, unless one was put since `floor`. Says whether it did.
    ///
    /// CANCEL-SAFETY: once it removes it goes on to the end, whoever still waits.
    pub(super) async fn remove_manifest(&self, root: ManifestRoot, floor: u32) -> Result<bool, StoreError> {
        let store = self.clone();
        let task = tokio::spawn(async move {
            let _nobody_writes_it = store.shared.names.clone().write_owned().await;
            if store.held_manifests().get(&root).is_some_and(|&tick| tick >= floor) {
                return Ok(false);
            }
            store.shared.backend.delete(&object(root)).await.map(|()| true)
        });
        task.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// When each manifest was put that may not be listed yet.
    pub(super) fn held_manifests(&self) -> MutexGuard<'_, HashMap<ManifestRoot, u32>> {
        // A single insertion or removal is whole or not there.
        self.shared.held_manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next reading of a manifest come from the disk, not from the kernel's memory of it.
    pub async fn forget_cached_manifest(&self, root: ManifestRoot) -> Result<(), StoreError> {
        self.shared.backend.forget_cached(&object(root)).await
    }

    /// Reads a manifest and checks that its content is what its name says. Its signature is for whoever opens it
    /// to check ([`SignedManifest::open`]).
    pub async fn read_manifest(&self, root: ManifestRoot) -> Result<SignedManifest, StoreError> {
        let bytes = match self.shared.backend.read(&object(root)).await {
            Err(StoreError::Backend { source, .. }) if is_medium_error(&source) => {
                return Err(StoreError::ManifestUnreadable { root, detail: source.to_string() });
            }
            read => read?,
        };
        let bytes = bytes.ok_or(StoreError::ManifestMissing { root })?;
        let damaged = |source| StoreError::ManifestDamaged { root, source };
        let manifest = SignedManifest::from_bytes(&bytes).map_err(damaged)?;
        match manifest.root() {
            actual if actual == root => Ok(manifest),
            actual => Err(damaged(ManifestError::WrongRoot { expected: root, actual })),
        }
    }
}

fn object(root: ManifestRoot) -> String {
    format!("{FOLDER}/{root}{SUFFIX}")
}
