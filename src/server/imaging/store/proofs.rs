//! Which packs were read back and hashed by a process before this one.
//!
//! A program that captures once and ends, or a server that was restarted, would otherwise read all of a master back before
//! it lists the next version of it. A proof holds for one file, told by its inode, its length and the time of its last
//! change, so that of a library that was copied to another disk everything is read again. Of a disk that was copied as a
//! whole, sector by sector from one that fails, nothing would tell: whoever rescues a store so removes the list.
//!
//! The list is written when a process ends in order and taken away by the next that opens the store, so what a process
//! learns of damage counts however it ends. Where there is no list, or a damaged one, everything counts as never read back.
//!
//! ```text
//! pack inode bytes changed_seconds changed_nanoseconds proved_at_ms     one line for each pack
//! BLAKE3 of all lines before, in hexadecimal digits
//! ```

use std::{collections::HashMap, str::FromStr};

use super::{Store, backend::Backend, error::StoreError, pack::PackName};
use crate::clock::Timestamp;

/// The list, among a store's objects.
pub(super) const OBJECT: &str = "proofs";

/// The longest list that is read: that of half a million packs, 32 TB.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The file that a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    pub(super) inode: u64,
    pub(super) bytes: u64,
    /// When its content or its name changed last, in seconds since 1970 and nanoseconds, which no program can set.
    pub(super) changed: (i64, i64),
}

/// The proofs of one store: of each pack the file, and when it was read back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs(HashMap<PackName, (FileIdentity, Timestamp)>);

impl Proofs {
    /// Reads the list and takes it away. One that cannot be taken away is not believed.
    pub(super) async fn take(backend: &Backend) -> Self {
        if !backend.tells_files_apart() {
            return Self::default();
        }
        let taken = async {
            let bytes = match backend.length(OBJECT).await? {
                Some(0..=LIST_BYTES_MAX) => backend.read(OBJECT).await?,
                Some(_) => None,
                None => return Ok(None),
            };
            backend.delete_durable(OBJECT).await?;
            Ok::<_, StoreError>(bytes)
        };
        let Some(bytes) = taken.await.unwrap_or_default() else { return Self::default() };
        Self::parse(&bytes).unwrap_or_else(|| {
            tracing::warn!(
                "store: the list of packs that were read back is damaged, they are read back again"
            );
            Self::default()
        })
    }

    /// When a pack was read back, if it still is the same file.
    pub(super) async fn time_of(
        &self,
        backend: &Backend,
        pack: PackName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(&(file, at)) = self.0.get(&pack) else { return Ok(None) };
        Ok((backend.identity(&pack.object()).await? == Some(file)).then_some(at))
    }

    fn emit(&self) -> Vec<u8> {
        let mut list = String::new();
        for (pack, (FileIdentity { inode, bytes, changed: (seconds, nanoseconds) }, at)) in &self.0 {
            list += &format!("{pack} {inode} {bytes} {seconds} {nanoseconds} {}\n", at.0);
        }
        list += blake3::hash(list.as_bytes()).to_hex().as_str();
        list.into_bytes()
    }

    /// `None` where the bytes are no list.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (list, hash) = bytes.split_last_chunk::<64>()?;
        if blake3::hash(list).to_hex().as_bytes() != hash {
            return None;
        }
        let list = str::from_utf8(list).ok()?;
        list.lines().map(parse_line).collect::<Option<_>>().map(Self)
    }
}

