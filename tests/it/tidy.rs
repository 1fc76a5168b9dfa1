//! The rules of the house that a program can check: who may import whom, what pure code must not touch, how long
//! files and functions may grow, and that no file is forgotten.

#[path = "tidy/modules.rs"]
mod modules;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file longer than this has more than one subject. Tests in a file of their own do not count.
const FILE_LINES_MAX: usize = 600;
/// A function longer than this does not fit a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// One source file, with its path as the repository knows it.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The lines before the tests that stand at the end of the file.
    fn program_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }

    /// The paths that the file names with `crate::`, up to their first two parts.
    fn crate_imports(&self) -> BTreeSet<String> {
        let mut imports = BTreeSet::new();
        for (_, line) in self.program_lines().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for rest in line.split("crate::").skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                imports.insert(name);
            }
        }
        // A nested `use crate::{ … }` names its modules at the first level of indentation.
        let mut inside = false;
        for (_, line) in self.program_lines() {
            match line {
                "use crate::{" => inside = true,
                "};" => inside = false,
                _ if inside && line.starts_with("    ") && !line.starts_with("     ") => {
                    let name: String =
                        line.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    imports.insert(name);
                }
                _ => {}
            }
        }
        imports.remove("");
        imports
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let root = repository();
    let mut folders: Vec<_> = ["src", "initramfs", "tests"].iter().map(|name| root.join(name)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                let path = path
                    .strip_prefix(&root)
                    .expect("below the root")
                    .to_str()
                    .expect("a plain name")
                    .to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 20, "only {} sources found: is this the repository?", sources.len());
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Fails with everything that was found, so that one run shows all.
fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Every word of the server's own modules by the floor on which it stands. A file may import its own floor and
/// those below; a domain may not import another domain.
fn floor(module: &str) -> usize {
    match module {
        "main" | "cli" | "serve" | "doctor" => 5,
        "api" | "ui" => 4,
        "wiring" | "app" => 3,
        "boot" | "imaging" | "inventory" => 2,
        _ => 1,
    }
}

#[test]
fn the_server_is_built_floor_upon_floor() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/server/")) {
        let own = source
            .path
            .trim_start_matches("src/server/")
            .split(['/', '.'])
            .next()
            .expect("a first part")
            .to_owned();
        if own == "lib" || source.is_test() {
            continue;
        }
        for import in source.crate_imports() {
            let upwards = floor(&import) > floor(&own);
            let sideways = floor(&own) == 2 && floor(&import) == 2 && import != own;
            if upwards || sideways {
                broken.push(format!("{} imports {import}", source.path));
            }
        }
    }
    check("main, cli → api, ui → wiring → domains → base; domains never import each other", broken);
}

#[test]
fn client_and_server_meet_only_in_core_and_engine() {
    let names = |source: &Source, word: &str| source.program_lines().any(|(_, line)| line.contains(word));
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/")) {
        let forbidden: &[&str] = match source.path.split('/').next() {
            Some("initramfs") => &["mimeo_server"],
            _ if source.path.starts_with("src/core/") => {
                &["mimeo_server", "mimeo_client", "mimeo_engine", "tokio", "axum", "sqlx"]
            }
            _ if source.path.starts_with("src/engine/") => {
                &["mimeo_server", "mimeo_client", "tokio", "axum", "sqlx", "ureq"]
            }
            _ => &["mimeo_client"],
        };
        broken.extend(
            forbidden
                .iter()
                .filter(|word| names(source, word))
                .map(|word| format!("{}: {word}", source.path)),
        );
    }
    check("client and server meet only in core and engine", broken);
}

#[test]
fn what_decides_reads_no_clock_and_does_no_io() {
    let pure = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        let protocol = ["packet.rs", "machine.rs", "options.rs", "identity.rs", "plan.rs"].contains(&file);
        path.starts_with("src/core/")
            || protocol
            || ["tftp/transfer.rs", "tftp/admission.rs"].iter().any(|end| path.ends_with(end))
            || path.ends_with("network/dhcp.rs")
            || (path.contains("/multicast/") && !path.ends_with("/socket.rs"))
    };
    let words = [
        "tokio::",
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "UdpSocket",
        "TcpStream",
        "thread::sleep",
    ];
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| pure(&source.path) && !source.is_test()) {
        for (number, line) in source.program_lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            broken.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{number}: {word}", source.path)),
            );
        }
    }
    check("packets, machines and plans are pure", broken);
}

#[test]
fn files_have_one_subject_and_functions_fit_a_screen() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.program_lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{} has {lines} lines", source.path));
        }
        broken.extend(long_functions(source));
    }
    check("files of at most 600 lines, functions of at most 70", broken);
}

/// Functions longer than allowed. rustfmt closes a function at the indentation at which it began.
fn long_functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    for (number, line) in source.program_lines() {
        let indentation = line.len() - line.trim_start().len();
        let words = line.trim_start();
        match open {
            None if words.contains("fn ")
                && !words.starts_with("//")
                && !words.ends_with(';')
                && !words.ends_with('}') =>
            {
                let starts = [
                    "fn ",
                    "pub fn ",
                    "pub(",
                    "async fn ",
                    "pub async fn ",
                    "const fn ",
                    "pub const fn ",
                    "unsafe fn ",
                ];
                if starts.iter().any(|start| words.starts_with(start)) {
                    open = Some((number, indentation, words));
                }
            }
            Some((start, at, name))
                if indentation == at && (words.starts_with('}') || words.ends_with(';')) =>
            {
                let length = number - start + 1;
                if length > FUNCTION_LINES_MAX {
                    found.push(format!("{}:{start}: {length} lines: {name}", source.path));
                }
                open = None;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn nothing_names_a_place_that_only_one_machine_has() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("tidy.rs")) {
        for (number, line) in source.text.lines().zip(1..).map(|(line, number)| (number, line)) {
            if line.contains("/work/") || line.contains("/root/") {
                broken.push(format!("{}:{number}", source.path));
            }
        }
    }
    check("no path of one machine", broken);
}
