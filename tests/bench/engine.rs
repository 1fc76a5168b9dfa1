//! The imaging engine beside partclone, as people run both: `mimeo image` on a volume full of this machine's own programs
//! and documents, in a file on this machine's disk, into a library on the same disk and back.
//!
//! The page cache is emptied before each run, and each ends once everything is on the disk. Mimeo reads back and
//! compares what it stored and what it restored, which partclone does not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use mimeo_lab::{appliance, images, process};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

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
}

const KINDS: [Kind; 2] = [
    Kind { name: "ext4", partclone: "partclone.ext4", fill: "mkfs.ext4 -q -F -d \"$2\" \"$1\"" },
    Kind {
        name: "ntfs",
        partclone: "partclone.ntfs",
        fill: "mkntfs -q -F -Q \"$1\" && mkdir \"$1.at\" && ntfs-3g -o big_writes \"$1\" \"$1.at\" \
               && { cp -r --no-preserve=all -P \"$2\"/. \"$1.at\"; umount \"$1.at\"; }",
    },
];

pub(crate) fn cases() -> Vec<Case> {
    let case = |kind: Kind| Case { name: format!("engine.{}", kind.name), run: Box::new(move |_| run(kind)) };
    KINDS.into_iter().map(case).collect()
}

/// What one piece of work took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    /// User and system time of the program and all that it started.
    cpu_seconds: f64,
}

/// What one run of one program took for each piece of work, and how much it kept.
#[derive(Debug, Clone, Copy)]
struct Figures {
    capture: Cost,
    restore: Cost,
    /// Both once more, with nothing changed.
    recapture: Cost,
    redeploy: Cost,
    kept_megabytes: f64,
}

fn run(kind: Kind) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let volume = make_volume(kind, folder.path())?;
    let used_megabytes = used_megabytes(kind, &volume)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for run in 1..=RUNS_OF_LONG {
        ours.push(measure_ours(&volume, folder.path())?);
        peers.push(measure_partclone(kind, &volume, folder.path())?);
        told(kind, run, used_megabytes, ours.last(), peers.last());
    }
    let line = |part: &str, unit: Unit, of: &dyn Fn(&Figures) -> f64, peer_is: &str| {
        let middle = |all: &[Figures]| median(all.iter().map(of).collect());
        print(&format!("engine.{part}.{}", kind.name), unit, middle(&ours), middle(&peers), peer_is);
    };
    let tool = kind.partclone;
    let (out, back) = (format!("{tool} -c | zstd -1 -T0"), format!("zstd -d | {tool} -r"));
    let speed = |cost: Cost| used_megabytes / cost.seconds;
    line("capture", Unit::MegabytesPerSecond, &|run| speed(run.capture), &out);
    line("restore", Unit::MegabytesPerSecond, &|run| speed(run.restore), &back);
    line(
        "recapture",
        Unit::MegabytesPerSecond,
        &|run| speed(run.recapture),
        &format!("{out}, all of it again"),
    );
    line(
        "redeploy",
        Unit::MegabytesPerSecond,
        &|run| speed(run.redeploy),
        &format!("{back}, all of it again"),
    );
    line("size", Unit::Megabytes, &|run| run.kept_megabytes, &out);
    line("cpu.capture", Unit::CpuSeconds, &|run| run.capture.cpu_seconds, &out);
    line("cpu.restore", Unit::CpuSeconds, &|run| run.restore.cpu_seconds, &back);
    Ok(())
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

fn measure_ours(volume: &Path, folder: &Path) -> Outcome<Figures> {
    let work = tempfile::tempdir_in(folder)?;
    let (library, target) = (work.path().join("library"), work.path().join("target"));
    let mimeo = appliance::program()?;
    let image = |arguments: &[&str], path: &Path| {
        let mut command = Command::new(&mimeo);
        command.args(["image", arguments[0]]).args(&arguments[1..]).arg(path).arg("--store").arg(&library);
        cost(&mut command)
    };
    let capture = image(&["capture", "--name", "bench"], volume)?;
    let kept_megabytes = megabytes_of(&library.join("store"))?;
    Ok(Figures {
        capture,
        restore: image(&["restore", "bench"], &target)?,
        recapture: image(&["capture", "--name", "bench"], volume)?,
        redeploy: image(&["restore", "bench"], &target)?,
        kept_megabytes,
    })
}

fn measure_partclone(kind: Kind, volume: &Path, folder: &Path) -> Outcome<Figures> {
    let work = tempfile::tempdir_in(folder)?;
    let (packed, target) = (work.path().join("packed"), work.path().join("target"));
    images::blank_disk(&target, VOLUME_BYTES)?;
    let tool = kind.partclone;
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", script, "peer"]).args([volume, &packed, &target]);
        cost(&mut command)
    };
    let out = format!("{tool} -c -s \"$1\" -o - 2>/dev/null | zstd -q -1 -T0 > \"$2\" && sync \"$2\"");
    let back = format!("zstd -q -d < \"$2\" | {tool} -r -s - -O \"$3\" 2>/dev/null && sync \"$3\"");
    let capture = shell(&out)?;
    let kept_megabytes = fs::metadata(&packed)?.len() as f64 / 1e6;
    Ok(Figures {
        capture,
        restore: shell(&back)?,
        recapture: shell(&out)?,
        redeploy: shell(&back)?,
        kept_megabytes,
    })
}

/// Runs a program with an empty page cache, to its end.
fn cost(command: &mut Command) -> Outcome<Cost> {
    process::run(Command::new("sh").args(["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]))?;
    let (before, began) = (cpu_seconds_of_children()?, Instant::now());
    process::run(command)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Cost { seconds, cpu_seconds: cpu_seconds_of_children()? - before })
}

fn cpu_seconds_of_children() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
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