fn parse_line(line: &str) -> Option<(PackName, (FileIdentity, Timestamp))> {
    let mut words = line.split(' ');
    let mut pack = [0; 32];
    hex::decode_to_slice(words.next()?, &mut pack).ok()?;
    let file = FileIdentity {
        inode: number(words.next())?,
        bytes: number(words.next())?,
        changed: (number(words.next())?, number(words.next())?),
    };
    let at = Timestamp(number(words.next())?);
    words.next().is_none().then_some((PackName(pack), (file, at)))
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

impl Store {
    /// Writes down which packs were read back, for the next process: the last that this one does with the store, and
    /// `opened`, when it began, the earliest moment at which it may have read any.
    pub async fn keep_proofs(&self, opened: Timestamp) -> Result<(), StoreError> {
        let proved = self.index().proved_packs(opened);
        let mut proofs = HashMap::with_capacity(proved.len());
        for (pack, at) in proved {
            if let Some(file) = self.shared.backend.identity(&pack.object()).await? {
                proofs.insert(pack, (file, at));
            }
        }
        if proofs.is_empty() {
            return Ok(());
        }
        let reserve_bytes = self.shared.options.reserve_bytes;
        self.put(OBJECT.to_owned(), Proofs(proofs).emit().into(), reserve_bytes, |_| ()).await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use mimeo_core::chunk::{ChunkId, seal};

    use super::{FileIdentity, OBJECT, PackName, Proofs, Timestamp};
    use crate::imaging::store::{Store, StoreOptions, backend::Backend};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    async fn open(folder: &Path) -> Store {
        let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
        Store::open(Backend::folder(folder).expect("a folder"), options).await.expect("a store")
    }

    /// How many of the two chunks of [`filled`] are to be read back.
    async fn unproved(folder: &Path, now: Timestamp) -> usize {
        open(folder).await.unproved(&[ChunkId::of(b"one"), ChunkId::of(b"two")], now).len()
    }

    /// A store with a chunk in each of two packs, and the list of its proofs.
    async fn filled(folder: &Path) {
        let store = open(folder).await;
        for plain in [b"one", b"two"] {
            let intake = store.intake();
            intake.put(vec![seal(plain)]).await.expect("taken");
            intake.finish().await.expect("finished");
        }
        store.keep_proofs(NOW).await.expect("kept");
    }

    /// Puts the list back that the process before has taken away.
    fn put_back(folder: &Path, list: &[u8]) {
        fs::write(folder.join(OBJECT), list).expect("written");
    }

    #[tokio::test]
    async fn what_was_read_back_counts_for_the_next_process_and_for_four_weeks() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path()).await;
        let list = fs::read(folder.path().join(OBJECT)).expect("read");
        let looks = [(NOW, 0), (NOW.plus(27 * DAY), 0), (NOW.plus(28 * DAY), 2), (Timestamp(NOW.0 - 1), 2)];
        for (now, expected) in looks {
            put_back(folder.path(), &list);
            assert_eq!(unproved(folder.path(), now).await, expected, "{now:?}");
        }
        // A process that proves nothing keeps the age of what it found.
        put_back(folder.path(), &list);
        open(folder.path()).await.keep_proofs(NOW.plus(20 * DAY)).await.expect("kept");
        assert_eq!(unproved(folder.path(), NOW.plus(28 * DAY)).await, 2);
    }

    #[tokio::test]
    async fn a_process_that_does_not_end_in_order_leaves_no_proof() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path()).await;
        drop(open(folder.path()).await);
        assert_eq!(unproved(folder.path(), NOW).await, 2);
    }

    #[tokio::test]
    async fn another_file_of_the_same_name_is_read_back_again() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path()).await;
        let pack = fs::read_dir(folder.path().join("packs")).expect("packs").next().expect("one");
        let pack = pack.expect("one").path();
        let copy = folder.path().join("copy");
        fs::copy(&pack, &copy).expect("copied");
        fs::rename(&copy, &pack).expect("moved");
        assert_eq!(unproved(folder.path(), NOW).await, 1);
    }

    #[tokio::test]
    async fn a_damaged_list_proves_nothing_and_a_pack_in_which_a_chunk_was_lost_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path()).await;
        let list = fs::read(folder.path().join(OBJECT)).expect("read");
        put_back(folder.path(), &list[1..]);
        assert_eq!(unproved(folder.path(), NOW).await, 2);
        put_back(folder.path(), &list);

        let store = open(folder.path()).await;
        let located = store.index().locate(ChunkId::of(b"one")).expect("it is there");
        store.index_mut().mark_damaged(&located, "for a test".into());
        store.keep_proofs(NOW).await.expect("kept");
        drop(store);
        assert_eq!(unproved(folder.path(), NOW).await, 1);
    }

    fn proofs() -> Proofs {
        let file = |inode| FileIdentity { inode, bytes: 7 * inode, changed: (-3, 999_999_999) };
        let proof = |number: u8| (PackName([number; 32]), (file(u64::from(number)), Timestamp(1_000)));
        Proofs((1..4).map(proof).collect())
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        assert_eq!(Proofs::parse(&proofs().emit()), Some(proofs()));
        assert_eq!(Proofs::parse(&Proofs::default().emit()), Some(Proofs::default()));
    }

    #[test]
    fn a_list_with_a_flipped_bit_or_a_lost_end_is_none() {
        let list = proofs().emit();
        for bit in 0..list.len() * 8 {
            let mut damaged = list.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Proofs::parse(&damaged), None, "bit {bit}");
        }
        for end in 0..list.len() {
            assert_eq!(Proofs::parse(&list[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn a_list_whose_hash_is_right_and_whose_lines_are_not_is_none() {
        for line in ["", "zz 1 2 3 4 5", &format!("{:064x} 1 2 3 4", 1), &format!("{:064x} 1 2 3 4 5 6", 1)] {
            let list = format!("{line}\n");
            let hash = blake3::hash(list.as_bytes()).to_hex();
            assert_eq!(Proofs::parse(format!("{list}{hash}").as_bytes()), None, "{line}");
        }
    }
}
