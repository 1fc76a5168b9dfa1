//! Chunks, manifests, versions.

use axum::{Json, extract::State};
use bytes::Bytes;
use mimeo_core::messages::{CHUNK_LIST_MAX, ChunkList, VersionReply, records};

use super::{
    ClientApi,
    access::{JsonBody, WorkingCaller},
    error::ClientError,
};
use crate::{
    clock::Timestamp,
    imaging::session::{Job, machine::Input},
};

pub(super) async fn missing(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session }: WorkingCaller,
    JsonBody(asked): JsonBody<ChunkList>,
) -> Result<Json<ChunkList>, ClientError> {
    check_length(&asked)?;
    let ids = api.inner.services.captures.missing(&session, boot.id, &asked.ids).await?;
    Ok(Json(ChunkList { ids }))
}

pub(super) async fn upload(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session }: WorkingCaller,
    body: Bytes,
) -> Result<(), ClientError> {
    let chunks = records::parse_all(&body).map_err(|error| ClientError::BadRequest(error.to_string()))?;
    // The chunks hold their own copy from here on.
    drop(body);
    if chunks.len() > CHUNK_LIST_MAX {
        return Err(ClientError::BadRequest(format!(
            "{} chunks at once, at most {CHUNK_LIST_MAX}",
            chunks.len()
        )));
    }
    Ok(api.inner.services.captures.put(&session, boot.id, chunks).await?)
}

/// Reading back may take longer than a lease: asking how far it is shows that the client lives.
pub(super) async fn version(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session }: WorkingCaller,
    encoded: Bytes,
) -> Result<Json<VersionReply>, ClientError> {
    let services = &api.inner.services;
    let now = Timestamp::now();
    let session = services.sessions.step(session.id, Input::Alive { boot: boot.id }, now).await?;
    Ok(Json(services.captures.hand_in(&session, boot.id, encoded, now).await?))
}

pub(super) async fn manifest(
    State(api): State<ClientApi>,
    WorkingCaller { session, .. }: WorkingCaller,
) -> Result<Vec<u8>, ClientError> {
    let Job::Deploy { root, .. } = session.job else { return Err(not_a_deploy()) };
    Ok(api.inner.services.deploys.manifest(root).await?.to_bytes())
}

pub(super) async fn fetch(
    State(api): State<ClientApi>,
    WorkingCaller { session, .. }: WorkingCaller,
    JsonBody(asked): JsonBody<ChunkList>,
) -> Result<Vec<u8>, ClientError> {
    check_length(&asked)?;
    let Job::Deploy { root, .. } = session.job else { return Err(not_a_deploy()) };
    let chunks = api.inner.services.deploys.fetch(root, &asked.ids).await?;
    let frames: usize = chunks.iter().map(|chunk| chunk.frame.len()).sum();
    let mut body = Vec::with_capacity(frames + chunks.len() * records::HEADER_BYTES);
    for chunk in &chunks {
        records::append(chunk, &mut body);
    }
    Ok(body)
}

fn check_length(asked: &ChunkList) -> Result<(), ClientError> {
    if asked.ids.len() <= CHUNK_LIST_MAX {
        return Ok(());
    }
    Err(ClientError::BadRequest(format!("{} chunk ids at once, at most {CHUNK_LIST_MAX}", asked.ids.len())))
}

fn not_a_deploy() -> ClientError {
    ClientError::BadRequest("the session is no deploy".into())
}
