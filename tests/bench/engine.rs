//! The imaging engine beside partclone: an ext4 full of this machine's own programs and documents, from a loop device
//! into a store and back. Images and stores lie in memory, so that no disk is measured.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use mimeo_core::{
    chunk::ChunkSize,
    ids::SessionId,
    machine::disk_facts::DiskFacts,
    messages::{CaptureOrder, DiskPin, Outcome as SessionOutcome},
    units::{MIB, SectorSize},
};
use mimeo_engine::{
    Ending, Order,
    board::Board,
    disk::probe::{DiskProbe, FoundDisk},
    link::Patience,
};
use mimeo_lab::{images, process};

use crate::{
    Case,
    measure::{Outcome, RUNS_OF_LONG, Unit, median, print},
    store_server::StoreServer,
};

const FILESYSTEM_BYTES: u64 = 2048 * MIB;
/// What a partition table needs before and behind it.
const TABLE_BYTES: u64 = 2 * MIB;

/// What fills it: programs, libraries, documents and icons, files of all sizes.
const CONTENT: [&str; 2] = ["/usr/share", "/usr/lib/x86_64-linux-gnu"];

/// Where images lie.
const MEMORY: &str = "/dev/shm";

pub(crate) fn cases() -> Vec<Case> {
    vec![Case { name: "engine.ext4".into(), run: Box::new(run) }]
}

/// MB/s of used blocks.
#[derive(Debug, Clone, Copy)]
struct Speeds {
    capture: f64,
    deploy: f64,
    /// A second deploy to the same disk.
    redeploy: f64,
}

fn run(name: &str) -> Outcome<()> {
    let folder = tempfile::tempdir_in(MEMORY)?;
    let (disk, filesystem) = make_disk(folder.path())?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for run in 1..=RUNS_OF_LONG {
        let (speeds, used_megabytes) = measure_ours(&disk, folder.path())?;
        let peer = measure_partclone(&filesystem, folder.path(), used_megabytes)?;
        told(name, run, used_megabytes, &speeds, &peer);
        ours.push(speeds);
        peers.push(peer);
    }
    let line = |part: &str, of: fn(&Speeds) -> f64, peer_is: &str| {
        let middle = |all: &[Speeds]| median(all.iter().map(of).collect());
        print(
            &format!("{name}.{part}.partclone"),
            Unit::MegabytesPerSecond,
            middle(&ours),
            middle(&peers),
            peer_is,
        );
    };
    line("capture", |speeds| speeds.capture, "partclone.ext4 -c | zstd -1 -T0; not read back, ours is");
    line("deploy", |speeds| speeds.deploy, "zstd -d | partclone.ext4 -r; not read back, ours is");
    line("redeploy", |speeds| speeds.redeploy, "the same; writes everything again");
    Ok(())
}

/// A disk with one partition, and its file system by itself.
fn make_disk(folder: &Path) -> Outcome<(PathBuf, PathBuf)> {
    let (disk, filesystem, tree) = (folder.join("disk"), folder.join("filesystem"), folder.join("tree"));
    fs::create_dir(&tree)?;
    for content in CONTENT {
        process::run(Command::new("cp").args(["-a", content]).arg(&tree))?;
    }
    images::blank_disk(&filesystem, FILESYSTEM_BYTES)?;
    process::run(Command::new("mkfs.ext4").args(["-q", "-F", "-d"]).args([&tree, &filesystem]))?;
    fs::remove_dir_all(&tree)?;
    images::blank_disk(&disk, FILESYSTEM_BYTES + TABLE_BYTES)?;
    process::run(Command::new("sgdisk").arg(format!("-n1:2048:+{}M", FILESYSTEM_BYTES / MIB)).arg(&disk))?;
    let (from, to) = (format!("if={}", filesystem.display()), format!("of={}", disk.display()));
    process::run(Command::new("dd").args([&from, &to]).args(["bs=1M", "seek=1", "conv=notrunc,sparse"]))?;
    Ok((disk, filesystem))
}

