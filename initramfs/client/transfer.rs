//! What a session moves between this computer and the server.

use mimeo_core::{
    chunk::{ChunkId, ChunkSize, Effort, NamedChunk, SealedChunk},
    ids::SessionId,
    manifest::{self, ManifestRoot, SignedManifest},
    messages::{
        CHUNK_LIST_MAX, ChunkList, Heartbeat, HeartbeatReply, VersionQuestion, VersionReply, paths,
        records::{self, HEADER_BYTES},
    },
};

use mimeo_engine::link::{ServerError, SessionServer};

use crate::server::{Conversation, json, json_body};

/// The longest answers that are read: a list of ids or a word, ...
const WORD_BYTES_MAX: u64 = 64 << 10;
/// ... as many chunks as a list may name, ...
const CHUNKS_BYTES_MAX: u64 =
    CHUNK_LIST_MAX as u64 * (ChunkSize::LARGEST.bytes_u32() as u64 + HEADER_BYTES as u64);
/// ... and a manifest with its signature.
const MANIFEST_BYTES_MAX: u64 = (manifest::BYTES_MAX + 64) as u64;

/// One session's requests, over HTTPS.
pub struct SessionTransfer {
    conversation: Conversation,
    session: SessionId,
}

impl SessionTransfer {
    pub(crate) fn new(conversation: Conversation, session: SessionId) -> Self {
        Self { conversation, session }
    }

    fn post(&self, path: &str, body: &[u8], answer_bytes_max: u64) -> Result<Vec<u8>, ServerError> {
        self.conversation.post(&paths::of_session(path, self.session), body, answer_bytes_max)
    }

    pub(crate) fn upload(&self, records: &[u8]) -> Result<(), ServerError> {
        self.post(paths::CHUNKS_UPLOAD, records, WORD_BYTES_MAX).map(drop)
    }
}

impl SessionServer for SessionTransfer {
    fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, ServerError> {
        json(&self.post(paths::HEARTBEAT, &json_body(beat)?, WORD_BYTES_MAX)?)
    }

    fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ServerError> {
        let list = ChunkList { ids: ids.to_vec() };
        let missing: ChunkList =
            json(&self.post(paths::CHUNKS_MISSING, &json_body(&list)?, WORD_BYTES_MAX)?)?;
        Ok(missing.ids)
    }

    fn hand_in(&self, chunks: &[NamedChunk<'_>], effort: Effort) -> Result<u64, ServerError> {
        let mut sealed = Vec::new();
        chunks.iter().for_each(|chunk| records::append(&chunk.seal(effort), &mut sealed));
        self.upload(&sealed)?;
        Ok(sealed.len() as u64)
    }

    fn fetch(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, ServerError> {
        let list = ChunkList { ids: ids.to_vec() };
        let bytes = self.post(paths::CHUNKS_FETCH, &json_body(&list)?, CHUNKS_BYTES_MAX)?;
        records::parse_all(&bytes).map_err(|error| ServerError::Malformed(error.to_string()))
    }

    fn ask_version(&self, root: ManifestRoot) -> Result<VersionReply, ServerError> {
        json(&self.post(paths::VERSION_ASK, &json_body(&VersionQuestion { root })?, WORD_BYTES_MAX)?)
    }

    fn publish(&self, encoded: &[u8]) -> Result<VersionReply, ServerError> {
        json(&self.post(paths::VERSION, encoded, WORD_BYTES_MAX)?)
    }

    fn manifest(&self) -> Result<SignedManifest, ServerError> {
        let path = paths::of_session(paths::MANIFEST, self.session);
        let bytes = self.conversation.get(&path, MANIFEST_BYTES_MAX)?;
        SignedManifest::from_bytes(&bytes).map_err(|error| ServerError::Malformed(error.to_string()))
    }
}
