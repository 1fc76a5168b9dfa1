//! Chunks, manifests, versions.

use axum::{Extension, Json, body::Body, extract::State};
use bytes::Bytes;
use mimeo_core::{
    manifest::{self, ManifestError},
    messages::{CHUNK_LIST_MAX, ChunkList, VersionQuestion, VersionReply, records},
};

use super::{
    ClientApi, UPLOAD_BYTES_MAX,
    access::{JsonBody, WorkingCaller},
    body::{HeldBody, announced},
    error::ClientError,
};
use crate::{
    clock::Timestamp,
    imaging::session::{Job, Session, capture::CaptureError, deploy::FetchError, machine::Input},
    inventory::client_boot::ClientBoot,
    listener::BreakOff,
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

pub(super) async fn version(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session, .. }: WorkingCaller,
    body: Body,
) -> Result<Json<VersionReply>, ClientError> {
    let captures = &api.inner.services.captures;
    let bytes = announced(&body, manifest::BYTES_MAX).map_err(|error| match error {
        // A disk that holds too much is a reason for a person, not a fault of the conversation.
        ClientError::BodyTooLong { bytes, .. } => {
            CaptureError::Manifest(ManifestError::TooLong { bytes }).into()
        }
        error => error,
    })?;
    // Before any of it is read: it is to travel once.
    let room = captures.room_for_manifest(bytes).await?;
    let HeldBody { bytes: encoded, room: _body_room } = api.inner.bodies.read(body, bytes).await?;
    let (session, now) = alive(&api, &session, boot).await?;
    Ok(Json(captures.hand_in(&session, boot.id, encoded, room, now).await?))
}

pub(super) async fn ask_version(
    State(api): State<ClientApi>,
    WorkingCaller { boot, session, .. }: WorkingCaller,
    JsonBody(VersionQuestion { root }): JsonBody<VersionQuestion>,
) -> Result<Json<VersionReply>, ClientError> {
    let (session, now) = alive(&api, &session, boot).await?;
    Ok(Json(api.inner.services.captures.ask(&session, boot.id, root, now).await?))
}

/// Reading back may take longer than a lease: asking how far it is shows that the client lives.
async fn alive(
    api: &ClientApi,
    session: &Session,
    boot: ClientBoot,
) -> Result<(Session, Timestamp), ClientError> {
    let now = Timestamp::now();
    let input = Input::Alive { boot: boot.id };
    Ok((api.inner.services.sessions.step(session.id, input, now).await?, now))
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
    connection: Option<Extension<BreakOff>>,
    JsonBody(asked): JsonBody<ChunkList>,
) -> Result<Body, ClientError> {
    check_length(&asked)?;
    let Job::Deploy { root, .. } = session.job else { return Err(not_a_deploy()) };
    let deploys = &api.inner.services.deploys;
    let bytes = match deploys.records_bytes(root, &asked.ids).await {
        Err(FetchError::NotNamed(chunk)) => {
            let reason = format!("session {} asked for chunk {chunk}, which its version lacks", session.id);
            api.count_refusal(address, &reason)?;
            return Err(FetchError::NotNamed(chunk).into());
        }
        counted => usize::try_from(counted?).unwrap_or(usize::MAX),
    };
    let place = api.inner.answers.take(bytes).await?;
    let chunks = deploys.fetch(root, &asked.ids).await?;
    Ok(place.fill(chunks, connection.map(|Extension(connection)| connection)))
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
