//! Volume images in files: made, mounted, filled, aged, and restored from a map of used bytes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use mimeo_core::{
    disk::{
        ReadAt,
        filesystem::{self, FileSystem},
        used_blocks::{self, UsedMap},
    },
    units::Extent,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

/// What stands in a restored image where nothing was copied: a deploy leaves whatever the target held.
const STALE: u8 = 0xA5;

/// A volume in a file of its own directory.
pub(super) struct Image {
    pub(super) directory: TempDir,
    pub(super) path: PathBuf,
}

impl Image {
    pub(super) fn of_bytes(bytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory for an image");
        let path = directory.path().join("volume.img");
        File::create(&path).and_then(|file| file.set_len(bytes)).expect("an image");
        Self { directory, path }
    }

    pub(super) fn open(&self) -> File {
        File::open(&self.path).expect("the image")
    }

    pub(super) fn str(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }

    /// Overwrites bytes of the image.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(&self.path).expect("the image");
        file.write_all_at(bytes, offset).expect("writing into the image");
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        ReadAt::read_exact_at(&self.open(), &mut bytes, offset).expect("reading the image");
        bytes
    }

    /// The map of the image, after the checks that every map must pass.
    pub(super) fn map(&self, expected: FileSystem) -> UsedMap {
        let volume = self.open();
        assert_eq!(filesystem::detect(&volume).expect("detecting"), Some(expected));
        let map =
            used_blocks::map(expected, &volume).unwrap_or_else(|error| panic!("{}: {error}", self.str()));
        check_form(&map, volume.length_bytes());
        map
    }

    /// A copy that holds the mapped bytes of this one, zeros where the map asks for them, and stale bytes everywhere
    /// else.
    pub(super) fn restored(&self, map: &UsedMap) -> Self {
        let source = self.open();
        let restored = Self::of_bytes(0);
        let mut target = File::create(&restored.path).expect("the restored image");
        let mut at = 0;
        let stale = vec![STALE; 1 << 20];
        let fill = |target: &mut File, mut bytes: u64| {
            while bytes > 0 {
                let length = bytes.min(stale.len() as u64);
                target.write_all(&stale[..length as usize]).expect("writing stale bytes");
                bytes -= length;
            }
        };
        for extent in &map.extents {
            fill(&mut target, extent.start_bytes - at);
            let mut bytes = vec![0; extent.length_bytes as usize];
            ReadAt::read_exact_at(&source, &mut bytes, extent.start_bytes).expect("reading a used extent");
            target.write_all(&bytes).expect("writing a used extent");
            at = extent.end_bytes();
        }
        fill(&mut target, source.length_bytes() - at);
        drop(target);
        for extent in &map.zeroed {
            restored.write(extent.start_bytes, &vec![0; extent.length_bytes as usize]);
        }
        restored
    }

    /// Mounts the image with the kernel's driver.
    pub(super) fn mount(&self, options: &str) -> Mounted {
        let at = self.directory.path().join("mounted");
        fs::create_dir_all(&at).expect("a mount point");
        keep_mounts_to_this_thread();
        run("mount", &["-o", options, self.str(), at.to_str().expect("UTF-8")]);
        Mounted { at, image: self.path.clone() }
    }

    /// Mounts the image over a loop device with the driver that `mount` knows as `kind`.
    pub(super) fn mount_as(&self, kind: &str, options: &str) -> Mounted {
        let at = self.directory.path().join("mounted");
        fs::create_dir_all(&at).expect("a mount point");
        keep_mounts_to_this_thread();
        let options = format!("loop,{options}");
        run("mount", &["-t", kind, "-o", &options, self.str(), at.to_str().expect("UTF-8")]);
        Mounted { at, image: self.path.clone() }
    }

    /// Mounts the image with ntfs-3g.
    pub(super) fn mount_ntfs(&self, options: &str) -> Mounted {
        let at = self.directory.path().join("mounted");
        fs::create_dir_all(&at).expect("a mount point");
        keep_mounts_to_this_thread();
        run("ntfs-3g", &["-o", options, self.str(), at.to_str().expect("UTF-8")]);
        Mounted { at, image: self.path.clone() }
    }
}

/// A map is in order, merged, inside the volume, and counts what it covers.
pub(super) fn check_form(map: &UsedMap, volume_bytes: u64) {
    let apart = |pair: &[Extent]| pair[0].end_bytes() < pair[1].start_bytes;
    assert!(map.extents.windows(2).all(apart), "extents touch or are out of order");
    assert!(map.extents.iter().all(|extent| extent.length_bytes > 0 && extent.end_bytes() <= volume_bytes));
    let covered: u64 = map.extents.iter().map(|extent| extent.length_bytes).sum();
    assert!(map.used_bytes <= covered && covered <= volume_bytes);
    let touch = |zeroed: &Extent| {
        let after = map.extents.partition_point(|extent| extent.end_bytes() <= zeroed.start_bytes);
        map.extents.get(after).is_some_and(|extent| extent.start_bytes < zeroed.end_bytes())
    };
    assert!(map.zeroed.windows(2).all(apart) && !map.zeroed.iter().any(touch), "{:?}", map.zeroed);
    assert!(map.zeroed.iter().all(|extent| extent.length_bytes > 0 && extent.end_bytes() <= volume_bytes));
}

