//! A backend in memory whose power can be cut at any operation, or that writes wrongly or loses an object: for tests.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

use super::{Store, StoreOptions, backend::Backend};

/// What becomes of the operation during which the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It has no effect.
    Before,
    /// It has its effect, of which nobody learns.
    After,
}

/// What outlives a power cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) objects: Arc<InMemory>,
}

impl Disk {
    /// Opens the store on a machine that runs.
    pub(crate) async fn open(&self, options: StoreOptions) -> Store {
        Store::open(Backend::remote(self.objects.clone()), options).await.expect("store opens")
    }

    /// A backend on this disk whose power goes during operation number `operation`, counted from 0.
    pub(crate) fn with_cut(&self, operation: u64, cut: Cut) -> Backend {
        let left = AtomicU64::new(operation + 1);
        Backend::remote(Arc::new(Faulty { left, cut, ..self.without_fault() }))
    }

    /// A backend on this disk that flips a bit of this byte in everything that is written to it, and says nothing.
    pub(crate) fn with_spoiled(&self, byte: usize) -> Backend {
        Backend::remote(Arc::new(Faulty { spoiled_byte: Some(byte), ..self.without_fault() }))
    }

    /// A backend on this disk that gives the content of one object no more, as a bad sector does.
    pub(crate) fn with_unreadable(&self, name: &str) -> Backend {
        Backend::remote(Arc::new(Faulty { unreadable: Some(Path::from(name)), ..self.without_fault() }))
    }

    fn without_fault(&self) -> Faulty {
        let left = AtomicU64::new(u64::MAX);
        Faulty { disk: self.clone(), left, cut: Cut::Before, spoiled_byte: None, unreadable: None }
    }

    /// The names of all objects, sorted.
    pub(crate) async fn names(&self) -> Vec<String> {
        let objects: Vec<_> = self.objects.list(None).collect().await;
        let mut names: Vec<_> =
            objects.into_iter().map(|meta| meta.expect("listed").location.to_string()).collect();
        names.sort();
        names
    }

    /// The names of the packs, sorted.
    pub(crate) async fn pack_names(&self) -> Vec<String> {
        self.names().await.into_iter().filter(|name| name.starts_with("packs/")).collect()
    }

    pub(crate) async fn read(&self, name: &str) -> Vec<u8> {
        let result = self.objects.get(&Path::from(name)).await.expect("object exists");
        result.bytes().await.expect("object is read").to_vec()
    }

    pub(crate) async fn write(&self, name: &str, bytes: Vec<u8>) {
        self.objects.put(&Path::from(name), Bytes::from(bytes).into()).await.expect("object is written");
    }

    pub(crate) async fn remove(&self, name: &str) {
        self.objects.delete(&Path::from(name)).await.expect("object is removed");
    }
}

#[derive(Debug)]
struct Faulty {
    disk: Disk,
    /// Operations until the power is gone; 0: it is.
    left: AtomicU64,
    cut: Cut,
    spoiled_byte: Option<usize>,
    unreadable: Option<Path>,
}

impl Faulty {
    /// Whether the operation now beginning has an effect, and whether anybody learns of it.
    fn spend(&self) -> (bool, bool) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, self.cut) {
            (Ok(2..), _) => (true, true),
            (Ok(1), Cut::After) => (true, false),
            _ => (false, false),
        }
    }

    async fn run<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let (has_effect, is_known) = self.spend();
        let result = if has_effect { Some(operation.await) } else { None };
        match result {
            Some(result) if is_known => result,
            _ => Err(power_cut()),
        }
    }
}

fn power_cut() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the power is cut".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a disk whose power can be cut")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let payload = match self.spoiled_byte {
            None => payload,
            Some(byte) => {
                let mut bytes = Bytes::from(payload).to_vec();
                bytes[byte] ^= 1;
                bytes.into()
            }
        };
        self.run(self.disk.objects.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.run(self.disk.objects.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.unreadable.as_ref() == Some(location) && !options.head {
            let source = Box::new(std::io::Error::from_raw_os_error(libc::EIO));
            return Err(object_store::Error::Generic { store: "faulty", source });
        }
        self.run(self.disk.objects.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.spend() {
            (true, true) => self.disk.objects.delete_stream(locations),
            _ => stream::once(async { Err(power_cut()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.spend() {
            (true, true) => self.disk.objects.list(prefix),
            _ => stream::once(async { Err(power_cut()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(self.disk.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(self.disk.objects.copy_opts(from, to, options)).await
    }
}
