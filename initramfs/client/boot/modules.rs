//! Loads the drivers that this machine's devices ask for.

use std::{
    collections::HashSet,
    ffi::CString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::kmod::{ModuleInitFlags, finit_module};

use super::modalias::ModuleTables;

/// A bus driver makes new devices appear (virtio_pci, then virtio_net): so many rounds reach the deepest nesting
/// that was seen (PCI → NVMe behind VMD → partitions) with room to spare.
const ROUNDS_MAX: usize = 8;

/// The modules of the running kernel, and which of them were loaded or refused already.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    tables: ModuleTables,
    tried: HashSet<String>,
}

impl Modules {
    /// Reads the tables of the running kernel. Called again after the second part of the initramfs brought more.
    pub fn of_running_kernel() -> io::Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let folder = Path::new("/lib/modules").join(release.trim());
        let alias = fs::read_to_string(folder.join("modules.alias"))?;
        let dep = fs::read_to_string(folder.join("modules.dep"))?;
        Ok(Self { folder, tables: ModuleTables::parse(&alias, &dep), tried: HashSet::new() })
    }

    /// Loads the driver of every device there is, and of the devices that appear by that. Gives the names of the
    /// modules that were loaded.
    pub fn load_for_devices(&mut self) -> Vec<String> {
        let mut loaded = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let before = loaded.len();
            for modalias in modaliases(Path::new("/sys/devices")) {
                let claimants: Vec<_> =
                    self.tables.claimants(&modalias).into_iter().map(str::to_owned).collect();
                claimants.iter().for_each(|module| self.load(module, &mut loaded));
            }
            if loaded.len() == before {
                break;
            }
        }
        loaded
    }

    /// Loads modules that no device asks for by itself, such as a file system.
    pub fn load_named(&mut self, modules: &[&str]) {
        let mut loaded = Vec::new();
        modules.iter().for_each(|module| self.load(module, &mut loaded));
    }

    /// Loads one module after what it needs. One that fails is reported and passed over: a machine has many
    /// devices that imaging does without.
    fn load(&mut self, module: &str, loaded: &mut Vec<String>) {
        if !self.tried.insert(module.to_owned()) {
            return;
        }
        for path in self.tables.load_order(module) {
            match insert(&self.folder.join(path)) {
                Ok(()) => loaded.push(path.rsplit('/').next().unwrap_or(path).to_owned()),
                Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => {}
                Err(error) => {
                    tracing::warn!(module, path, %error, "a driver could not be loaded");
                    return;
                }
            }
        }
    }
}

fn insert(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    finit_module(&file, &CString::default(), ModuleInitFlags::empty()).map_err(io::Error::from)
}

/// What every device below `folder` says of itself.
fn modaliases(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // Devices vanish while they are listed; the next round sees what is left.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    found.extend(fs::read_to_string(entry.path()).ok().map(|text| text.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    found.retain(|modalias| !modalias.is_empty());
    found.sort();
    found.dedup();
    found
}
