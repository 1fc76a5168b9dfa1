//! How fast the chunk store takes in, reads back and gives out.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::Instant,
};

use anyhow::Context;
use mimeo_core::{
    chunk::{self, ChunkId, ChunkSize, SealedChunk, seal},
    messages::CHUNK_LIST_MAX,
};
use mimeo_server::imaging::store::{Store, StoreOptions, backend::Backend};
use tokio::task::{JoinHandle, spawn_blocking};

pub const CHUNK_BYTES: u64 = ChunkSize::DEFAULT.bytes_u32() as u64;

/// Megabytes (10^6) of plain content per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreSpeed {
    /// Named, compressed, checked, packed and durable.
    pub intake: f64,
    /// Read from the disk (not from the kernel's memory), decompressed and hashed.
    pub verify: f64,
    /// Read right after that, decompressed and hashed.
    pub read: f64,
    /// What the store takes for one byte of content.
    pub stored_ratio: f64,
}

/// Puts `chunks` chunks of the default size into a new store at `folder` and gets them out, as clients do: as many at
/// once as one request carries, and as many requests as there are processors.
///
/// Half of each chunk is noise and half is text, so they shrink to about half.
pub async fn measure_store(folder: &Path, chunks: u32) -> anyhow::Result<StoreSpeed> {
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    let store = Store::open(Backend::folder(folder)?, options).await?;
    let plain: Vec<Vec<u8>> = (0..chunks).map(content).collect();
    let ids: Vec<ChunkId> = plain.iter().map(|bytes| ChunkId::of(bytes)).collect();
    let speed = |begun: Instant| f64::from(chunks) * CHUNK_BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    take_in(&store, plain).await?;
    let intake = speed(begun);

    let begun = Instant::now();
    let verification = store.verify(&ids, &|_| ()).await?;
    anyhow::ensure!(verification.proved_chunks == ids.len() as u64, "{verification:?}");
    let verify = speed(begun);

    let begun = Instant::now();
    give_out(&store, &ids).await?;
    let read = speed(begun);
    let stored_ratio = folder_bytes(folder)? as f64 / (f64::from(chunks) * CHUNK_BYTES as f64);
    Ok(StoreSpeed { intake, verify, read, stored_ratio })
}

/// Writes the content of those chunks to a file, one after the other.
pub fn write_content(path: &Path, chunks: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    (0..chunks).try_for_each(|number| file.write_all(&content(number)))
}

/// Length of everything in a folder.
pub fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

async fn take_in(store: &Store, plain: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let intake = store.intake();
    let mut plain = plain.into_iter();
    let mut sealing: VecDeque<JoinHandle<Vec<SealedChunk>>> = VecDeque::new();
    loop {
        let request: Vec<Vec<u8>> = plain.by_ref().take(CHUNK_LIST_MAX).collect();
        let over = request.is_empty();
        if !over {
            sealing.push_back(spawn_blocking(move || request.iter().map(|bytes| seal(bytes)).collect()));
        }
        let ahead = if over { 0 } else { processors() };
        while sealing.len() > ahead {
            let Some(sealed) = sealing.pop_front() else { break };
            intake.put(sealed.await?).await?;
        }
        if over {
            break;
        }
    }
    intake.finish().await?;
    Ok(())
}

async fn give_out(store: &Store, ids: &[ChunkId]) -> anyhow::Result<()> {
    let mut opening: VecDeque<JoinHandle<anyhow::Result<()>>> = VecDeque::new();
    for request in ids.chunks(CHUNK_LIST_MAX) {
        let sealed = store.read_many(request).await.context("reading chunks")?;
        opening.push_back(spawn_blocking(move || {
            sealed.iter().try_for_each(|sealed| chunk::open(sealed).map(drop)).context("opening chunks")
        }));
        if opening.len() > processors()
            && let Some(opened) = opening.pop_front()
        {
            opened.await??;
        }
    }
    for opened in opening {
        opened.await??;
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn content(number: u32) -> Vec<u8> {
    let mut bytes = b"some text that shrinks well. ".repeat(5000);
    bytes.truncate(CHUNK_BYTES as usize);
    let (noise, _) = bytes.split_at_mut(CHUNK_BYTES as usize / 2);
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(noise);
    bytes
}
