//! Disks for the engine: images made with the usual programs, on loop devices.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    chunk::ChunkSize,
    disk::ReadAt,
    failure::FailureCause,
    ids::SessionId,
    machine::disk_facts::DiskFacts,
    messages::{CaptureOrder, DeployOrder, DiskPin, Outcome, Phase},
    units::{Extent, MIB, SectorSize},
};
use mimeo_engine::{
    Ending, Order,
    board::Board,
    disk::probe::{DiskProbe, FoundDisk},
    link::Patience,
};
use mimeo_lab::content;
use tempfile::TempDir;

use super::memory_server::MemoryServer;

/// Long enough for a server that misses a few requests, short enough for a test.
pub(super) const PATIENCE: Patience = Patience {
    first_pause: Duration::from_millis(2),
    longest_pause: Duration::from_millis(20),
    give_up_after: Duration::from_millis(300),
};

/// Runs a program and gives its output; a program that fails, fails the test with what it said.
pub(super) fn run(program: &str, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program} {arguments:?}: {status}\n{said}");
    said
}

/// A folder in memory, where disk images cost no disk time.
pub(super) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Bytes that look random and are always the same.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(super) fn create(path: &Path, length_bytes: u64) -> File {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(length_bytes).unwrap();
    file
}

/// Copies a file-system image to its place on a disk.
pub(super) fn place(disk: &File, start_bytes: u64, image: &Path) {
    disk.write_all_at(&fs::read(image).unwrap(), start_bytes).unwrap();
}

/// An ext4 with a tree of `content_bytes`, on a medium whose free space is full of old rubbish.
pub(super) fn ext4(folder: &Path, length_bytes: u64, content_bytes: usize) -> PathBuf {
    let (image, tree) = (folder.join("ext4.img"), folder.join("tree"));
    fs::create_dir_all(tree.join("etc/deep/er")).unwrap();
    fs::write(tree.join("noise"), noise(1, content_bytes / 2)).unwrap();
    fs::write(tree.join("text"), "to be or not to be\n".repeat(content_bytes / 38)).unwrap();
    fs::write(tree.join("etc/deep/er/small"), "small").unwrap();
    create(&tree.join("sparse"), 8 * MIB).write_all_at(b"end", 8 * MIB - 3).unwrap();
    fs::write(&image, vec![0xAA; length_bytes as usize]).unwrap();
    run("mkfs.ext4", &["-q", "-F", "-E", "nodiscard,lazy_itable_init=0", "-d", &text(&tree), &text(&image)]);
    image
}

pub(super) fn fat32(folder: &Path, length_bytes: u64) -> PathBuf {
    let (image, file) = (folder.join("fat.img"), folder.join("loader.efi"));
    create(&image, length_bytes);
    fs::write(&file, noise(2, 700_000)).unwrap();
    run("mkfs.vfat", &["-F", "32", "-s", "1", &text(&image)]);
    run("mcopy", &["-i", &text(&image), &text(&file), "::/loader.efi"]);
    image
}

pub(super) fn ntfs(folder: &Path, length_bytes: u64) -> PathBuf {
    let (image, file) = (folder.join("ntfs.img"), folder.join("content.bin"));
    create(&image, length_bytes);
    fs::write(&file, noise(3, 9_000_000)).unwrap();
    run("mkntfs", &["-q", "-F", "-Q", "-s", "512", "-p", "0", "-H", "0", "-S", "0", &text(&image)]);
    run("ntfscp", &["-f", &text(&image), &text(&file), "content.bin"]);
    image
}

