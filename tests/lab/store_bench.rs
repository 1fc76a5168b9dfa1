//! How fast the chunk store takes in, reads back and gives out.

use std::{path::Path, time::Instant};

use anyhow::Context;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, SealedChunk, seal},
    messages::CHUNK_LIST_MAX,
};
use mimeo_server::imaging::store::{Store, StoreOptions, backend::Backend};

/// Megabytes (10^6) of plain disk content per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreSpeed {
    /// Opened, hashed, packed and durable.
    pub intake: f64,
    /// Read from the disk (not from the kernel's memory), decompressed and hashed.
    pub verify: f64,
    /// Handed out sealed, right after that.
    pub read: f64,
    /// Length of the packs for one byte of content.
    pub stored_ratio: f64,
}

/// Puts `chunks` chunks of the default size into a new store at `folder`, as a client does: sealed beforehand, as
/// many at once as one request carries.
///
/// Half of each chunk is noise and half is text, so they shrink to about half.
pub async fn measure_store(folder: &Path, chunks: u32) -> anyhow::Result<StoreSpeed> {
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    let store = Store::open(Backend::folder(folder)?, options).await?;
    let sealed: Vec<SealedChunk> = (0..chunks).map(|number| seal(&content(number))).collect();
    let ids: Vec<ChunkId> = sealed.iter().map(|chunk| chunk.id).collect();
    let megabytes = f64::from(chunks) * ChunkSize::DEFAULT.bytes() as f64 / 1e6;

    let intake = store.intake();
    let begun = Instant::now();
    let mut sealed = sealed.into_iter();
    loop {
        let request: Vec<_> = sealed.by_ref().take(CHUNK_LIST_MAX).collect();
        if request.is_empty() {
            break;
        }
        intake.put(request).await?;
    }
    let stored = intake.finish().await?;
    let intake = megabytes / begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let verification = store.verify(&ids, &|_| ()).await?;
    anyhow::ensure!(verification.proved_chunks == ids.len() as u64, "{verification:?}");
    let verify = megabytes / begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    for request in ids.chunks(CHUNK_LIST_MAX) {
        store.read_many(request).await.context("reading chunks")?;
    }
    let read = megabytes / begun.elapsed().as_secs_f64();
    Ok(StoreSpeed { intake, verify, read, stored_ratio: stored.bytes as f64 / 1e6 / megabytes })
}

fn content(number: u32) -> Vec<u8> {
    let mut bytes = b"some text that shrinks well. ".repeat(5000);
    bytes.truncate(ChunkSize::DEFAULT.bytes() as usize);
    let (noise, _) = bytes.split_at_mut(ChunkSize::DEFAULT.bytes() as usize / 2);
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(noise);
    bytes
}
