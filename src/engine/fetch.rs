//! Chunks from the server, proved.

use std::collections::HashMap;

use mimeo_core::{
    chunk::{self, ChunkId},
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
            match chunk::open(&chunk) {
                Ok(plain) => {
                    opened.insert(chunk.id, plain);
                }
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
    Ok(opened)
}
