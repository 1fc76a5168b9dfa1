//! `mimeo image`: the imaging engine on files and devices of this machine, without a network.
//!
//! A library is a folder like a server's own: `mimeo.db` with the list of masters, `store/` with their chunks. So this
//! works on the folder of an appliance too, while no server runs there.

mod session;
mod show;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Subcommand;
use mimeo_core::{
    bad_sectors::BadSectorLimit,
    causes::causes,
    chunk::ChunkSize,
    ids::SessionId,
    manifest::{Manifest, SignedManifest},
    messages::{CaptureOrder, DeployOrder, Phase},
    units::SectorSize,
};
use mimeo_engine::{Order, board::Board, disk::path::PathDisk};
use tokio::runtime::Handle;

use self::{
    session::run_session,
    show::{Captured, Restored, Verified},
};
use super::{Output, failure::CliError};
use crate::{
    db,
    imaging::{
        keys::load_signing_key,
        local::{LocalServer, Shelf},
        master::{self, Master, MasterName, MasterRef, Version},
        session::requests::NewCapture,
        store::{Store, StoreOptions, backend::Backend, verify::VerifyProgress},
    },
    serve::data_dir::{DataDir, DataDirError, LOCK},
};

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Read a disk, a partition or an image file into a new version of a master
    Capture {
        /// A block device, or a file that holds the image of one
        source: PathBuf,
        /// The folder of the library, made where there is none
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
        /// The master that gets a new version, or is made
        #[arg(long, value_name = "MASTER")]
        name: MasterName,
        /// Bytes of a sector, where the source is a file
        #[arg(long, value_name = "BYTES", default_value = "512", value_parser = sector_size)]
        sector_size: SectorSize,
        /// Go on past up to so many sectors in use that cannot be read (at most 4096); zeros stand for them
        #[arg(long, value_name = "N", default_value = "0")]
        tolerate_bad_sectors: BadSectorLimit,
    },
    /// Write a version to a disk or a file, erasing what is there
    Restore {
        /// NAME for the latest version, NAME@VERSION for a certain one
        master: MasterRef,
        /// A block device, or a file, which is made where there is none
        target: PathBuf,
        /// The folder of the library
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
        /// Do not read everything back: faster, and a target that does not keep what it is given is not found out
        #[arg(long)]
        no_verify: bool,
    },
    /// Say what a version holds, partition by partition
    Info {
        /// NAME for the latest version, NAME@VERSION for a certain one
        master: MasterRef,
        /// The folder of the library
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
    },
    /// Read everything of a version back and name what is damaged
    Verify {
        /// NAME for the latest version, NAME@VERSION for a certain one
        master: MasterRef,
        /// The folder of the library
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
    },
    /// List masters and their versions
    Ls {
        /// The folder of the library
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
    },
}

fn sector_size(typed: &str) -> Result<SectorSize, String> {
    let bytes: u32 = typed.parse().map_err(|_| format!("{typed} is no number of bytes"))?;
    SectorSize::new(bytes).map_err(|error| error.to_string())
}

pub(super) async fn run(command: ImageCommand, out: Output) -> Result<(), CliError> {
    match command {
        ImageCommand::Capture { source, store, name, sector_size, tolerate_bad_sectors } => {
            // A source that was mistyped makes no library.
            let disk = look(&source, sector_size)?;
            let what = NewCapture { master: name, tolerate_bad_sectors };
            capture(&disk, &Library::make(&store, out).await?, what, out).await
        }
        ImageCommand::Restore { master, target, store, no_verify } => {
            restore(&Library::open(&store, out).await?, &master, &target, !no_verify, out).await
        }
        ImageCommand::Info { master, store } => {
            let library = Library::open(&store, out).await?;
            let (named, version) = library.find(&master).await?;
            show::info(&named, &version, &library.manifest(&version).await?.1, out);
            Ok(())
        }
        ImageCommand::Verify { master, store } => {
            verify(&Library::open(&store, out).await?, &master, out).await
        }
        ImageCommand::Ls { store } => {
            let library = Library::open(&store, out).await?;
            let listed = master::list_all_versions(&library.shelf.db).await.map_err(refused)?;
            show::list(&listed, out);
            Ok(())
        }
    }
}

