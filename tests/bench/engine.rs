//! The imaging engine beside partclone, as people run both: `mimeo image` on a volume full of this machine's own programs
//! and documents, in a file on this machine's disk, into a library on the same disk and back.
//!
//! The page cache is emptied before each run but those called warm, and each run ends once everything is on the disk.
//! Mimeo reads back and compares what it stores, which partclone does not; what it restores it reads back in the lines
//! that say so.

#[path = "engine/cost.rs"]
mod cost;
#[path = "engine/scale.rs"]
mod scale;
#[path = "engine/upgrade.rs"]
mod upgrade;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mimeo_lab::{appliance, images, process};

use self::cost::{Cache, Cost, cost, cost_of_script};
use crate::{
    Case,
    measure::{Outcome, RUNS_OF_LONG, Unit, median, print},
};

const VOLUME_BYTES: u64 = 4 << 30;

/// What fills it: programs, libraries, documents and icons, files of all sizes.
const CONTENT: [&str; 2] = ["/usr/share", "/usr/lib/x86_64-linux-gnu"];

/// A file system, how a volume is filled with a tree, and which partclone copies it.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    partclone: &'static str,
    /// A shell script: `$1` is the volume, `$2` the tree.
    fill: &'static str,
    /// A shell script: `$1` is the volume, `$2` where it is to be mounted.
    mount: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "ext4",
        partclone: "partclone.ext4",
        fill: "mkfs.ext4 -q -F -d \"$2\" \"$1\"",
        mount: "mount -o loop \"$1\" \"$2\"",
    },
    Kind {
        name: "ntfs",
        partclone: "partclone.ntfs",
        fill: "mkntfs -q -F -Q \"$1\" && mkdir \"$1.at\" && ntfs-3g -o big_writes \"$1\" \"$1.at\" \
               && { cp -r --no-preserve=all -P \"$2\"/. \"$1.at\"; umount \"$1.at\"; }",
        mount: "ntfs-3g -o big_writes \"$1\" \"$2\"",
    },
];

pub(crate) fn cases() -> Vec<Case> {
    let case = |kind: Kind| Case { name: format!("engine.{}", kind.name), run: Box::new(move |_| run(kind)) };
    let scale = Case { name: "engine.scale".into(), run: Box::new(|_| scale::run()) };
    KINDS.into_iter().map(case).chain([scale]).collect()
}

/// What one run of one program took for each piece of work, and how much it kept.
#[derive(Debug, Clone, Copy)]
struct Figures {
    capture: Cost,
    warm_capture: Cost,
    restore: Cost,
    verified_restore: Cost,
    /// Capture and restore once more, with nothing changed.
    recapture: Cost,
    redeploy: Cost,
    kept_megabytes: f64,
    /// Reading, and writing zeros, as much as is in use, as fast as the disk goes.
    plain_read: Cost,
    plain_write: Cost,
}

fn run(kind: Kind) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let volume = make_volume(kind, folder.path())?;
    let used_megabytes = used_megabytes(kind, &volume)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for run in 1..=RUNS_OF_LONG {
        ours.push(measure_ours(&volume, folder.path(), used_megabytes)?);
        peers.push(measure_partclone(kind, &volume, folder.path(), used_megabytes)?);
        told(kind, run, used_megabytes, ours.last(), peers.last());
    }
    print_lines(kind, used_megabytes, &ours, &peers);
    compare_second_versions(kind, &volume, folder.path())
}