pub(super) fn swap(folder: &Path, length_bytes: u64) -> PathBuf {
    let image = folder.join("swap.img");
    fs::write(&image, vec![0x5A; length_bytes as usize]).unwrap();
    run("mkswap", &["-U", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", &text(&image)]);
    image
}

pub(super) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(super) fn found_disk(name: &str, device: &str, size_bytes: u64, sector: SectorSize) -> FoundDisk {
    FoundDisk {
        device: device.into(),
        facts: DiskFacts {
            kernel_name: name.into(),
            model: Some("Test Disk".into()),
            serial: Some(format!("serial of {name}")),
            wwn: None,
            size_bytes,
            logical_sector: sector,
            physical_sector: sector,
            removable: false,
            transport: None,
            rotational: false,
        },
    }
}

/// An image file as a block device. Needs root; detaches itself.
pub(super) struct LoopDisk {
    device: String,
    image: PathBuf,
    sector: SectorSize,
}

impl LoopDisk {
    pub(super) fn attach(image: &Path, sector: SectorSize) -> Self {
        let sector_bytes = sector.to_string();
        let device = run("losetup", &["--find", "--show", "--sector-size", &sector_bytes, &text(image)]);
        Self { device: device.trim().to_owned(), image: image.to_owned(), sector }
    }

    /// A blank one.
    pub(super) fn blank(image: &Path, length_bytes: u64, sector: SectorSize) -> Self {
        create(image, length_bytes);
        Self::attach(image, sector)
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        run("losetup", &["--detach", &self.device]);
    }
}

impl DiskProbe for LoopDisk {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        let size_bytes = File::open(&self.device)?.length_bytes();
        Ok(vec![found_disk("loop", &self.device, size_bytes, self.sector)])
    }
}

pub(super) fn the_pin(probe: &dyn DiskProbe) -> DiskPin {
    probe.disks().unwrap()[0].facts.pin()
}

pub(super) fn capture(server: &MemoryServer, probe: &dyn DiskProbe) -> Outcome {
    capture_tolerating(server, probe, BadSectorLimit::NONE)
}

pub(super) fn capture_tolerating(
    server: &MemoryServer,
    probe: &dyn DiskProbe,
    tolerate_bad_sectors: BadSectorLimit,
) -> Outcome {
    let order = CaptureOrder {
        session: SessionId(1),
        master_name: "test".into(),
        source: the_pin(probe),
        chunk_size: ChunkSize::DEFAULT,
        tolerate_bad_sectors,
    };
    over(mimeo_engine::run(Order::Capture(&order), server, probe, &Board::default(), PATIENCE))
}

pub(super) fn deploy(server: &MemoryServer, probe: &dyn DiskProbe) -> Outcome {
    over(deploy_ending(server, probe, &Board::default(), PATIENCE))
}

/// A deploy that was told not to read back.
pub(super) fn deploy_unverified(server: &MemoryServer, probe: &dyn DiskProbe) -> Outcome {
    let order = DeployOrder { verify: false, ..server.deploy_order(the_pin(probe)) };
    over(mimeo_engine::run(Order::Deploy(&order), server, probe, &Board::default(), PATIENCE))
}

pub(super) fn deploy_ending(
    server: &MemoryServer,
    probe: &dyn DiskProbe,
    board: &Board,
    patience: Patience,
) -> Ending {
    let order = server.deploy_order(the_pin(probe));
    mimeo_engine::run(Order::Deploy(&order), server, probe, board, patience)
}

fn over(ending: Ending) -> Outcome {
    match ending {
        Ending::Over(outcome) => outcome,
        Ending::Stopped => panic!("the session was stopped"),
    }
}

pub(super) fn succeeded(outcome: &Outcome) {
    assert_eq!(outcome.failure, None);
}

/// The phase and cause of a session that has to have failed.
pub(super) fn failure(outcome: Outcome) -> (Phase, FailureCause) {
    let failure = outcome.failure.expect("the session succeeded");
    (failure.phase, failure.cause)
}

/// As the laboratory's own, for disks that are sound.
pub(super) fn used_extents(disk: &dyn ReadAt, sector: SectorSize) -> Vec<Extent> {
    content::used_extents(disk, sector).unwrap()
}

pub(super) fn assert_equal_content(source: &[u8], target: &[u8], extents: &[Extent]) {
    for extent in extents {
        let range = extent.start_bytes as usize..extent.end_bytes() as usize;
        assert!(source[range.clone()] == target[range], "the content differs in {extent}");
    }
}

/// Checks that a disk that was blank got nothing but `extents` and its partition table, whose first copy lies in the
/// first 64 KiB.
pub(super) fn assert_zero_outside(disk: &[u8], extents: &[Extent]) {
    let mut sorted = extents.to_vec();
    sorted.sort_unstable();
    let mut from = 64 << 10;
    for extent in sorted {
        let hole = from..extent.start_bytes as usize;
        assert!(disk[hole.clone()].iter().all(|&byte| byte == 0), "something lies in {hole:?}");
        from = extent.end_bytes() as usize;
    }
    assert!(disk[from..].iter().all(|&byte| byte == 0), "something lies behind {from}");
}
