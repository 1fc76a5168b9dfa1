//! `mimeo image copy` and `take-in`: versions on their way from one appliance to another, in a library on a disk.

use std::{future::Future, path::Path};

use mimeo_core::causes::causes;

use super::{make, open, session::Bar, unusable};
use crate::{
    api::carry::CarriedView,
    cli::{
        Output,
        carry::{ask_for_trust, tell},
        failure::CliError,
    },
    imaging::{
        copy::CopyProgress,
        library::Library,
        master::MasterRef,
        provenance::Fingerprint,
        take_in::{self, Offer, TakeInError},
    },
};

pub(super) async fn copy(
    masters: &[MasterRef],
    store: &Path,
    to: &Path,
    out: Output,
) -> Result<(), CliError> {
    let from = open(store, out).await?;
    // A name that was mistyped makes no library.
    let versions = take_in::find_versions(&from.shelf, masters).await.map_err(super::refused)?;
    let into = make(to, out).await?;
    let bar = Bar::new(out, String::new());
    let note = |offer: &Offer, seen| show(&bar, offer, seen, out);
    let work = take_in::give(&from.shelf, versions, &into.shelf, &note);
    let given = until_interrupted(work, out).await;
    bar.finish();
    let given = given?.map_err(|error| error_of(&error, store, out));
    // What was copied before something failed is whole, too.
    from.close().await;
    into.close().await;
    let given: Vec<CarriedView> = given?.into_iter().map(CarriedView::from).collect();
    tell(&given, to, "carry-copied", out)
}

pub(super) async fn take_in(
    from_folder: &Path,
    masters: &[MasterRef],
    store: &Path,
    mut trusted: Vec<Fingerprint>,
    out: Output,
) -> Result<(), CliError> {
    let from = Library::open_foreign(from_folder).await;
    let from = from.map_err(|error| unusable(error, from_folder, out))?;
    let failed = |error: TakeInError| error_of(&error, from_folder, out);
    let offers = take_in::look(&from.shelf, masters).await.map_err(failed)?;
    let into = make(store, out).await?;
    let taken = loop {
        let bar = Bar::new(out, String::new());
        let note = |offer: &Offer, seen| show(&bar, offer, seen, out);
        let work = take_in::take_in(&from.shelf, offers.clone(), &into.shelf, &trusted, &note);
        let taken = until_interrupted(work, out).await;
        bar.finish();
        match taken? {
            Err(TakeInError::Untrusted { library, fingerprint }) => {
                ask_for_trust(&library, fingerprint, from_folder, out)?;
                trusted.push(fingerprint);
            }
            taken => break taken.map_err(failed)?,
        }
    };
    from.close().await;
    into.close().await;
    let taken: Vec<CarriedView> = taken.into_iter().map(CarriedView::from).collect();
    tell(&taken, store, "carry-taken", out)
}

/// The outer error: somebody pressed Ctrl-C.
async fn until_interrupted<T>(work: impl Future<Output = T>, out: Output) -> Result<T, CliError> {
    tokio::select! {
        done = Box::pin(work) => Ok(done),
        _ = tokio::signal::ctrl_c() => Err(CliError::Refused(out.words.say("carry-interrupted"))),
    }
}

fn show(bar: &Bar, offer: &Offer, seen: CopyProgress, out: Output) {
    let (key, done, total) = match seen {
        CopyProgress::Copying { done, total } => ("carry-copies", done, total),
        CopyProgress::ReadingBack { done, total } => ("carry-reads-back", done, total),
    };
    bar.say(out.words.say_of(key, "version", offer.listed.reference()));
    bar.show_count(done, total);
}

fn error_of(error: &TakeInError, folder: &Path, out: Output) -> CliError {
    let folder = folder.display().to_string();
    CliError::Refused(match error {
        TakeInError::NotGenuine { version, library } => {
            let values = [("version", &*version.to_string()), ("library", library), ("folder", &*folder)];
            out.words.say_with("carry-not-genuine", &values)
        }
        TakeInError::AnotherName { version, signed } => {
            let (version, signed) = (version.to_string(), signed.to_string());
            let values = [("version", &*version), ("signed", &*signed), ("folder", &*folder)];
            out.words.say_with("carry-another-name", &values)
        }
        error => causes(error),
    })
}
