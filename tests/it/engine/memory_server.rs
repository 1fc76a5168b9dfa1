//! A server that keeps everything in memory, and fails as it is told.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, Effort, NamedChunk, SealedChunk},
    failure::FailureCause,
    ids::{SessionId, VersionNumber},
    manifest::{Manifest, ManifestRoot, SignedManifest},
    messages::{CHUNK_LIST_MAX, ChunkList, DeployOrder, DiskPin, Heartbeat, HeartbeatReply, VersionReply},
};
use mimeo_engine::link::{ServerError, SessionServer};

pub(super) struct MemoryServer {
    chunks: Mutex<HashMap<ChunkId, SealedChunk>>,
    manifest: Mutex<Option<SignedManifest>>,
    /// The manifest that was handed in; a server that is restarted has none.
    handed_in: Mutex<Option<Manifest>>,
    pub(super) manifests_handed_in: AtomicU32,
    /// So many times, the manifest is forgotten after it was handed in.
    pub(super) restarts: AtomicU32,
    key: SigningKey,
    pub(super) fetched_chunks: AtomicU64,
    pub(super) uploaded_chunks: AtomicU64,
    /// So many further requests find nobody.
    pub(super) gone_for: AtomicU32,
    /// So many further requests are told that there is no room yet.
    pub(super) busy_for: AtomicU32,
    /// So many chunks are forgotten when the next manifest comes.
    pub(super) forgets: AtomicU32,
    /// This chunk leaves damaged, so many times.
    pub(super) damages: Mutex<Option<(ChunkId, u32)>>,
    /// Once so many chunks were fetched, no more are given and heartbeats are answered with "stop".
    pub(super) stops_after: AtomicU64,
    verifying_polls: AtomicU32,
}

impl MemoryServer {
    pub(super) fn new() -> Self {
        Self {
            chunks: Mutex::default(),
            manifest: Mutex::default(),
            handed_in: Mutex::default(),
            manifests_handed_in: AtomicU32::new(0),
            restarts: AtomicU32::new(0),
            key: SigningKey::from_bytes(&[9; 32]),
            fetched_chunks: AtomicU64::new(0),
            uploaded_chunks: AtomicU64::new(0),
            gone_for: AtomicU32::new(0),
            busy_for: AtomicU32::new(0),
            forgets: AtomicU32::new(0),
            damages: Mutex::default(),
            stops_after: AtomicU64::new(u64::MAX),
            verifying_polls: AtomicU32::new(0),
        }
    }

    pub(super) fn signed(&self) -> SignedManifest {
        self.manifest.lock().unwrap().clone().expect("no version was published")
    }

    pub(super) fn manifest_of_version(&self) -> Manifest {
        Manifest::decode(&self.signed().encoded).unwrap()
    }

    /// Puts a manifest in the place of the published one.
    pub(super) fn publish_as_is(&self, manifest: &Manifest) {
        *self.manifest.lock().unwrap() = Some(SignedManifest::sign(manifest, &self.key));
    }

    pub(super) fn deploy_order(&self, target: DiskPin) -> DeployOrder {
        DeployOrder {
            session: SessionId(2),
            master_name: "test".into(),
            version: VersionNumber(1),
            manifest_root: self.signed().root(),
            manifest_key: self.key.verifying_key().to_bytes(),
            target,
            verify: true,
        }
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunks().len()
    }

    fn chunks(&self) -> MutexGuard<'_, HashMap<ChunkId, SealedChunk>> {
        self.chunks.lock().unwrap()
    }

    fn stops(&self) -> bool {
        self.fetched_chunks.load(Ordering::SeqCst) >= self.stops_after.load(Ordering::SeqCst)
    }

    fn answers(&self) -> Result<(), ServerError> {
        if one_less(&self.gone_for) {
            return Err(ServerError::Unreachable("the server restarts".into()));
        }
        if one_less(&self.busy_for) {
            return Err(ServerError::Busy("others come first".into()));
        }
        Ok(())
    }
}

impl SessionServer for MemoryServer {
    fn heartbeat(&self, _: &Heartbeat) -> Result<HeartbeatReply, ServerError> {
        Ok(if self.stops() { HeartbeatReply::Stop } else { HeartbeatReply::GoOn })
    }

    fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ServerError> {
        self.answers()?;
        assert!(!ids.is_empty() && ids.len() <= CHUNK_LIST_MAX);
        let chunks = self.chunks();
        Ok(ids.iter().filter(|id| !chunks.contains_key(id)).copied().collect())
    }

    fn hand_in(&self, chunks: &[NamedChunk<'_>], effort: Effort) -> Result<u64, ServerError> {
        self.answers()?;
        assert!(!chunks.is_empty() && chunks.len() <= CHUNK_LIST_MAX);
        let mut bytes = 0;
        for chunk in chunks {
            let sealed = chunk.seal(effort);
            bytes += sealed.frame.len() as u64;
            self.uploaded_chunks.fetch_add(1, Ordering::SeqCst);
            self.chunks().insert(sealed.id, sealed);
        }
        Ok(bytes)
    }

    fn fetch(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, ServerError> {
        self.answers()?;
        assert!(!ids.is_empty() && ids.len() <= CHUNK_LIST_MAX);
        let most = self.stops_after.load(Ordering::SeqCst);
        self.fetched_chunks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |fetched| {
                (fetched < most).then_some(fetched + ids.len() as u64)
            })
            .map_err(|_| ServerError::Unreachable("waiting for the client to stop".into()))?;
        let mut damages = self.damages.lock().unwrap();
        let chunks = self.chunks();
        let fetch = |id: &ChunkId| {
            let missing = || ServerError::Refused(FailureCause::ChunkMissing { chunk: *id });
            let mut sealed = chunks.get(id).cloned().ok_or_else(missing)?;
            if let Some((damaged, times @ 1..)) = damages.as_mut()
                && damaged == id
            {
                *times -= 1;
                let middle = sealed.frame.len() / 2;
                sealed.frame[middle] ^= 0x10;
            }
            Ok(sealed)
        };
        ids.iter().map(fetch).collect()
    }

    fn ask_version(&self, root: ManifestRoot) -> Result<VersionReply, ServerError> {
        self.answers()?;
        let handed_in = self.handed_in.lock().unwrap().clone();
        match handed_in.filter(|manifest| ManifestRoot::of(&manifest.encode()) == root) {
            Some(manifest) => Ok(self.go_on(&manifest)),
            None => Ok(VersionReply::ManifestWanted),
        }
    }

    fn publish(&self, encoded: &[u8]) -> Result<VersionReply, ServerError> {
        self.answers()?;
        let manifest = Manifest::decode(encoded).unwrap();
        self.manifests_handed_in.fetch_add(1, Ordering::SeqCst);
        *self.handed_in.lock().unwrap() = Some(manifest.clone());
        let reply = self.go_on(&manifest);
        if one_less(&self.restarts) {
            *self.handed_in.lock().unwrap() = None;
        }
        Ok(reply)
    }

    fn manifest(&self) -> Result<SignedManifest, ServerError> {
        self.answers()?;
        Ok(self.signed())
    }
}

impl MemoryServer {
    /// Says "verifying" once before it publishes.
    fn go_on(&self, manifest: &Manifest) -> VersionReply {
        let mut forgotten: Vec<ChunkId> = self.chunks().keys().copied().collect();
        forgotten.truncate(self.forgets.swap(0, Ordering::SeqCst) as usize);
        self.chunks().retain(|id, _| !forgotten.contains(id));
        let chunks = self.chunks();
        let mut missing: Vec<ChunkId> =
            manifest.data_chunks().map(|(_, id)| id).filter(|id| !chunks.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            missing.truncate(CHUNK_LIST_MAX);
            return VersionReply::Missing(ChunkList { ids: missing });
        }
        if self.verifying_polls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return VersionReply::Verifying { done_chunks: 1, total_chunks: 2 };
        }
        let signed = SignedManifest::sign(manifest, &self.key);
        let root = signed.root();
        *self.manifest.lock().unwrap() = Some(signed);
        *self.handed_in.lock().unwrap() = None;
        VersionReply::Published { version: VersionNumber(1), root }
    }
}

fn one_less(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