/// A capture into a new store, a deploy to a blank disk, and the same deploy again.
fn measure_ours(disk: &Path, folder: &Path) -> Outcome<(Speeds, f64)> {
    let store = tempfile::tempdir_in(folder)?;
    let server = StoreServer::new(store.path())?;
    let source = LoopDisk::attach(disk)?;
    let target = LoopDisk::blank(store.path().join("target"), FILESYSTEM_BYTES + TABLE_BYTES)?;
    let order = CaptureOrder {
        session: SessionId(1),
        master_name: "bench".into(),
        source: source.pin()?,
        chunk_size: ChunkSize::DEFAULT,
    };
    let mut used_megabytes = 0.0;
    let capture = seconds(|| {
        let outcome = session(Order::Capture(&order), &server, &source)?;
        used_megabytes = outcome.progress.read_bytes as f64 / 1e6;
        Ok(())
    })?;
    let order = server.deploy_order(target.pin()?)?;
    let deploy = seconds(|| session(Order::Deploy(&order), &server, &target).map(drop))?;
    let redeploy = seconds(|| session(Order::Deploy(&order), &server, &target).map(drop))?;
    let speed = |seconds| used_megabytes / seconds;
    let speeds = Speeds { capture: speed(capture), deploy: speed(deploy), redeploy: speed(redeploy) };
    Ok((speeds, used_megabytes))
}

fn measure_partclone(filesystem: &Path, folder: &Path, used_megabytes: f64) -> Outcome<Speeds> {
    let work = tempfile::tempdir_in(folder)?;
    let packed = work.path().join("packed").display().to_string();
    let source = LoopDisk::attach(filesystem)?;
    let target = LoopDisk::blank(work.path().join("target"), FILESYSTEM_BYTES)?;
    let (from, to) = (&source.device, &target.device);
    let shell = |script: &str| {
        seconds(|| Ok(process::run(Command::new("bash").args(["-o", "pipefail", "-c", script])).map(drop)?))
    };
    let clone = format!("partclone.ext4 -c -s {from} -o - 2>/dev/null | zstd -q -1 -T0 > {packed}");
    let restore = format!(
        "zstd -q -d < {packed} | partclone.ext4 -r -s - -o {to} 2>/dev/null && blockdev --flushbufs {to}"
    );
    let speed = |seconds| used_megabytes / seconds;
    Ok(Speeds {
        capture: speed(shell(&clone)?),
        deploy: speed(shell(&restore)?),
        redeploy: speed(shell(&restore)?),
    })
}

/// Runs a session that has to succeed.
fn session(order: Order<'_>, server: &StoreServer, disk: &LoopDisk) -> Outcome<SessionOutcome> {
    match mimeo_engine::run(order, server, disk, &Board::default(), Patience::default()) {
        Ending::Over(SessionOutcome { failure: Some(failure), .. }) => Err(format!("{failure:?}").into()),
        Ending::Over(outcome) => Ok(outcome),
        Ending::Stopped => Err("the session was stopped".into()),
    }
}

fn seconds(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn told(name: &str, run: usize, used_megabytes: f64, ours: &Speeds, peer: &Speeds) {
    eprintln!(
        "  {name}, {run} of {RUNS_OF_LONG}: {used_megabytes:.0} MB; mimeo {ours:.0?}, partclone {peer:.0?}"
    );
}

/// An image as a block device. Needs root; detaches itself.
struct LoopDisk {
    device: String,
    size_bytes: u64,
}

impl LoopDisk {
    fn attach(image: &Path) -> Outcome<Self> {
        let device = process::run(Command::new("losetup").args(["--find", "--show"]).arg(image))?;
        Ok(Self { device: device.trim().to_owned(), size_bytes: fs::metadata(image)?.len() })
    }

    fn blank(image: PathBuf, size_bytes: u64) -> Outcome<Self> {
        images::blank_disk(&image, size_bytes)?;
        Self::attach(&image)
    }

    fn pin(&self) -> io::Result<DiskPin> {
        Ok(self.disks()?.remove(0).facts.pin())
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Fails only where the device is gone already.
        let _detached = process::run(Command::new("losetup").args(["--detach", &self.device]));
    }
}

impl DiskProbe for LoopDisk {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        Ok(vec![FoundDisk {
            device: self.device.clone().into(),
            facts: DiskFacts {
                kernel_name: "loop".into(),
                model: None,
                serial: Some("BENCH".into()),
                wwn: None,
                size_bytes: self.size_bytes,
                logical_sector: SectorSize::B512,
                physical_sector: SectorSize::B512,
                removable: false,
                transport: None,
                rotational: false,
            },
        }])
    }
}
