//! `mimeo image export`: a version, or a partition of one, as a file for other programs.

use std::path::PathBuf;

use clap::ValueEnum;
use mimeo_core::{
    failure::FailureCause,
    manifest::{Manifest, RegionKind},
    messages::Progress,
};
use mimeo_engine::{
    board::Board,
    image::{
        self, ImageOrder, Part,
        qcow2::Qcow2,
        sink::{ImageSink, SparseFile, Stream},
    },
    link::Patience,
};
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    output::Destination,
    session::{Ended, Unfinished, run_engine},
};
use crate::{
    cli::{
        Output,
        failure::CliError,
        format::word,
        screen::{print, print_aside, print_json},
    },
    imaging::{library::Library, local::LocalServer, master::MasterRef},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Raw,
    Qcow2,
}

/// What is to be exported, and where to.
pub(super) struct Wanted {
    pub(super) master: MasterRef,
    pub(super) file: PathBuf,
    pub(super) format: Format,
    pub(super) partition: Option<u32>,
}

pub(super) async fn export(library: &Library, wanted: &Wanted, out: Output) -> Result<(), CliError> {
    let (named, version) = super::find(library, &wanted.master).await?;
    let name = format!("{}@{}", named.name, version.number);
    let (_, manifest) = library.manifest(&version).await.map_err(super::refused)?;
    let image_bytes = length_of(&manifest, wanted.partition, &name, out)?;
    drop(manifest);
    let destination = Destination::open(&wanted.file, &library.folder, out)?;
    let mut sink = sink_of(&destination, wanted.format)?;
    let order = ImageOrder {
        manifest_root: version.manifest_root,
        manifest_key: library.shelf.key.verifying_key().to_bytes(),
        part: wanted.partition.map_or(Part::Disk, Part::Partition),
    };
    let board = Board::default();
    let server = LocalServer::deploy(Handle::current(), &library.shelf, &board, version.manifest_root);
    let engine = || image::export(&order, &server, &board, Patience::default(), &mut *sink);
    let ended = run_engine(&board, out, engine).map_err(|unfinished| error_of(unfinished, wanted, out))?;
    let is_file = matches!(destination, Destination::New(_));
    destination.keep(out)?;
    tell(&name, wanted, image_bytes, &ended, is_file, out);
    Ok(())
}

/// The length of the image; a sentence where there is no such partition.
fn length_of(
    manifest: &Manifest,
    partition: Option<u32>,
    version: &str,
    out: Output,
) -> Result<u64, CliError> {
    let Some(number) = partition else { return Ok(manifest.disk.size_bytes) };
    let mut others = Vec::new();
    for region in &manifest.regions {
        match region.kind {
            RegionKind::Partition(found) if found == number => return Ok(region.place.length_bytes),
            RegionKind::Partition(other) => others.push(other.to_string()),
            RegionKind::BootArea | RegionKind::Gap => {}
        }
    }
    let values = [("version", version), ("number", &*number.to_string()), ("others", &*others.join(", "))];
    Err(CliError::Refused(out.words.say_with("export-no-partition", &values)))
}

fn sink_of(destination: &Destination, format: Format) -> Result<Box<dyn ImageSink + Send>, CliError> {
    Ok(match (destination, format) {
        (Destination::New(partial), Format::Raw) => Box::new(SparseFile::new(partial.file()?)),
        (Destination::New(partial), Format::Qcow2) => Box::new(Qcow2::new(SparseFile::new(partial.file()?))),
        (Destination::Standard(pipe), format) => {
            let failed = |error| super::at("-".as_ref(), &error);
            let pipe = Stream::new(pipe.try_clone().map_err(failed)?);
            match format {
                Format::Raw => Box::new(pipe),
                Format::Qcow2 => Box::new(Qcow2::new(pipe)),
            }
        }
    })
}

/// The engine speaks of a disk, which is not to be replaced here.
fn error_of(unfinished: Unfinished, wanted: &Wanted, out: Output) -> CliError {
    match unfinished {
        Unfinished::Failed(failure) => match &failure.cause {
            FailureCause::WriteFailed { offset_bytes, detail } => {
                let (file, offset) = (wanted.file.display().to_string(), offset_bytes.to_string());
                let values = [("file", &*file), ("offset", &*offset), ("detail", detail)];
                CliError::Refused(out.words.say_with("export-not-written", &values))
            }
            _ => CliError::Engine(failure),
        },
        interrupted @ Unfinished::Interrupted => interrupted.error(out, "image-interrupted"),
    }
}

/// The answer goes beside an image that goes to the standard output.
fn tell(name: &str, wanted: &Wanted, image_bytes: u64, ended: &Ended, is_file: bool, out: Output) {
    let Ended { progress: Progress { written_bytes, .. }, seconds, .. } = ended;
    if out.json {
        let answer = json!({
            "version": name, "partition": wanted.partition, "file": wanted.file, "format": word(&wanted.format),
            "image_bytes": image_bytes, "content_bytes": written_bytes, "seconds": seconds,
        });
        return if is_file { print_json(&answer) } else { print_aside(&format!("{answer:#}")) };
    }
    let values = [
        ("version", name),
        ("file", &*wanted.file.display().to_string()),
        ("size", &out.words.bytes(image_bytes)),
        ("content", &out.words.bytes(*written_bytes)),
        ("seconds", &format!("{seconds:.1}")),
    ];
    let sentence = out.words.say_with("export-done", &values);
    if is_file { print(&sentence) } else { print_aside(&sentence) }
}
