//! Chunks from the server, proved.

use std::collections::HashMap;

use mimeo_core::{
    chunk::{self, ChunkId, OpenChunkError, SealedChunk},
    failure::FailureCause,
};

use crate::{
    halt::Halt,
    link::{Link, ServerError},
};

/// How often a chunk is fetched that arrives damaged. Once more tells a fault of the way (a flipped bit in a
/// switch's memory) from one of the store.
const DAMAGED_TRIES: u32 = 2;

/// Fetches chunks (at most `CHUNK_LIST_MAX`, each id once) and proves each of them to be what its id says.
pub(crate) fn fetch(link: &Link<'_>, ids: &[ChunkId]) -> Result<HashMap<ChunkId, Vec<u8>>, Halt> {
    let mut opened = HashMap::with_capacity(ids.len());
    fetch_each(link, ids, |sealed| {
        opened.insert(sealed.id, chunk::open(sealed)?);
        Ok(())
    })?;
    Ok(opened)
}

/// As [`fetch`], each into memory that is at hand. The first chunk that is not as long as its memory is given: all
/// others are in place.
pub(crate) fn fetch_into(
    link: &Link<'_>,
    places: &mut HashMap<ChunkId, &mut [u8]>,
) -> Result<Option<ChunkId>, Halt> {
    let ids: Vec<ChunkId> = places.keys().copied().collect();
    let mut unfit = None;
    fetch_each(link, &ids, |sealed| {
        match places.get_mut(&sealed.id).filter(|place| place.len() == sealed.plain_bytes as usize) {
            Some(place) => chunk::open_into(sealed, place)?,
            None => {
                // Its length may have been damaged on the way: then it is fetched once more.
                chunk::prove(sealed)?;
                unfit = unfit.or(Some(sealed.id));
            }
        }
        Ok(())
    })?;
    Ok(unfit)
}

/// Fetches chunks and has `open` prove each; what it finds damaged is fetched once more.
fn fetch_each(
    link: &Link<'_>,
    ids: &[ChunkId],
    mut open: impl FnMut(&SealedChunk) -> Result<(), OpenChunkError>,
) -> Result<(), Halt> {
    let mut wanted = ids.to_vec();
    for attempt in 1..=DAMAGED_TRIES {
        if wanted.is_empty() {
            break;
        }
        let sealed = link.ask(|server| {
            let sealed = server.fetch(&wanted)?;
            if sealed.iter().map(|chunk| chunk.id).eq(wanted.iter().copied()) {
                Ok(sealed)
            } else {
                Err(ServerError::Malformed("the chunks are not the ones that were asked for".into()))
            }
        })?;
        wanted.clear();
        let mut received_bytes = 0;
        for chunk in sealed {
            received_bytes += chunk.frame.len() as u64;
            match open(&chunk) {
                Ok(()) => {}
                Err(error) if attempt < DAMAGED_TRIES => {
                    tracing::warn!(chunk = %chunk.id, %error, "a chunk arrived damaged, fetching it again");
                    wanted.push(chunk.id);
                }
                Err(error) => {
                    let detail = error.to_string();
                    return Err(FailureCause::ChunkDamaged { chunk: chunk.id, detail }.into());
                }
            }
        }
        link.board.update(|progress| progress.received_bytes += received_bytes);
    }
    Ok(())
}