fn print_lines(kind: Kind, used_megabytes: f64, ours: &[Figures], peers: &[Figures]) {
    let line =
        |part: &str, unit: Unit, our: &dyn Fn(&Figures) -> f64, of: &dyn Fn(&Figures) -> f64, is: &str| {
            let middle = |all: &[Figures], of: &dyn Fn(&Figures) -> f64| median(all.iter().map(of).collect());
            print(&format!("engine.{part}.{}", kind.name), unit, middle(ours, our), middle(peers, of), is);
        };
    let tool = kind.partclone;
    let (out, back) = (format!("{tool} -c | zstd -1 -T0"), format!("zstd -d | {tool} -r"));
    let (out_again, back_again) = (format!("{out}, all of it again"), format!("{back}, all of it again"));
    let speed = |part: &str, our: fn(&Figures) -> Cost, peer: fn(&Figures) -> Cost, is: &str| {
        let per_second = |cost: Cost| used_megabytes / cost.seconds;
        let (ours, peers) =
            (move |run: &Figures| per_second(our(run)), move |run: &Figures| per_second(peer(run)));
        line(part, Unit::MegabytesPerSecond, &ours, &peers, is);
    };
    speed("capture", |run| run.capture, |run| run.capture, &out);
    speed("capture.warm", |run| run.warm_capture, |run| run.warm_capture, &out);
    speed("restore", |run| run.restore, |run| run.restore, &back);
    speed(
        "restore.verified",
        |run| run.verified_restore,
        |run| run.restore,
        &format!("{back}, not read back"),
    );
    speed("restore.beside_dd", |run| run.restore, |run| run.plain_write, "dd of as many zeros, oflag=direct");
    speed("recapture", |run| run.recapture, |run| run.recapture, &out_again);
    speed(
        "recapture.beside_dd",
        |run| run.recapture,
        |run| run.plain_read,
        "dd of as many bytes, iflag=direct",
    );
    speed("redeploy", |run| run.redeploy, |run| run.redeploy, &back_again);
    speed(
        "redeploy.beside_dd",
        |run| run.redeploy,
        |run| run.plain_read,
        "dd of as many bytes, iflag=direct",
    );
    line("size", Unit::Megabytes, &|run| run.kept_megabytes, &|run| run.kept_megabytes, &out);
    let cpu = |of: fn(&Figures) -> Cost| move |run: &Figures| of(run).cpu_seconds;
    line("cpu.capture", Unit::CpuSeconds, &cpu(|run| run.capture), &cpu(|run| run.capture), &out);
    line("cpu.restore", Unit::CpuSeconds, &cpu(|run| run.restore), &cpu(|run| run.restore), &back);
    let peak = |of: fn(&Figures) -> Cost| move |run: &Figures| of(run).peak_megabytes;
    line("memory.capture", Unit::Megabytes, &peak(|run| run.capture), &peak(|run| run.capture), &out);
    line("memory.restore", Unit::Megabytes, &peak(|run| run.restore), &peak(|run| run.restore), &back);
}

fn make_volume(kind: Kind, folder: &Path) -> Outcome<PathBuf> {
    let (volume, tree) = (folder.join("volume"), folder.join("tree"));
    fs::create_dir(&tree)?;
    for content in CONTENT {
        process::run(Command::new("cp").args(["-a", content]).arg(&tree))?;
    }
    images::blank_disk(&volume, VOLUME_BYTES)?;
    process::run(Command::new("sh").args(["-c", kind.fill, "fill"]).args([&volume, &tree]))?;
    fs::remove_dir_all(&tree)?;
    Ok(volume)
}

/// What partclone finds in use: the speeds of both are told in its account.
fn used_megabytes(kind: Kind, volume: &Path) -> Outcome<f64> {
    let script = format!("{} -c -s \"$1\" -o - 2>/dev/null | wc -c", kind.partclone);
    let bytes = process::run(Command::new("sh").args(["-c", &script, "count"]).arg(volume))?;
    Ok(bytes.trim().parse::<f64>()? / 1e6)
}

/// Runs `mimeo image` on a library.
struct Library {
    mimeo: PathBuf,
    folder: PathBuf,
}

impl Library {
    fn new(folder: PathBuf) -> Outcome<Self> {
        Ok(Self { mimeo: appliance::program()?, folder })
    }

    fn image(&self, arguments: &[&str], path: &Path, cache: Cache) -> Outcome<Cost> {
        let (path, folder) = (path.display().to_string(), self.folder.display().to_string());
        cost(&self.mimeo, &[&["image"], arguments, &[&path, "--store", &folder]].concat(), cache)
    }

    fn capture(&self, volume: &Path, cache: Cache) -> Outcome<Cost> {
        self.image(&["capture", "--name", "bench"], volume, cache)
    }

    fn megabytes(&self) -> Outcome<f64> {
        megabytes_of(&self.folder.join("store"))
    }
}

fn measure_ours(volume: &Path, folder: &Path, used_megabytes: f64) -> Outcome<Figures> {
    let work = tempfile::tempdir_in(folder)?;
    let library = Library::new(work.path().join("library"))?;
    let target = work.path().join("target");
    let capture = library.capture(volume, Cache::Cold)?;
    let kept_megabytes = library.megabytes()?;
    let warm = Library::new(work.path().join("warm"))?;
    process::run(Command::new("sh").args(["-c", "cat \"$1\" > /dev/null", "warm"]).arg(volume))?;
    let warm_capture = warm.capture(volume, Cache::AsItIs)?;
    fs::remove_dir_all(&warm.folder)?;
    let verified_restore = library.image(&["restore", "bench"], &target, Cache::Cold)?;
    fs::remove_file(&target)?;
    let restore = library.image(&["restore", "--no-verify", "bench"], &target, Cache::Cold)?;
    let recapture = library.capture(volume, Cache::Cold)?;
    let redeploy = library.image(&["restore", "--no-verify", "bench"], &target, Cache::Cold)?;
    let (plain_read, plain_write) = measure_disk(volume, &target, used_megabytes)?;
    Ok(Figures {
        capture,
        warm_capture,
        restore,
        verified_restore,
        recapture,
        redeploy,
        kept_megabytes,
        plain_read,
        plain_write,
    })
}