async fn capture(disk: &PathDisk, library: &Library, what: NewCapture, out: Output) -> Result<(), CliError> {
    let NewCapture { master: name, tolerate_bad_sectors } = what;
    let order = CaptureOrder {
        session: SessionId(0),
        master_name: name.to_string(),
        source: disk.facts().pin(),
        chunk_size: ChunkSize::DEFAULT,
        tolerate_bad_sectors,
    };
    let board = Board::default();
    let server = LocalServer::capture(Handle::current(), &library.shelf, &board, name.clone());
    let ended = run_session(Order::Capture(&order), &server, disk, &board, out)
        .map_err(|unfinished| unfinished.error(out, "image-interrupted"))?;
    let version = server.published().ok_or_else(|| CliError::Refused(out.words.say("image-no-version")))?;
    show::captured(&Captured { name, version, ended }, out);
    Ok(())
}

async fn restore(
    library: &Library,
    wanted: &MasterRef,
    target: &Path,
    verify: bool,
    out: Output,
) -> Result<(), CliError> {
    let (named, version) = library.find(wanted).await?;
    let (_, manifest) = library.manifest(&version).await?;
    let made = MadeFile::where_nothing_is(target, manifest.disk.size_bytes)?;
    let disk = look(target, manifest.disk.logical_sector)?;
    if fs::canonicalize(target).is_ok_and(|target| target.starts_with(&library.folder)) {
        return Err(CliError::Refused(out.words.say_of("image-inside-library", "target", target.display())));
    }
    let order = DeployOrder {
        session: SessionId(0),
        master_name: named.name.to_string(),
        version: version.number,
        manifest_root: version.manifest_root,
        manifest_key: library.shelf.key.verifying_key().to_bytes(),
        target: disk.facts().pin(),
        verify,
    };
    let board = Board::default();
    let server = LocalServer::deploy(Handle::current(), &library.shelf, &board, version.manifest_root);
    let ended = run_session(Order::Deploy(&order), &server, &disk, &board, out).map_err(|unfinished| {
        let erased = made.is_none() && board.standing().phase != Phase::Prepare;
        unfinished.error(out, if erased { "image-interrupted-erased" } else { "image-interrupted" })
    })?;
    made.into_iter().for_each(MadeFile::keep);
    let name = format!("{}@{}", named.name, version.number);
    show::restored(&Restored { name, target: target.to_owned(), verify, ended }, out);
    Ok(())
}

async fn verify(library: &Library, wanted: &MasterRef, out: Output) -> Result<(), CliError> {
    let (named, version) = library.find(wanted).await?;
    let (signed, manifest) = library.manifest(&version).await?;
    let key = library.shelf.key.verifying_key();
    signed.open(version.manifest_root, &key).map_err(refused)?;
    let mut ids: Vec<_> = manifest.data_chunks().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    let began = Instant::now();
    let bar = session::Bar::new(out, out.words.say("image-verifies"));
    let note = |seen: VerifyProgress| bar.show_count(seen.done_chunks, seen.total_chunks);
    let found = library.shelf.store.verify(&ids, &note).await.map_err(refused)?;
    bar.finish();
    let name = format!("{}@{}", named.name, version.number);
    show::verified(&Verified { name, found, seconds: began.elapsed().as_secs_f64() }, out)
}

/// A file that this command made. It goes again with this value: one that holds half a disk is of no use to anybody.
struct MadeFile(PathBuf);

impl MadeFile {
    /// Makes the file that a version is to be written to; `None` where something is there already.
    fn where_nothing_is(path: &Path, length_bytes: u64) -> Result<Option<Self>, CliError> {
        match File::create_new(path) {
            Ok(file) => {
                let made = Self(path.to_owned());
                file.set_len(length_bytes).map_err(|error| at(path, &error))?;
                Ok(Some(made))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(at(path, &error)),
        }
    }

    /// Leaves the file there.
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for MadeFile {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Gone already is as good.
            let _gone = fs::remove_file(&self.0);
        }
    }
}

