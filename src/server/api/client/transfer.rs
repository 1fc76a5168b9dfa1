//! Chunks, manifests, versions.

use axum::{Json, body::Body, extract::State};
use bytes::Bytes;
use mimeo_core::{
    manifest::{self, ManifestError},
    messages::{CHUNK_LIST_MAX, ChunkList, VersionReply, records},
};

use super::{
    ClientApi, UPLOAD_BYTES_MAX,
    access::{JsonBody, WorkingCaller},
    body::HeldBody,
    error::ClientError,
};
use crate::{
    clock::Timestamp,
    imaging::session::{Job, capture::CaptureError, deploy::FetchError, machine::Input},
};

pub(super) async fn missing(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session, .. }: WorkingCaller,
    JsonBody(asked): JsonBody<ChunkList>,
) -> Result<Json<ChunkList>, ClientError> {
    check_length(&asked)?;
    let ids = api.inner.services.captures.missing(&session, boot.id, &asked.ids).await?;
    Ok(Json(ChunkList { ids }))
}

pub(super) async fn upload(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session, .. }: WorkingCaller,
    body: Body,
) -> Result<(), ClientError> {
    let HeldBody { bytes, room: _room } = api.inner.bodies.read(body, UPLOAD_BYTES_MAX).await?;
    let chunks = records::parse_all(&bytes).map_err(|error| ClientError::BadRequest(error.to_string()))?;
    // The chunks hold their own copy from here on, in the same room.
    drop(bytes);
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
    WorkingCaller { boot, session, .. }: WorkingCaller,
    body: Body,
) -> Result<Json<VersionReply>, ClientError> {
    let services = &api.inner.services;
    let read = api.inner.bodies.read(body, manifest::BYTES_MAX).await;
    let HeldBody { bytes: encoded, room: _room } = read.map_err(|error| match error {
        // A disk that holds too much is a reason for a person, not a fault of the conversation.
        ClientError::BodyTooLong { bytes, .. } => {
            CaptureError::Manifest(ManifestError::TooLong { bytes }).into()
        }
        error => error,
    })?;
    let now = Timestamp::now();
    let session = services.sessions.step(session.id, Input::Alive { boot: boot.id }, now).await?;
    Ok(Json(services.captures.hand_in(&session, boot.id, encoded, now).await?))
}

pub(super) async fn manifest(
    State(api): State<ClientApi>,
    WorkingCaller { session, .. }: WorkingCaller,
) -> Result<Bytes, ClientError> {
    let Job::Deploy { root, .. } = session.job else { return Err(not_a_deploy()) };
    Ok(api.inner.services.deploys.manifest(root).await?)
}

pub(super) async fn fetch(
    State(api): State<ClientApi>,
    WorkingCaller { session, address, .. }: WorkingCaller,
    JsonBody(asked): JsonBody<ChunkList>,
) -> Result<Vec<u8>, ClientError> {
    check_length(&asked)?;
    let Job::Deploy { root, .. } = session.job else { return Err(not_a_deploy()) };
    let chunks = match api.inner.services.deploys.fetch(root, &asked.ids).await {
        Err(FetchError::NotNamed(chunk)) => {
            let reason = format!("session {} asked for chunk {chunk}, which its version lacks", session.id);
            api.count_refusal(address, &reason)?;
            return Err(FetchError::NotNamed(chunk).into());
        }
        fetched => fetched?,
    };
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
