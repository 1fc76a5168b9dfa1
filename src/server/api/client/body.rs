//! Request bodies that are large, on their way into memory.
//!
//! A body is let in only where there is room for all of it: what a hundred captures send at once waits in the
//! network, not here. Whoever sends too slowly gives the room back.

use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use bytes::Bytes;
use mimeo_core::manifest;
use tokio::time::timeout;

use super::error::ClientError;
use crate::room::{Room, Share};

/// Bytes of all such bodies that are in memory at once: two of the longest manifests, or sixty uploads.
const ROOM_BYTES: usize = 2 * manifest::BYTES_MAX;

/// How long a body waits for room, and how long one of no length may take. Less than a client takes for silence, so
/// that it learns why.
const PATIENCE: Duration = Duration::from_secs(15);

/// How fast a body has to come: as a network of 1 Mbit/s carries it.
const BYTES_A_SECOND_MIN: usize = 128 << 10;

/// The room that large bodies share. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub(super) struct BodyRoom {
    room: Room,
    patience: Duration,
}

/// A body in memory, and the room that it takes there until this is dropped.
#[derive(Debug)]
pub(super) struct HeldBody {
    pub(super) bytes: Bytes,
    pub(super) room: Share,
}

impl BodyRoom {
    pub(super) fn new() -> Self {
        Self::with(ROOM_BYTES, PATIENCE)
    }

    fn with(room_bytes: usize, patience: Duration) -> Self {
        Self { room: Room::new(room_bytes), patience }
    }

    /// Reads a body of at most `bytes_max`, once there is room for it.
    pub(super) async fn read(&self, body: Body, bytes_max: usize) -> Result<HeldBody, ClientError> {
        let announced = announced(&body, bytes_max)?;
        let room = self.room.take(announced, self.patience).await.ok_or(ClientError::NoRoom)?;
        let within = self.patience + Duration::from_secs((announced / BYTES_A_SECOND_MIN) as u64);
        let read = timeout(within, to_bytes(body, announced)).await;
        let read = read.map_err(|_| ClientError::BodyTooSlow { bytes: announced, within })?;
        let bytes = read.map_err(|error| ClientError::BadRequest(error.to_string()))?;
        Ok(HeldBody { bytes, room })
    }
}

/// How long a body says that it is; `bytes_max` where it does not say.
pub(super) fn announced(body: &Body, bytes_max: usize) -> Result<usize, ClientError> {
    let upper = body.size_hint().upper();
    let bytes = upper.map_or(bytes_max, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if bytes > bytes_max { Err(ClientError::BodyTooLong { bytes, bytes_max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};

    use super::BodyRoom;
    use crate::api::client::error::ClientError;

    const ROOM_BYTES: usize = 64 << 10;

    /// A body that nobody ever sends.
    fn stalled() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused_before_any_of_it_is_read() {
        let room = BodyRoom::with(ROOM_BYTES, Duration::from_millis(20));
        let held = room.read(Body::from("first"), ROOM_BYTES).await.expect("it is announced as short");
        let error = room.read(stalled(), ROOM_BYTES).await.expect_err("the first is still held");
        assert!(matches!(error, ClientError::NoRoom), "{error}");
        drop(held);
        assert_eq!(room.read(Body::from("second"), ROOM_BYTES).await.expect("room again").bytes, "second");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_gives_its_room_back() {
        let room = BodyRoom::with(ROOM_BYTES, Duration::from_millis(20));
        let error = room.read(stalled(), ROOM_BYTES).await.expect_err("it never comes");
        assert!(matches!(error, ClientError::BodyTooSlow { .. }), "{error}");
        assert_eq!(room.room.free_bytes(), ROOM_BYTES);
    }

    #[tokio::test]
    async fn a_body_that_is_or_becomes_too_long_is_refused() {
        let room = BodyRoom::with(ROOM_BYTES, Duration::from_secs(15));
        let announced = room.read(Body::from(vec![0; 101]), 100).await;
        assert!(matches!(announced, Err(ClientError::BodyTooLong { bytes: 101, bytes_max: 100 })));
        let endless = stream::repeat(Bytes::from_static(b"more")).map(Ok::<_, std::io::Error>);
        let endless = room.read(Body::from_stream(endless), 100).await;
        assert!(matches!(endless, Err(ClientError::BadRequest(_))), "{endless:?}");
    }
}
