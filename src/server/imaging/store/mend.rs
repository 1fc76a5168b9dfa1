//! A pack whose footer is lost while its records are not is written anew.
//!
//! The footer says where each chunk lies, and the next start needs it; the chunks themselves need it not. One bit that flips
//! in it is therefore no damage to any chunk: what the index knows of the pack, from the footer as it was or from the
//! records that start looked through (`pack/salvage.rs`), is read, proved, and written into a pack with a footer. Where
//! every record is sound, that is a pack of the same name, which takes the old one's place. Else the old one stays for what
//! is lost in it, until nobody needs that (`collect.rs`).
//!
//! Where there is no room for it, the chunks stay where they are: they can be read, and the next start finds them again.

use mimeo_core::chunk::SealedChunk;

use super::{
    Store,
    error::{Damage, StoreError},
    index::Located,
    pace::Pace,
    pack::{PackBuilder, PackError, PackName},
    span,
};

/// What became of a pack without a footer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// Length of the records that were read.
    pub(super) bytes: u64,
    pub(super) proved_chunks: u64,
    /// Chunks of it that are lost, unless another pack has them.
    pub(super) damaged: Vec<Damage>,
    /// Whether anything was written anew.
    pub(super) rewritten: bool,
}

impl Store {
    /// Every pack whose chunks are known and whose footer cannot be read.
    pub fn packs_without_footer(&self) -> Vec<PackName> {
        let index = self.index();
        let known = |name: &PackName| index.number_of(*name).is_some();
        index.unreadable().iter().map(|unreadable| unreadable.pack).filter(known).collect()
    }

    /// Writes anew what is known of a pack whose footer cannot be read, and notes what of it is lost.
    pub(super) async fn mend(
        &self,
        name: PackName,
        error: PackError,
        pace: Pace,
    ) -> Result<Mended, StoreError> {
        let mut mended = Mended::default();
        let limit_bytes = self.shared.options.pack_bytes as usize;
        let places = self.index().find_places_in(name);
        let (mut builder, mut from) = (PackBuilder::default(), Vec::new());
        for span in span::plan(places) {
            let bytes = span.record_bytes();
            for (located, opened) in self.open_span(span).await? {
                let sealed: SealedChunk = match opened {
                    Ok(sealed) => sealed,
                    Err(detail) => {
                        mended.damaged.extend(self.note_damage(&located, detail));
                        continue;
                    }
                };
                self.index_mut().mark_proved(&located);
                mended.proved_chunks += 1;
                if !builder.has_room(&sealed, limit_bytes) {
                    let full = (std::mem::take(&mut builder), std::mem::take(&mut from));
                    mended.rewritten |= self.put_mended(name, &error, full).await?;
                }
                builder.push(&sealed, limit_bytes);
                from.push(located);
            }
            mended.bytes += bytes;
            pace.rest(bytes).await;
        }
        if !builder.is_empty() {
            mended.rewritten |= self.put_mended(name, &error, (builder, from)).await?;
        }
        Ok(mended)
    }

    /// Writes chunks of a pack without a footer into one with, and says whether that could be.
    async fn put_mended(
        &self,
        old: PackName,
        error: &PackError,
        (builder, from): (PackBuilder, Vec<Located>),
    ) -> Result<bool, StoreError> {
        let pack = builder.finish();
        let moved: Vec<_> = from.into_iter().zip(pack.entries).collect();
        let (name, pack_bytes, chunks) = (pack.name, pack.bytes.len() as u64, moved.len());
        let move_there = move |store: &Self| store.index_mut().move_to(name, pack_bytes, &moved);
        let reserve_bytes = self.shared.options.reserve_bytes;
        match self.put(name.object(), pack.bytes, reserve_bytes, move_there).await {
            Ok(()) => {
                tracing::warn!(
                    pack = %old, %error, chunks,
                    "store: pack {old} has lost its footer, its chunks were written anew"
                );
                Ok(true)
            }
            Err(why @ (StoreError::Full { .. } | StoreError::ReadBackDiffers { .. })) => {
                tracing::error!(
                    pack = %old, %error, %why,
                    "store: pack {old} has lost its footer, and its chunks cannot be written anew: {why}"
                );
                self.index_mut().note_unreadable(old, error.clone());
                Ok(false)
            }
            Err(why) => Err(why),
        }
    }
}