/// From here on this thread, and what it starts, has mounts of its own. Whoever makes a namespace in another thread
/// (`ip netns exec` makes one) would get a copy of a mount that all can see, and keep its file system busy.
fn keep_mounts_to_this_thread() {
    unshare(CloneFlags::CLONE_NEWNS).expect("mounting takes root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("a private root");
}

/// A mounted image, unmounted when dropped.
pub(super) struct Mounted {
    pub(super) at: PathBuf,
    image: PathBuf,
}

impl Mounted {
    /// Waits until no loop device shows the image: the kernel lets go of it a moment after `umount` has returned.
    fn await_rest(&self, deadline: Instant) {
        let path = self.image.to_str().expect("UTF-8");
        loop {
            let output =
                Command::new("losetup").args(["--associated", path]).output().expect("losetup is needed");
            if output.stdout.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(std::thread::panicking(), "still mounted somewhere: {text}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A program that looks at every mount keeps one busy for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let output = Command::new("umount").arg(&self.at).output().expect("umount is needed");
            if output.status.success() {
                return self.await_rest(Instant::now() + Duration::from_secs(60));
            }
            if Instant::now() > deadline {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let _detached = Command::new("umount").arg("-l").arg(&self.at).status();
                assert!(std::thread::panicking(), "unmounting {}: {text}", self.at.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs a program that must succeed, and returns what it printed.
pub(super) fn run(program: &str, arguments: &[&str]) -> String {
    let (code, text) = run_any(program, arguments);
    assert_eq!(code, Some(0), "{program} {arguments:?}\n{text}");
    text
}

/// Runs a program; its exit code and everything it printed.
pub(super) fn run_any(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (apt install it): {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Writes a tree of files into `root`, deletes and cuts half of them, and writes more into the holes, until about
/// `bytes` stay. Returns nothing: [`hashes`] says what is there.
pub(super) fn age(root: &Path, bytes: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..3 {
        let mut written = 0;
        for number in 0.. {
            if written >= bytes {
                break;
            }
            let directory = root.join(format!("d{}", number % 7));
            fs::create_dir_all(&directory).expect("a directory");
            let length = 1 << random.random_range(4..21);
            let mut content = vec![0; random.random_range(1..=length)];
            random.fill_bytes(&mut content);
            written += content.len() as u64;
            let path = directory.join(format!("Datei {round}-{number} é.bin"));
            fs::write(path, content).expect("a file");
        }
        let mut files = files(root);
        files.retain(|_| random.random_bool(0.6));
        for (index, path) in files.iter().enumerate() {
            if index % 4 == 0 {
                let file = File::options().write(true).open(path).expect("a file");
                file.set_len(file.metadata().expect("its length").len() / 2).expect("cutting a file");
            } else {
                fs::remove_file(path).expect("deleting a file");
            }
        }
    }
}

/// Writes files until no more fits, and deletes every other one of them.
pub(super) fn fill_and_halve(root: &Path, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folders = ["a", "b", "c", "d", "e"].map(|name| root.join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).expect("a directory"));
    let mut written = Vec::new();
    loop {
        let longest = 1 << random.random_range(9..20);
        let mut content = vec![0; random.random_range(1..=longest)];
        random.fill_bytes(&mut content);
        let path = folders[written.len() % folders.len()].join(written.len().to_string());
        match fs::write(&path, content) {
            Ok(()) => written.push(path),
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    assert!(written.len() > 100, "{} files fill nothing", written.len());
    written.iter().step_by(2).for_each(|path| fs::remove_file(path).expect("deleting a file"));
}

/// What only file systems of Unix hold: holes, links, many small files.
pub(super) fn add_unix_oddities(root: &Path) {
    let sparse = File::create(root.join("sparse")).expect("a file");
    for block in 0..40 {
        sparse.write_all_at(&[7; 5000], block * 300_000).expect("writing behind a hole");
    }
    symlink(
        "a target that is longer than sixty bytes, so that it needs a block of its own, indeed",
        root.join("l"),
    )
    .expect("a link");
    let many = root.join("many");
    fs::create_dir(&many).expect("a directory");
    for number in 0..900 {
        fs::write(many.join(format!("{number:060}")), [1; 90]).expect("a small file");
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("listing a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            if metadata.is_dir() {
                directories.push(path);
            } else if metadata.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The hash and the size of every file.
pub(super) fn hashes(root: &Path) -> BTreeMap<PathBuf, (u64, blake3::Hash)> {
    let hash = |path: &PathBuf| {
        let content = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let size = fs::metadata(path).expect("metadata").size();
        (path.strip_prefix(root).expect("inside").to_owned(), (size, blake3::hash(&content)))
    };
    files(root).iter().map(hash).collect()
}
