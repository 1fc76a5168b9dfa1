//! What `mimeo image` answers.

use std::{collections::HashMap, path::PathBuf};

use mimeo_core::{
    disk::table::{Scheme, WHOLE_DISK},
    ids::{MasterId, VersionNumber},
    manifest::{Manifest, Region, RegionKind},
    text::{
        failure::filesystem_name,
        report::{taken_over, verification},
    },
};
use serde_json::{Value, json};

use super::session::Ended;
use crate::{
    api::{carry::ProvenanceView, masters::WarningView},
    cli::{
        Output,
        failure::CliError,
        format::word,
        masters,
        screen::{plain, print, print_json},
        words::Words,
    },
    clock::Timestamp,
    imaging::{
        master::{ListedVersion, MasterName, Version},
        provenance::Provenance,
        store::verify::Verification,
    },
};

pub(super) struct Captured {
    pub(super) name: MasterName,
    pub(super) version: Version,
    pub(super) ended: Ended,
}

pub(super) fn captured(captured: &Captured, out: Output) {
    let Captured { name, version, ended: Ended { progress, seconds, phases } } = captured;
    if out.json {
        let mut value = figures(name.as_str(), version);
        value["read_bytes"] = json!(progress.read_bytes);
        value["seconds"] = json!(seconds);
        value["phases"] = json!(phases);
        return print_json(&value);
    }
    let values = [
        ("version", &*format!("{name}@{}", version.number)),
        ("read", &out.words.bytes(progress.read_bytes)),
        ("stored", &out.words.bytes(version.stored_bytes)),
        ("seconds", &format!("{seconds:.1}")),
    ];
    print(&format!(
        "{}{}",
        out.words.say_with("image-captured", &values),
        warnings(name.as_str(), version, out)
    ));
}

/// What is to be known of a version, a line each, below what was said before.
fn warnings(name: &str, version: &Version, out: Output) -> String {
    let warnings = version.warnings.iter().map(|warning| out.words.warning(warning));
    let all = warnings.chain(unread(name, version, out.words));
    all.map(|sentence| format!("\n! {sentence}")).collect()
}

pub(super) struct Restored {
    pub(super) name: String,
    pub(super) target: PathBuf,
    pub(super) verify: bool,
    pub(super) ended: Ended,
}

pub(super) fn restored(restored: &Restored, out: Output) {
    let Restored { name, target, verify, ended: Ended { progress, seconds, phases } } = restored;
    if out.json {
        return print_json(&json!({
            "version": name, "target": target, "carried_bytes": progress.carried_bytes,
            "compared_bytes": progress.compared_bytes, "kept_bytes": progress.kept_bytes,
            "received_bytes": progress.received_bytes, "written_bytes": progress.written_bytes, "seconds": seconds, "verified": verify, "phases": phases,
        }));
    }
    let values = [
        ("version", &**name),
        ("target", &*target.display().to_string()),
        ("written", &out.words.bytes(progress.written_bytes)),
        ("seconds", &format!("{seconds:.1}")),
    ];
    print(&out.words.say_with("image-restored", &values));
    let texts = out.words.shared();
    let sentences = [taken_over(texts, progress), verification(texts, *verify, phases)];
    sentences.into_iter().flatten().for_each(|sentence| print(&sentence));
}

pub(super) struct Verified {
    pub(super) name: String,
    pub(super) found: Verification,
    pub(super) seconds: f64,
}

/// An error where something is damaged or missing.
pub(super) fn verified(verified: &Verified, out: Output) -> Result<(), CliError> {
    let Verified { name, found, seconds } = verified;
    let lost = found.damaged.len() + found.missing.len();
    if out.json {
        let damaged: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
        print_json(&json!({
            "version": name, "sound_chunks": found.proved_chunks, "damaged": damaged,
            "missing": found.missing, "seconds": seconds,
        }));
    } else {
        for damage in &found.damaged {
            let (chunk, pack) = (damage.chunk.to_string(), damage.pack.to_string());
            let values = [("chunk", &*chunk), ("pack", &*pack), ("reason", &*damage.detail)];
            print(&out.words.say_with("store-damaged-chunk", &values));
        }
        let values = [("version", &**name), ("sound", &*found.proved_chunks.to_string())];
        print(&out.words.say_with("image-verified", &values));
    }
    match lost {
        0 => Ok(()),
        lost => {
            let values = [("version", &**name), ("number", &*lost.to_string())];
            Err(CliError::Refused(out.words.say_with("image-damaged", &values)))
        }
    }
}

/// Where versions come from that were captured elsewhere.
pub(super) type Provenances = HashMap<(MasterId, VersionNumber), Provenance>;

pub(super) fn list(versions: &[ListedVersion], provenances: &Provenances, out: Output) {
    let provenance =
        |listed: &ListedVersion| provenances.get(&(listed.version.master, listed.version.number));
    if out.json {
        let list = versions.iter().map(|listed| {
            let mut value = figures(listed.name.as_str(), &listed.version);
            value["provenance"] = provenance_json(provenance(listed));
            value
        });
        return print_json(&Value::Array(list.collect()));
    }
    let now = Timestamp::now();
    let row = |listed: &ListedVersion| {
        let version = &listed.version;
        vec![
            listed.reference().to_string(),
            out.words.bytes(version.disk_bytes),
            out.words.bytes(version.carried_bytes),
            out.words.bytes(version.stored_bytes),
            out.words.ago(version.created_at, now),
            provenance(listed).map_or_else(
                || "-".to_owned(),
                |from| format!("{} {}", plain(&from.library), from.reference()),
            ),
        ]
    };
    let rows: Vec<Vec<String>> = versions.iter().map(row).collect();
    let unread = versions.iter().filter_map(|listed| {
        Some(format!("\n{}", unread(listed.name.as_str(), &listed.version, out.words)?))
    });
    let unread: String = unread.collect();
    print(&format!("{}{unread}", out.words.table(&masters::COLUMNS, &rows, "image-none")));
}

