//! A disk whose power can be cut and whose room can end at any write, under a store's local folder: for tests.
//!
//! It promises no more than POSIX does. What is written is seen by everybody at once and is not durable: a file's
//! content is after the file was synchronised, a name is after its folder was. What becomes of the rest in a power
//! cut is [`Outcome`]'s choice.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
    path::Path as FilePath,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, memory::InMemory,
    path::Path,
};

use super::{
    Store, StoreOptions, backend::Backend, error::StoreError, faulty::Cut, medium::Medium,
    proofs::FileIdentity,
};

/// What goes wrong with one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    PowerCut(Cut),
    /// This write and all that follow find no room, until [`PowerDisk::make_room`].
    NoRoom,
}

/// What a power cut leaves of that which was not made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Nothing,
    /// All names, and files without content.
    EmptyFiles,
    /// All names, and the first half of each file.
    TornFiles,
    /// All names, and files that have their length and hold zeros.
    ZeroFiles,
    /// Everything.
    Everything,
}

pub(crate) const OUTCOMES: [Outcome; 5] =
    [Outcome::Nothing, Outcome::EmptyFiles, Outcome::TornFiles, Outcome::ZeroFiles, Outcome::Everything];

/// A disk. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub(crate) struct PowerDisk {
    /// What programs see, to be read.
    seen: Arc<InMemory>,
    state: Arc<Mutex<State>>,
    /// Whether synchronising does nothing and says that it did.
    lies: bool,
}

#[derive(Clone, Default)]
struct State {
    /// What programs see.
    files: BTreeMap<String, Bytes>,
    /// Of these, the files whose content is durable.
    synced: HashSet<String>,
    /// What a power cut leaves at least.
    durable: BTreeMap<String, Bytes>,
    writes: u64,
    fault: Option<(u64, Fault)>,
}

impl PowerDisk {
    /// A disk that says of everything that it is durable and of nothing makes it so.
    pub(crate) fn that_lies() -> Self {
        Self { lies: true, ..Self::default() }
    }

    /// Opens the store in this disk's folder.
    pub(crate) async fn open(&self, options: StoreOptions) -> Result<Store, StoreError> {
        Store::open(Backend::on_medium(Arc::new(self.clone()), Box::new(self.clone()))?, options).await
    }

    /// Has the write number `write`, counted from now and from 0, go wrong.
    pub(crate) fn fail_at(&self, write: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.writes + write, fault));
    }

    pub(crate) fn make_room(&self) {
        self.lock().fault = None;
    }

    /// The disk as the next server finds it after a power cut.
    pub(crate) async fn after_power_cut(&self, outcome: Outcome) -> Self {
        let left = {
            let state = self.lock();
            match outcome {
                Outcome::Nothing => state.durable.clone(),
                _ => state
                    .files
                    .iter()
                    .map(|(name, bytes)| (name.clone(), state.left_of(name, bytes, outcome)))
                    .collect(),
            }
        };
        let next = Self { lies: self.lies, ..Self::default() };
        for (name, bytes) in &left {
            next.seen.put(&Path::from(name.as_str()), bytes.clone().into()).await.expect("memory takes it");
        }
        *next.lock() = State {
            synced: left.keys().cloned().collect(),
            files: left.clone(),
            durable: left,
            ..State::default()
        };
        next
    }

    /// The disk as the next server finds it after this one was killed: what that still had under way ends with it.
    pub(crate) async fn after_kill(&self) -> Self {
        let state = self.lock().clone();
        let next = Self { lies: self.lies, ..Self::default() };
        for (name, bytes) in &state.files {
            next.seen.put(&Path::from(name.as_str()), bytes.clone().into()).await.expect("memory takes it");
        }
        *next.lock() = state;
        next
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> u64 {
        self.lock().writes
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one write, or what its fault leaves of it.
    fn write(&self, effect: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.lock();
        let number = state.writes;
        state.writes += 1;
        match state.fault {
            Some((at, Fault::PowerCut(Cut::After))) if number == at => {
                effect(&mut state);
                Err(io::Error::other("the power is cut"))
            }
            Some((at, Fault::PowerCut(_))) if number >= at => Err(io::Error::other("the power is cut")),
            Some((at, Fault::NoRoom)) if number >= at => Err(io::ErrorKind::StorageFull.into()),
            _ => {
                effect(&mut state);
                Ok(())
            }
        }
    }

    /// Removes a file. That takes no room, so only a cut keeps it from being done; the cut may come here too, though
    /// not where a write that found no room is cleared away.
    fn remove(&self, name: &str) -> io::Result<()> {
        let has_room = !matches!(self.lock().fault, Some((_, Fault::NoRoom)));
        if has_room {
            return self.write(|state| {
                state.files.remove(name);
            });
        }
        self.lock().files.remove(name);
        Ok(())
    }

    fn check_power(&self) -> Result<()> {
        let state = self.lock();
        match state.fault {
            Some((at, Fault::PowerCut(_))) if state.writes > at => {
                Err(failed(io::Error::other("the power is cut")))
            }
            _ => Ok(()),
        }
    }

    /// Brings what is read up to what was written.
    async fn show(&self, name: &Path) -> Result<()> {
        let bytes = self.lock().files.get(name.as_ref()).cloned();
        match bytes {
            Some(bytes) => self.seen.put(name, bytes.into()).await.map(drop),
            None => match self.seen.delete(name).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                deleted => deleted,
            },
        }
    }
}

