//! Manifests: one object each, named by its root.

use mimeo_core::manifest::{ManifestError, ManifestRoot, SignedManifest};

use super::{Store, error::StoreError};

/// Where manifests are, among a store's objects.
pub(super) const FOLDER: &str = "manifests";

impl Store {
    /// Writes a manifest and gives its name. Durable once this returns; writing the same twice is no harm.
    ///
    /// The caller has made every chunk that it names durable before, and lists it nowhere until after.
    pub async fn put_manifest(&self, manifest: &SignedManifest) -> Result<ManifestRoot, StoreError> {
        let root = manifest.root();
        self.put_durable(&object(root), manifest.to_bytes().into()).await?;
        Ok(root)
    }

    /// Reads a manifest and checks that its content is what its name says. Its signature is for whoever opens it
    /// to check ([`SignedManifest::open`]).
    pub async fn read_manifest(&self, root: ManifestRoot) -> Result<SignedManifest, StoreError> {
        let bytes = self.shared.backend.read(&object(root)).await?;
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
    format!("{FOLDER}/{root}.manifest")
}
