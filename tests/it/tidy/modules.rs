//! Whether every source file belongs to a program: the `mod` declarations are walked from the crate roots that the
//! `Cargo.toml` files name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::{check, repository, sources};

/// The packages of the workspace.
const PACKAGES: [&str; 6] = ["src/core", "src/engine", "src/server", "initramfs", "tests", "tests/fuzz"];

#[test]
fn no_source_file_is_forgotten() {
    let files: BTreeMap<PathBuf, String> =
        sources().into_iter().map(|source| (source.path.into(), source.text)).collect();
    let mut roots = Vec::new();
    for package in PACKAGES {
        let manifest = fs::read_to_string(repository().join(package).join("Cargo.toml")).expect("a package");
        roots.extend(targets(&manifest).map(|target| Path::new(package).join(target)));
        roots.extend(files.keys().filter(|path| **path == Path::new(package).join("build.rs")).cloned());
    }
    let (reached, missing) = walk(&files, roots);
    let forgotten = files.keys().filter(|path| !reached.contains(*path));
    let forgotten = forgotten.map(|path| format!("{} belongs to no program", path.display()));
    check("every file belongs to a program", missing.into_iter().chain(forgotten).collect());
}

/// The files that a manifest names as roots of its targets.
fn targets(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix("\""))
}

/// Every file that a root leads to, and what is declared and not there.
fn walk(files: &BTreeMap<PathBuf, String>, roots: Vec<PathBuf>) -> (BTreeSet<PathBuf>, Vec<String>) {
    let mut reached = BTreeSet::new();
    let mut missing = Vec::new();
    let mut pending: Vec<(PathBuf, bool)> = roots.into_iter().map(|root| (root, true)).collect();
    while let Some((path, is_root)) = pending.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(text) = files.get(&path) else {
            missing.push(format!("{} is named and not there", path.display()));
            continue;
        };
        for declared in declarations(text) {
            let places = places(&path, is_root, &declared);
            match places.iter().find(|place| files.contains_key(*place)) {
                Some(place) => pending.push((place.clone(), false)),
                None => missing.push(format!("{} declares {declared:?}, which is not there", path.display())),
            }
        }
    }
    (reached, missing)
}

/// A module in a file of its own.
#[derive(Debug, PartialEq, Eq)]
enum Declared {
    Named(String),
    AtPath(String),
}

/// `mod name;`, with or without visibility, and the `#[path]` above it. rustfmt writes each on a line of its own.
fn declarations(text: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut path = None;
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path = Some(named.to_owned());
            continue;
        }
        let words =
            line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        if let Some(name) = words.and_then(|(_, rest)| rest.strip_suffix(';')) {
            found.push(path.take().map_or_else(|| Declared::Named(name.to_owned()), Declared::AtPath));
        } else if !line.starts_with("#[") {
            path = None;
        }
    }
    found
}

/// Where rustc looks for a declared module (The Rust Reference, "Module source filenames").
fn places(from: &Path, is_root: bool, declared: &Declared) -> Vec<PathBuf> {
    let folder = from.parent().unwrap_or(Path::new(""));
    match declared {
        Declared::AtPath(path) => vec![plain(&folder.join(path))],
        Declared::Named(name) => {
            let own = match is_root || from.ends_with("mod.rs") {
                true => folder.to_owned(),
                false => from.with_extension(""),
            };
            vec![own.join(format!("{name}.rs")), own.join(name).join("mod.rs")]
        }
    }
}

/// A path without steps up.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn a_file_is_reached_by_declarations_and_not_by_being_spoken_of() {
    let files = [
        (
            "a/lib.rs",
            "pub mod one;\n#[cfg(test)]\n#[path = \"../b/far.rs\"]\nmod far;\npub(crate) mod four;\n",
        ),
        ("a/one.rs", "//! mod lost;\n// mod lost;\nconst TEXT: &str = \"/lost.rs\";\nmod two;\n"),
        ("a/one/two.rs", ""),
        ("a/two.rs", ""),
        ("a/lost.rs", "mod two;"),
        ("a/four/mod.rs", "mod five;\nmod gone;\n"),
        ("a/four/five.rs", ""),
        ("b/far.rs", ""),
    ];
    let files = files.into_iter().map(|(path, text)| (path.into(), text.to_owned())).collect();
    let (reached, missing) = walk(&files, vec!["a/lib.rs".into()]);
    let forgotten: Vec<_> = files.keys().filter(|path| !reached.contains(*path)).collect();
    assert_eq!(forgotten, [Path::new("a/lost.rs"), Path::new("a/two.rs")]);
    assert_eq!(missing, ["a/four/mod.rs declares Named(\"gone\"), which is not there"]);
}
