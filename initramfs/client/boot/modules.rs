//! Loads the drivers that this machine's devices ask for, and those that the kernel asks for by itself.

use std::{
    collections::HashSet,
    ffi::CString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::kmod::{ModuleInitFlags, finit_module};

use super::modalias::ModuleTables;

/// Where the kernel keeps the program that it runs to have a module loaded (`/sbin/modprobe` elsewhere).
const MODPROBE_SETTING: &str = "/proc/sys/kernel/modprobe";

/// This program, where the kernel found it.
const OWN_PATH: &str = "/init";

/// A bus driver makes new devices appear (virtio_pci, then virtio_net): so many rounds reach the deepest nesting
/// that was seen (PCI → NVMe behind VMD → partitions) with room to spare.
const ROUNDS_MAX: usize = 8;

/// What the kernel asks for, where it runs this program as its modprobe: `/init -q -- <name or alias>`
/// (kernel/module/kmod.c, `call_modprobe`).
pub fn kernel_request(arguments: &[String]) -> Option<&str> {
    match arguments {
        [_, quiet, end, name] if quiet == "-q" && end == "--" => Some(name),
        _ => None,
    }
}

/// Has the kernel run this program when it wants a module: the driver of a PHY, a checksum, a character set.
pub fn answer_kernel() -> io::Result<()> {
    fs::write(MODPROBE_SETTING, OWN_PATH)
}

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
        let softdep = fs::read_to_string(folder.join("modules.softdep"))?;
        Ok(Self { folder, tables: ModuleTables::parse(&alias, &dep, &softdep), tried: HashSet::new() })
    }

    /// Loads the driver of every device there is, and of the devices that appear by that. Gives the names of the
    /// modules that were loaded.
    ///
    /// Some devices appear only later (what hangs on USB is found a second after the driver of its controller, a
    /// dock later still), so whoever waits for one calls this again.
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
        if !loaded.is_empty() {
            tracing::info!(?loaded, "drivers");
        }
        loaded
    }

    /// Loads what the kernel asks for when it runs this program as its modprobe.
    pub fn load_meant(&mut self, name: &str) {
        let meant: Vec<_> = self.tables.meant(name).into_iter().map(str::to_owned).collect();
        let mut loaded = Vec::new();
        meant.iter().for_each(|module| self.load(module, &mut loaded));
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
                    // What the driver can do without must not cost it; without the rest it fails by itself.
                    tracing::warn!(module, path, %error, "a driver could not be loaded");
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

#[cfg(test)]
mod tests {
    use super::kernel_request;

    #[test]
    fn only_the_kernel_s_own_form_is_a_request_for_a_module() {
        let check = |arguments: &[&str], expect: Option<&str>| {
            let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(kernel_request(&arguments), expect);
        };
        check(&["/init", "-q", "--", "mdio:0101"], Some("mdio:0101"));
        check(&["/init"], None);
        // Words of the kernel command line that the kernel does not know are passed to PID 1.
        check(&["/init", "splash", "-q"], None);
    }
}
