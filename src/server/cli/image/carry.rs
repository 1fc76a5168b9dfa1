//! `mimeo image copy` and `take-in`: versions on their way from one appliance to another, in a library on a disk.

use std::{future::Future, path::Path};

use mimeo_core::causes::causes;
use serde_json::{Value, json};

use super::{make, open, session::Bar};
use crate::{
    cli::{
        Output,
        ask::Person,
        failure::CliError,
        screen::{plain, print, print_json},
    },
    imaging::{
        copy::{Copied, CopyProgress},
        master::MasterRef,
        provenance::Fingerprint,
        take_in::{self, Offer, TakeInError, Taken},
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
    into.close().await;
    tell(&given?, to, "carry-copied", out);
    Ok(())
}

pub(super) async fn take_in(
    from_folder: &Path,
    masters: &[MasterRef],
    store: &Path,
    mut trusted: Vec<Fingerprint>,
    out: Output,
) -> Result<(), CliError> {
    let from = open(from_folder, out).await?;
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
    tell(&taken, store, "carry-taken", out);
    Ok(())
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

/// Shows the fingerprint, and asks the person who has to compare it.
fn ask_for_trust(library: &str, fingerprint: Fingerprint, from: &Path, out: Output) -> Result<(), CliError> {
    let words = out.words;
    let (library, fingerprint, from) =
        (plain(library), fingerprint.to_string(), plain(&from.display().to_string()));
    let values = [("library", &*library), ("fingerprint", &*fingerprint), ("folder", &*from)];
    let who = words.say_with("carry-untrusted", &values);
    let mut person = Person::at_terminal(words);
    if !person.is_there() {
        let nobody = words.say_of("carry-nobody", "fingerprint", &fingerprint);
        return Err(CliError::Refused(format!("{who} {nobody}")));
    }
    let yes = words.say("ask-yes");
    match person.ask(&format!("{who}\n{} ", words.say_of("carry-trust", "word", &yes)))? {
        Some(typed) if typed == yes => Ok(()),
        _ => Err(CliError::Refused(words.say("ask-nothing-done"))),
    }
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

fn tell(done: &[Taken], folder: &Path, key: &str, out: Output) {
    if out.json {
        return print_json(&Value::Array(done.iter().map(taken_json).collect()));
    }
    let folder = folder.display().to_string();
    for Taken { offer, copied } in done {
        let number = match copied {
            Copied::Listed { number, .. } | Copied::AlreadyThere { number } => *number,
        };
        let here = MasterRef { name: offer.listed.name.clone(), version: Some(number) }.to_string();
        let version = offer.listed.reference().to_string();
        let mut values = vec![("version", &*version), ("copy", &*here), ("folder", &*folder)];
        let stored;
        let key = match copied {
            Copied::Listed { stored_bytes, .. } => {
                stored = out.words.bytes(*stored_bytes);
                values.push(("stored", &stored));
                key
            }
            Copied::AlreadyThere { .. } => "carry-already",
        };
        print(&out.words.say_with(key, &values));
    }
    let mut told = Vec::new();
    for Taken { offer: Offer { provenance, .. }, .. } in done {
        if !told.contains(&provenance.key) {
            told.push(provenance.key);
            let (library, fingerprint) = (plain(&provenance.library), provenance.fingerprint().to_string());
            let values = [("library", &*library), ("fingerprint", &*fingerprint)];
            print(&out.words.say_with("carry-signed", &values));
        }
    }
}

fn taken_json(Taken { offer, copied }: &Taken) -> Value {
    let mut value = json!({
        "from": offer.listed.reference().to_string(), "master": offer.listed.name.as_str(),
        "root": offer.listed.version.manifest_root,
        "provenance": super::show::provenance_json(Some(&offer.provenance)),
    });
    match copied {
        Copied::Listed { number, chunks, stored_bytes } => {
            value["version"] = json!(number);
            value["already_there"] = json!(false);
            value["chunks"] = json!(chunks);
            value["stored_bytes"] = json!(stored_bytes);
        }
        Copied::AlreadyThere { number } => {
            value["version"] = json!(number);
            value["already_there"] = json!(true);
        }
    }
    value
}