impl State {
    fn left_of(&self, name: &str, bytes: &Bytes, outcome: Outcome) -> Bytes {
        match outcome {
            _ if self.synced.contains(name) => bytes.clone(),
            Outcome::Everything => bytes.clone(),
            Outcome::TornFiles => bytes.slice(..bytes.len() / 2),
            Outcome::ZeroFiles => vec![0; bytes.len()].into(),
            Outcome::Nothing | Outcome::EmptyFiles => Bytes::new(),
        }
    }

    fn sync(&mut self, name: &str) {
        if let Some(bytes) = self.files.get(name) {
            self.synced.insert(name.to_owned());
            if let Some(durable) = self.durable.get_mut(name) {
                *durable = bytes.clone();
            }
            return;
        }
        let is_inside = |file: &str| file.rsplit_once('/').map_or("", |(folder, _)| folder) == name;
        self.durable.retain(|file, _| !is_inside(file));
        for (file, bytes) in self.files.iter().filter(|(file, _)| is_inside(file)) {
            self.durable.insert(file.clone(), self.left_of(file, bytes, Outcome::Nothing));
        }
    }
}

fn failed(source: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "power", source: Box::new(source) }
}

impl Medium for PowerDisk {
    fn root(&self) -> &FilePath {
        FilePath::new("/power")
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let lies = self.lies;
        self.write(|state| {
            if !lies {
                state.sync(name);
            }
        })
    }

    fn clear(&self, folder: &str) -> io::Result<usize> {
        let mut state = self.lock();
        let before = state.files.len();
        state.files.retain(|name, _| !name.starts_with(folder));
        Ok(before - state.files.len())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn identity(&self, _name: &str) -> io::Result<Option<FileIdentity>> {
        Ok(None)
    }

    fn forget_cached(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for PowerDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PowerDisk")
    }
}

impl fmt::Display for PowerDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a disk whose power can be cut")
    }
}

#[async_trait]
impl ObjectStore for PowerDisk {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        _options: PutOptions,
    ) -> Result<PutResult> {
        let (name, bytes) = (location.to_string(), Bytes::from(payload));
        let written = self.write(|state| {
            state.synced.remove(&name);
            state.files.insert(name, bytes);
        });
        self.show(location).await?;
        written.map_err(failed)?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn rename_opts(&self, from: &Path, to: &Path, _options: RenameOptions) -> Result<()> {
        let renamed = self.write(|state| {
            let Some(bytes) = state.files.remove(from.as_ref()) else { return };
            state.files.insert(to.to_string(), bytes);
            if state.synced.remove(from.as_ref()) {
                state.synced.insert(to.to_string());
            } else {
                state.synced.remove(to.as_ref());
            }
        });
        self.show(from).await?;
        self.show(to).await?;
        renamed.map_err(failed)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let disk = self.clone();
        let delete = move |location: Result<Path>| {
            let disk = disk.clone();
            async move {
                let location = location?;
                let removed = disk.remove(location.as_ref());
                disk.show(&location).await?;
                removed.map_err(failed)?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check_power()?;
        self.seen.get_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_power() {
            Ok(()) => self.seen.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_power()?;
        self.seen.list_with_delimiter(prefix).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented {
            operation: "put_multipart".into(),
            implementer: "PowerDisk".into(),
        })
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(object_store::Error::NotImplemented { operation: "copy".into(), implementer: "PowerDisk".into() })
    }
}
