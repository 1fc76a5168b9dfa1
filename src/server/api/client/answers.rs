//! Answers that are large, on their way out of memory.
//!
//! Chunks are read for a client only where there is room for all that it asked for: what a hundred deploys ask for at
//! once waits on the store's disk, not here. Whoever takes an answer too slowly loses it, and its connection.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use mimeo_core::{chunk::SealedChunk, messages::records};
use tokio_util::task::AbortOnDropHandle;

use super::error::ClientError;
use crate::{
    listener::BreakOff,
    room::{Room, Share},
};

/// Bytes of all such answers that are in memory at once: what a network of 1 Gbit/s carries in two seconds, so that it
/// never waits for a disk; more would only lie here longer. The longest answer is a thirtieth of it.
const ROOM_BYTES: usize = 256 << 20;

/// How long a request waits for room, and how long an answer of no length may take. Less than a client takes for
/// silence, so that it learns why.
const PATIENCE: Duration = Duration::from_secs(15);

/// How fast an answer has to be taken: its share of a network of 10 Mbit/s that all answers leave by at once.
const BYTES_A_SECOND_MIN: usize = 32 << 10;

/// The room that large answers share. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub(super) struct AnswerRoom {
    room: Room,
    patience: Duration,
}

/// The place of an answer that is still to be read from the store.
#[derive(Debug)]
pub(super) struct Place {
    share: Share,
    /// How long the answer may take to leave.
    within: Duration,
}

impl AnswerRoom {
    pub(super) fn new() -> Self {
        Self::with(ROOM_BYTES, PATIENCE)
    }

    pub(super) fn with(room_bytes: usize, patience: Duration) -> Self {
        Self { room: Room::new(room_bytes), patience }
    }

    /// Waits until there is room to read an answer of `bytes`. While it is read it is there twice: as parts of packs and
    /// as chunks.
    pub(super) async fn take(&self, bytes: usize) -> Result<Place, ClientError> {
        let share = self.room.take(bytes.saturating_mul(2), self.patience).await;
        let within = self.patience + Duration::from_secs((bytes / BYTES_A_SECOND_MIN) as u64);
        Ok(Place { share: share.ok_or(ClientError::NoRoom)?, within })
    }
}

impl Place {
    /// The body that carries these chunks. It has its room until it was taken or given up, whichever is first; then
    /// `connection` is broken off, where there is one.
    pub(super) fn fill(self, chunks: Vec<SealedChunk>, connection: Option<BreakOff>) -> Body {
        let Self { mut share, within } = self;
        let mut pieces = VecDeque::with_capacity(chunks.len() * 2);
        for chunk in chunks {
            pieces.push_back(Bytes::copy_from_slice(&records::header_of(&chunk).emit()));
            pieces.push_back(Bytes::from(chunk.frame));
        }
        let left_bytes = pieces.iter().map(Bytes::len).sum();
        // What was for reading goes back at once.
        let share = share.split(left_bytes);
        let shelf = Shelf(Arc::new(Mutex::new(Some(Kept { pieces, _share: share }))));
        // hyper asks a body for its next piece only once the last has left, and such a peer never takes it: so a
        // clock of its own clears the shelf.
        let cleared = shelf.clone();
        let clock = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(within).await;
            drop(cleared.lock().take());
            if let Some(connection) = connection {
                connection.now();
            }
        }));
        Body::new(Answer { shelf, left_bytes: left_bytes as u64, _clock: clock })
    }
}

/// What of an answer has not been handed to the connection; `None` once it was given up.
#[derive(Debug, Clone)]
struct Shelf(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    pieces: VecDeque<Bytes>,
    _share: Option<Share>,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chunk records, piece by piece and without another copy.
struct Answer {
    shelf: Shelf,
    left_bytes: u64,
    _clock: AbortOnDropHandle<()>,
}

impl Drop for Answer {
    /// The clock has a handle to the shelf for a moment longer.
    fn drop(&mut self) {
        drop(self.shelf.lock().take());
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left_bytes == 0 {
            return Poll::Ready(None);
        }
        let piece = self.shelf.lock().as_mut().and_then(|kept| kept.pieces.pop_front());
        Poll::Ready(Some(match piece {
            Some(piece) => {
                self.left_bytes -= piece.len() as u64;
                Ok(Frame::data(piece))
            }
            None => Err(io::ErrorKind::TimedOut.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use futures_util::StreamExt;
    use mimeo_core::{
        chunk::{SealedChunk, seal},
        messages::records,
    };

    use super::AnswerRoom;
    use crate::api::client::error::ClientError;

    const ROOM_BYTES: usize = 256 << 10;
    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    fn chunks() -> (Vec<SealedChunk>, Vec<u8>) {
        let mut noise = vec![0; 50_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let chunks = vec![seal(&noise), seal(b""), seal(&[7; 9000])];
        let mut bytes = Vec::new();
        chunks.iter().for_each(|chunk| records::append(chunk, &mut bytes));
        (chunks, bytes)
    }

    #[tokio::test]
    async fn an_answer_is_its_records_and_holds_its_room_until_it_has_left() {
        let room = AnswerRoom::with(ROOM_BYTES, LONG);
        let (chunks, bytes) = chunks();
        let place = room.take(bytes.len()).await.expect("room");
        assert!(room.room.free_bytes() <= ROOM_BYTES - 2 * bytes.len(), "while it is read");
        let body = place.fill(chunks, None);
        let held = ROOM_BYTES - room.room.free_bytes();
        assert!((bytes.len()..bytes.len() + 1024).contains(&held), "{held}");
        assert_eq!(to_bytes(body, usize::MAX).await.expect("a body"), bytes);
        assert_eq!(room.room.free_bytes(), ROOM_BYTES);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_for_it_and_is_told_to_come_again_where_none_comes() {
        let room = AnswerRoom::with(ROOM_BYTES, SHORT);
        let place = room.take(ROOM_BYTES / 2).await.expect("all is free");
        let refused = room.take(1).await.expect_err("nothing is left");
        assert!(matches!(refused, ClientError::NoRoom), "{refused}");
        let patient = AnswerRoom { patience: LONG, ..room };
        let (given, ()) = tokio::join!(patient.take(1), async { drop(place) });
        assert!(given.is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_gives_its_room_back_and_ends_in_the_middle() {
        let room = AnswerRoom::with(ROOM_BYTES, SHORT);
        let (chunks, bytes) = chunks();
        let place = room.take(bytes.len()).await.expect("room");
        // An answer of no length would have as long as a request waits.
        let mut body = super::Place { within: SHORT, ..place }.fill(chunks, None).into_data_stream();
        assert!(matches!(body.next().await, Some(Ok(_))));
        let all = room.room.take(ROOM_BYTES, LONG).await;
        assert!(all.is_some(), "the body is still there, its room is not");
        assert!(matches!(body.next().await, Some(Err(_))));
    }
}