/// What the disk does where nothing is worked out.
fn measure_disk(volume: &Path, target: &Path, used_megabytes: f64) -> Outcome<(Cost, Cost)> {
    let blocks = (used_megabytes * 1e6 / f64::from(8 << 20)).ceil();
    let read = format!("dd if=\"$1\" of=/dev/null bs=8M iflag=direct count={blocks} 2>/dev/null");
    let write = format!("dd if=/dev/zero of=\"$1\" bs=8M oflag=direct count={blocks} conv=fsync 2>/dev/null");
    fs::remove_file(target)?;
    let written = cost_of_script(&write, &[target], Cache::Cold)?;
    Ok((cost_of_script(&read, &[volume], Cache::Cold)?, written))
}

fn measure_partclone(kind: Kind, volume: &Path, folder: &Path, used_megabytes: f64) -> Outcome<Figures> {
    let work = tempfile::tempdir_in(folder)?;
    let (packed, target) = (work.path().join("packed"), work.path().join("target"));
    images::blank_disk(&target, VOLUME_BYTES)?;
    let tool = kind.partclone;
    let shell = |script: &str, cache| cost_of_script(script, &[volume, &packed, &target], cache);
    let out = format!("{tool} -c -s \"$1\" -o - 2>/dev/null | zstd -q -1 -T0 > \"$2\" && sync \"$2\"");
    let back = format!("zstd -q -d < \"$2\" | {tool} -r -s - -O \"$3\" 2>/dev/null && sync \"$3\"");
    let capture = shell(&out, Cache::Cold)?;
    let kept_megabytes = fs::metadata(&packed)?.len() as f64 / 1e6;
    let restore = shell(&back, Cache::Cold)?;
    let recapture = shell(&out, Cache::Cold)?;
    process::run(Command::new("sh").args(["-c", "cat \"$1\" > /dev/null", "warm"]).arg(volume))?;
    let warm_capture = shell(&out, Cache::AsItIs)?;
    let redeploy = shell(&back, Cache::Cold)?;
    let (plain_read, plain_write) = measure_disk(volume, &target, used_megabytes)?;
    Ok(Figures {
        capture,
        warm_capture,
        restore,
        verified_restore: restore,
        recapture,
        redeploy,
        kept_megabytes,
        plain_read,
        plain_write,
    })
}

/// What a second version takes, of a volume of which each twentieth file is another.
fn compare_second_versions(kind: Kind, volume: &Path, folder: &Path) -> Outcome<()> {
    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for _ in 0..RUNS_OF_LONG {
        let work = tempfile::tempdir_in(folder)?;
        let library = Library::new(work.path().join("library"))?;
        let upgraded = work.path().join("upgraded");
        process::run(Command::new("cp").arg("--sparse=always").args([volume, &upgraded]))?;
        library.capture(&upgraded, Cache::Cold)?;
        let before = library.megabytes()?;
        upgrade::upgrade(&upgraded, kind.mount)?;
        library.capture(&upgraded, Cache::Cold)?;
        ours.push(library.megabytes()? - before);
        least.push(upgrade::changed_megabytes(volume, &upgraded, &work.path().join("changed"))?);
    }
    let name = format!("engine.second_version.{}", kind.name);
    print(&name, Unit::Megabytes, median(ours), median(least), "zstd -1 of the changed blocks of 128 KiB");
    Ok(())
}

/// The length of all files below a folder.
fn megabytes_of(folder: &Path) -> Outcome<f64> {
    let said = process::run(Command::new("du").args(["-sb"]).arg(folder))?;
    let bytes = said.split_whitespace().next().ok_or("du said nothing")?;
    Ok(bytes.parse::<f64>()? / 1e6)
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn told(kind: Kind, run: usize, used_megabytes: f64, ours: Option<&Figures>, peer: Option<&Figures>) {
    let name = kind.name;
    eprintln!(
        "  engine.{name}, {run} of {RUNS_OF_LONG}: {used_megabytes:.0} MB; mimeo {ours:.1?}, partclone {peer:.1?}"
    );
}
