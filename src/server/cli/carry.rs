//! `mimeo masters copy` and `take-in`: versions on their way to and from a disk, by the server that has them.

use std::path::{Path, PathBuf};

use clap::Args;
use mimeo_core::ids::VersionNumber;
use serde_json::to_value;

use super::{
    Output,
    ask::Person,
    connection::{Connection, understand},
    failure::CliError,
    screen::{plain, print, print_json},
    store::{follow, lost},
};
use crate::{
    api::{
        carry::{CarriedView, CopyRequest, ProvenanceView, TakeInRequest},
        error::ErrorBody,
        store::JobView,
    },
    imaging::{master::MasterRef, provenance::Fingerprint},
};

#[derive(Debug, Args)]
pub struct CopyOptions {
    /// NAME for the latest version, NAME@VERSION for a certain one
    #[arg(required = true, value_name = "MASTER")]
    pub masters: Vec<MasterRef>,
    /// The folder of the library that they are copied to, made where there is none
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub struct TakeInOptions {
    /// The folder of the other library
    pub from: PathBuf,
    /// NAME for the latest version, NAME@VERSION for a certain one; without it, all that the library holds
    #[arg(value_name = "MASTER")]
    pub masters: Vec<MasterRef>,
    /// The fingerprint of the key that signed them, once it was compared with what the other appliance shows
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Vec<Fingerprint>,
}

pub(super) async fn copy(connection: &Connection, options: CopyOptions, out: Output) -> Result<(), CliError> {
    let CopyOptions { masters, to } = options;
    let to = absolute(&to)?;
    let request = CopyRequest { masters: masters.iter().map(ToString::to_string).collect(), to: to.clone() };
    let begun = connection.post("/store/copy", &request).await?;
    let job: JobView = understand(&follow(connection, &begun, out).await?)?;
    let Some(carried) = job.carried else { return Err(lost(out.words, job.error)) };
    tell(&carried, &to, "carry-copied", out)
}

pub(super) async fn take_in(
    connection: &Connection,
    options: TakeInOptions,
    out: Output,
) -> Result<(), CliError> {
    let TakeInOptions { from, masters, trust } = options;
    let mut request = TakeInRequest {
        from: absolute(&from)?,
        masters: masters.iter().map(ToString::to_string).collect(),
        trust: trust.iter().map(ToString::to_string).collect(),
    };
    let begun = loop {
        match connection.post("/store/take-in", &request).await {
            Err(CliError::Api(body)) if body.error == "untrusted" => {
                let (library, fingerprint) = untrusted(&body).ok_or(CliError::Api(body))?;
                ask_for_trust(&library, fingerprint, &request.from, out)?;
                request.trust.push(fingerprint.to_string());
            }
            begun => break begun?,
        }
    };
    let job: JobView = understand(&follow(connection, &begun, out).await?)?;
    let Some(carried) = job.carried else { return Err(lost(out.words, job.error)) };
    tell(&carried, &request.from, "carry-taken", out)
}

fn untrusted(body: &ErrorBody) -> Option<(String, Fingerprint)> {
    let text = |name: &str| body.details.get(name)?.as_str();
    Some((text("library")?.to_owned(), text("fingerprint")?.parse().ok()?))
}

/// The server stands elsewhere than who types.
fn absolute(folder: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(folder).map_err(|error| CliError::Refused(format!("{}: {error}", folder.display())))
}

/// Shows the fingerprint, and asks the person who has to compare it.
pub(super) fn ask_for_trust(
    library: &str,
    fingerprint: Fingerprint,
    from: &Path,
    out: Output,
) -> Result<(), CliError> {
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

/// Says of each version what became of it, and by what key they are known. `key` is the sentence for one that was written;
/// `folder` is the library that is not the appliance's own.
pub(super) fn tell(carried: &[CarriedView], folder: &Path, key: &str, out: Output) -> Result<(), CliError> {
    if out.json {
        print_json(&to_value(carried).map_err(|error| CliError::NotUnderstood(error.to_string()))?);
        return Ok(());
    }
    let folder = folder.display().to_string();
    for view in carried {
        let name = |number: VersionNumber| format!("{}@{number}", view.master);
        let (version, copy, stored) =
            (name(view.from), name(view.version), out.words.bytes(view.stored_bytes));
        let values = [("version", &*version), ("copy", &*copy), ("folder", &*folder), ("stored", &*stored)];
        let key = if view.already_there { "carry-already" } else { key };
        print(&out.words.say_with(key, &values));
    }
    let mut told: Vec<&str> = Vec::new();
    for ProvenanceView { library, fingerprint, .. } in carried.iter().map(|view| &view.provenance) {
        if !told.contains(&&**fingerprint) {
            told.push(fingerprint);
            let (library, fingerprint) = (plain(library), plain(fingerprint));
            let values = [("library", &*library), ("fingerprint", &*fingerprint)];
            print(&out.words.say_with("carry-signed", &values));
        }
    }
    Ok(())
}
