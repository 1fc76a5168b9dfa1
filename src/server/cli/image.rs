//! `mimeo image`: the imaging engine on files and devices of this machine, without a network.
//!
//! A library is a folder like a server's own: `mimeo.db` with the list of masters, `store/` with their chunks. So this
//! works on the folder of an appliance too, while no server runs there.

mod carry;
mod export;
mod output;
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
    messages::{CaptureOrder, DeployOrder, Phase},
    units::SectorSize,
};
use mimeo_engine::{Order, board::Board, disk::path::PathDisk};
use tokio::runtime::Handle;

use self::{
    export::Format,
    session::run_session,
    show::{Captured, Restored, Verified},
};
use super::{Output, failure::CliError};
use crate::imaging::{
    library::{Library, LibraryError},
    local::LocalServer,
    master::{self, ListedVersion, Master, MasterName, MasterRef, Version},
    provenance::{self, Fingerprint},
    session::requests::NewCapture,
    store::verify::VerifyProgress,
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
    /// Write a version into a new file, for a virtual machine or another program
    Export {
        /// NAME for the latest version, NAME@VERSION for a certain one
        master: MasterRef,
        /// The file, which must not be there yet; - for the standard output
        file: PathBuf,
        /// The folder of the library
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
        /// raw: byte by byte as on the disk, free space as holes; qcow2: as QEMU keeps it
        #[arg(long, default_value = "raw")]
        format: Format,
        /// Only this partition, by its number in the table
        #[arg(long, value_name = "NUMBER")]
        partition: Option<u32>,
    },
    /// Copy versions into a library elsewhere, such as on a disk that is carried to another appliance
    Copy {
        /// NAME for the latest version, NAME@VERSION for a certain one
        #[arg(required = true, value_name = "MASTER")]
        masters: Vec<MasterRef>,
        /// The folder of the library that they are copied from
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
        /// The folder of the library that they are copied to, made where there is none
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Take versions of another library in, whose key a person has to trust once
    TakeIn {
        /// The folder of the other library
        from: PathBuf,
        /// NAME for the latest version, NAME@VERSION for a certain one; without it, all that the library holds
        #[arg(value_name = "MASTER")]
        masters: Vec<MasterRef>,
        /// The folder of the library that takes them in, made where there is none
        #[arg(long, value_name = "DIR")]
        store: PathBuf,
        /// The fingerprint of the key that signed them, once it was compared with what the other appliance shows
        #[arg(long, value_name = "FINGERPRINT")]
        trust: Vec<Fingerprint>,
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
            let library = make(&store, out).await?;
            within(library, async |library| capture(&disk, library, what, out).await).await
        }
        ImageCommand::Restore { master, target, store, no_verify } => {
            let library = open(&store, out).await?;
            within(library, async |library| restore(library, &master, &target, !no_verify, out).await).await
        }
        ImageCommand::Export { master, file, store, format, partition } => {
            let wanted = export::Wanted { master, file, format, partition };
            let library = open(&store, out).await?;
            within(library, async |library| export::export(library, &wanted, out).await).await
        }
        ImageCommand::Info { master, store } => {
            within(open(&store, out).await?, async |library| info(library, &master, out).await).await
        }
        ImageCommand::Copy { masters, store, to } => carry::copy(&masters, &store, &to, out).await,
        ImageCommand::TakeIn { from, masters, store, trust } => {
            carry::take_in(&from, &masters, &store, trust, out).await
        }
        ImageCommand::Verify { master, store } => {
            within(open(&store, out).await?, async |library| verify(library, &master, out).await).await
        }
        ImageCommand::Ls { store } => {
            within(open(&store, out).await?, async |library| list(library, out).await).await
        }
    }
}

/// Works with a library and closes it, whatever came of that.
async fn within(
    library: Library,
    work: impl AsyncFnOnce(&Library) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let worked = work(&library).await;
    library.close().await;
    worked
}

async fn info(library: &Library, wanted: &MasterRef, out: Output) -> Result<(), CliError> {
    let (named, version) = find(library, wanted).await?;
    let listed = ListedVersion { name: named.name, version };
    let provenance = provenance::find(&library.shelf.db, &listed).await.map_err(refused)?;
    let (_, manifest) = library.manifest(&listed.version).await.map_err(refused)?;
    show::info(&listed, provenance.as_ref(), &manifest, out);
    Ok(())
}

async fn list(library: &Library, out: Output) -> Result<(), CliError> {
    let listed = master::list_all_versions(&library.shelf.db).await.map_err(refused)?;
    let provenances = provenance::list(&library.shelf.db).await.map_err(refused)?;
    show::list(&listed, &provenances, out);
    Ok(())
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
    let (named, version) = find(library, wanted).await?;
    let (_, manifest) = library.manifest(&version).await.map_err(refused)?;
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
    let (named, version) = find(library, wanted).await?;
    let (signed, manifest) = library.manifest(&version).await.map_err(refused)?;
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
        let made = match File::create_new(path) {
            Ok(made) => made,
            // An empty file is what this leaves that was killed here, and no disk.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0) {
                    true => File::options().write(true).open(path).map_err(|error| at(path, &error))?,
                    false => return Ok(None),
                }
            }
            Err(error) => return Err(at(path, &error)),
        };
        let file = Self(path.to_owned());
        made.set_len(length_bytes).map_err(|error| at(path, &error))?;
        Ok(Some(file))
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

async fn open(folder: &Path, out: Output) -> Result<Library, CliError> {
    Library::open(folder).await.map_err(|error| unusable(error, folder, out))
}

async fn make(folder: &Path, out: Output) -> Result<Library, CliError> {
    Library::make(folder).await.map_err(|error| unusable(error, folder, out))
}

async fn find(library: &Library, wanted: &MasterRef) -> Result<(Master, Version), CliError> {
    master::load_version(&library.shelf.db, wanted).await.map_err(refused)
}

fn unusable(error: LibraryError, folder: &Path, out: Output) -> CliError {
    let key = match error {
        LibraryError::None { .. } => "image-no-library",
        LibraryError::NotEmpty { .. } => "image-not-empty",
        LibraryError::InUse { .. } => "image-in-use",
        error => return refused(error),
    };
    CliError::Refused(out.words.say_of(key, "folder", folder.display()))
}

/// How often a bar moves.
const SHOW_EVERY: Duration = Duration::from_millis(250);