fn look(path: &Path, file_sector: SectorSize) -> Result<PathDisk, CliError> {
    PathDisk::look(path, file_sector).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> CliError {
    CliError::Refused(format!("{}: {error}", path.display()))
}

fn refused(error: impl std::error::Error + 'static) -> CliError {
    CliError::Refused(causes(&error))
}

/// A library that this process alone uses.
struct Library {
    shelf: Shelf,
    /// Without symbolic links.
    folder: PathBuf,
    _claim: DataDir,
}

impl Library {
    /// Opens the library in `folder`, which must be one.
    async fn open(folder: &Path, out: Output) -> Result<Self, CliError> {
        match content_of(folder)? {
            Content::Library => Self::claim(folder, DataDir::claim_as_is(folder), out).await,
            Content::Nothing | Content::Else => {
                Err(CliError::Refused(out.words.say_of("image-no-library", "folder", folder.display())))
            }
        }
    }

    /// Opens the library in `folder`, or makes one there: in a new folder or an empty one, which is then root's alone.
    async fn make(folder: &Path, out: Output) -> Result<Self, CliError> {
        match content_of(folder)? {
            Content::Library => Self::claim(folder, DataDir::claim_as_is(folder), out).await,
            Content::Nothing => Self::claim(folder, DataDir::claim(folder), out).await,
            Content::Else => {
                Err(CliError::Refused(out.words.say_of("image-not-empty", "folder", folder.display())))
            }
        }
    }

    async fn claim(
        folder: &Path,
        claim: Result<DataDir, DataDirError>,
        out: Output,
    ) -> Result<Self, CliError> {
        let claim = claim.map_err(|error| match error {
            DataDirError::InUse { .. } => {
                CliError::Refused(out.words.say_of("image-in-use", "folder", folder.display()))
            }
            error @ DataDirError::Unusable { .. } => refused(error),
        })?;
        let canonical = fs::canonicalize(folder).map_err(|error| at(folder, &error))?;
        let db = db::open(&claim.join(DATABASE)).await.map_err(refused)?;
        let backend = Backend::folder(&claim.join(STORE)).map_err(refused)?;
        let store = Store::open(backend, StoreOptions::default()).await.map_err(refused)?;
        let key = load_signing_key(&db).await.map_err(refused)?;
        Ok(Self { shelf: Shelf { store, db, key }, folder: canonical, _claim: claim })
    }

    async fn find(&self, wanted: &MasterRef) -> Result<(Master, Version), CliError> {
        master::load_version(&self.shelf.db, wanted).await.map_err(refused)
    }

    async fn manifest(&self, version: &Version) -> Result<(SignedManifest, Manifest), CliError> {
        let signed = self.shelf.store.read_manifest(version.manifest_root).await.map_err(refused)?;
        let manifest = Manifest::decode(&signed.encoded).map_err(refused)?;
        Ok((signed, manifest))
    }
}

/// What a folder holds.
enum Content {
    Nothing,
    /// A list of masters and their chunks. The list of an appliance whose store is elsewhere is no library: a version
    /// would be listed there whose chunks are here.
    Library,
    Else,
}

fn content_of(folder: &Path) -> Result<Content, CliError> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        Err(error) => return Err(at(folder, &error)),
    };
    if folder.join(DATABASE).is_file() && folder.join(STORE).is_dir() {
        return Ok(Content::Library);
    }
    // A first capture that was killed before it had a list leaves its lock.
    let others = list.filter_map(Result::ok).filter(|entry| entry.file_name() != LOCK);
    Ok(if others.count() == 0 { Content::Nothing } else { Content::Else })
}

/// The names that a server gives to these in its own folder.
const DATABASE: &str = "mimeo.db";
const STORE: &str = "store";

/// How often a bar moves.
const SHOW_EVERY: Duration = Duration::from_millis(250);