fn provenance_json(provenance: Option<&Provenance>) -> Value {
    json!(provenance.map(ProvenanceView::from))
}

pub(super) fn info(
    listed: &ListedVersion,
    provenance: Option<&Provenance>,
    manifest: &Manifest,
    out: Output,
) {
    let ListedVersion { name, version } = listed;
    let regions = manifest.regions.iter().filter(|region| matches!(region.kind, RegionKind::Partition(_)));
    if out.json {
        let mut value = figures(name.as_str(), version);
        value["provenance"] = provenance_json(provenance);
        value["chunk_bytes"] = json!(manifest.chunk_size.bytes());
        value["logical_sector"] = json!(manifest.disk.logical_sector);
        value["table"] = json!(scheme(&manifest.table.scheme));
        value["chunks"] = json!(manifest.data_chunks().count());
        value["unread"] = json!(manifest.unread);
        value["partitions"] = regions.map(|region| partition_json(region, manifest)).collect();
        return print_json(&value);
    }
    let rows: Vec<Vec<String>> = regions.map(|region| partition_row(region, manifest, out.words)).collect();
    let columns = ["column-partition", "column-content", "column-size", "column-used", "column-name"];
    let values = [
        ("version", &*listed.reference().to_string()),
        ("disk", &*out.words.bytes(version.disk_bytes)),
        ("sector", &*manifest.disk.logical_sector.to_string()),
        ("table", scheme(&manifest.table.scheme)),
        ("root", &*version.manifest_root.to_string()),
    ];
    let mut lines = vec![out.words.say_with("image-info", &values)];
    if let Some(from) = provenance {
        let (library, fingerprint) = (plain(&from.library), from.fingerprint().to_string());
        let values = [
            ("library", &*library),
            ("fingerprint", &*fingerprint),
            ("version", &*from.reference().to_string()),
        ];
        lines.push(out.words.say_with("image-provenance", &values));
    }
    lines.push(out.words.table(&columns, &rows, "image-none").trim_end().to_owned());
    print(&format!("{}{}", lines.join("\n"), warnings(name.as_str(), version, out)));
}

fn unread(name: &str, version: &Version, words: Words) -> Option<String> {
    words.unread(&format!("{name}@{}", version.number), version.unread_sectors, version.unread_bytes)
}

fn scheme(scheme: &Scheme) -> &'static str {
    match scheme {
        Scheme::Gpt { .. } => "gpt",
        Scheme::Mbr { .. } => "mbr",
        Scheme::Whole => "none",
    }
}

/// A partition's number, what it holds, its length, what of it is in use, and its name.
fn partition(region: &Region, manifest: &Manifest) -> (u32, Option<&'static str>, u64, u64, String) {
    let number = match region.kind {
        RegionKind::Partition(number) => number,
        RegionKind::BootArea | RegionKind::Gap => WHOLE_DISK,
    };
    let named = manifest.table.partitions.iter().find(|partition| partition.number == number);
    let name = named.map(|partition| partition.name.clone()).unwrap_or_default();
    let length_bytes = region.place.length_bytes;
    let used_bytes = region.content.mapped_bytes().unwrap_or(length_bytes);
    (number, region.content.filesystem().map(filesystem_name), length_bytes, used_bytes, name)
}

fn partition_row(region: &Region, manifest: &Manifest, words: Words) -> Vec<String> {
    let (number, filesystem, length_bytes, used_bytes, name) = partition(region, manifest);
    let content = match (filesystem, region.content.mapped_bytes()) {
        (None, _) => words.say("image-raw"),
        (Some(found), None) => words.say_of("image-raw-found", "found", found),
        (Some(mapped), Some(_)) => mapped.to_owned(),
    };
    vec![number.to_string(), content, words.bytes(length_bytes), words.bytes(used_bytes), name]
}

fn partition_json(region: &Region, manifest: &Manifest) -> Value {
    let (number, _, length_bytes, used_bytes, name) = partition(region, manifest);
    let filesystem = region.content.filesystem().as_ref().map(word);
    let is_mapped = region.content.mapped_bytes().is_some();
    json!({
        "number": number, "filesystem": filesystem, "mapped": is_mapped, "start_bytes": region.place.start_bytes,
        "length_bytes": length_bytes, "used_bytes": used_bytes, "name": name,
    })
}

fn figures(name: &str, version: &Version) -> Value {
    json!({
        "master": name, "version": version.number, "root": version.manifest_root, "created": version.created_at,
        "disk_bytes": version.disk_bytes, "carried_bytes": version.carried_bytes,
        "stored_bytes": version.stored_bytes, "unread_bytes": version.unread_bytes,
        "unread_sectors": version.unread_sectors,
        "warnings": version.warnings.iter().cloned().map(WarningView::from).collect::<Vec<_>>(),
    })
}
