//! SIGKILL at any moment of a capture and of a restore: nothing that is listed is less than whole, no half written disk
//! looks like one to start from, and the same command then does it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mimeo_core::units::{MIB, SectorSize};
use mimeo_lab::content;
use mimeo_server::imaging::{library::Library, master};

use super::{CHILD_ANNOUNCES, Child, Shop, run};

/// How often each of the two commands is killed. With the checks, a run takes a sixth of a second.
const KILLS: u32 = 110;
/// Coprime to it, so that early and late kills take turns.
const STRIDE: u32 = 37;

/// When a command is killed: spread evenly over the time that it takes, as far as that is known.
struct Moments {
    takes: Duration,
    killed: u32,
}

impl Moments {
    /// Of a command that takes so long when nobody kills it.
    fn of(whole: impl FnOnce()) -> Self {
        let begun = Instant::now();
        whole();
        Self { takes: begun.elapsed(), killed: 0 }
    }

    /// Starts the command, and kills it at the moment of this number. Whether it had succeeded before.
    fn kill(&mut self, number: u32, mut child: Child) -> bool {
        let mut child = child
            .0
            .env(CHILD_ANNOUNCES, "")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let announced = lines.find(|line| line.as_ref().is_ok_and(|line| line == "begins"));
        assert!(announced.is_some(), "the child never began");
        let begun = Instant::now();
        let share = number * STRIDE % KILLS;
        let moment = self.takes * share / KILLS;
        std::thread::sleep(moment);
        child.kill().expect("it is killed, or over");
        let output = child.wait_with_output().expect("it ended");
        let status = output.status;
        if status.signal() == Some(libc::SIGKILL) {
            self.killed += 1;
            // It takes longer than was thought: the last steps would never be met.
            if share > KILLS * 9 / 10 {
                self.takes = self.takes * 5 / 4;
            }
            return false;
        }
        assert!(status.success(), "kill {number}: {}", String::from_utf8_lossy(&output.stderr));
        self.takes = self.takes.min(begun.elapsed());
        true
    }

    fn check(&self) {
        assert!(self.killed > KILLS / 4, "only {} of {KILLS} met the command at work", self.killed);
    }
}

fn noise(seed: u32, length: u64) -> Vec<u8> {
    let mut noise = vec![0; length as usize];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Writes other bytes into a disk.
fn change(disk: &str, seed: u32, place: u64, length: u64) {
    let file = File::options().write(true).open(disk).expect("the disk");
    file.write_all_at(&noise(seed, length), place).expect("it is writable");
}

/// A disk of 8 MiB whose one partition is noise, of which all is carried.
fn small_disk(shop: &Shop, name: &str, seed: u32) -> String {
    let disk = shop.path(name);
    run("sh", &["-c", "truncate -s 8M $0 && sgdisk -n1:2048:+6M $0", &disk]);
    change(&disk, seed, MIB, 6 * MIB);
    disk
}

/// Every version that is listed is signed and whole. Their number.
async fn check_library(folder: &str) -> usize {
    let library = Library::open(Path::new(folder)).await.expect("a library");
    let listed = master::list_all_versions(&library.shelf.db).await.expect("a list");
    let mut ids = Vec::new();
    for listed in &listed {
        let (signed, manifest) = library.manifest(&listed.version).await.expect("its manifest");
        let key = library.shelf.key.verifying_key();
        signed.open(listed.version.manifest_root, &key).expect("its signature");
        ids.extend(manifest.data_chunks().map(|(_, id)| id));
    }
    ids.sort_unstable();
    ids.dedup();
    let found = library.shelf.store.verify(&ids, &|_| ()).await.expect("the disk answers");
    assert!(found.damaged.is_empty() && found.missing.is_empty(), "{found:?}");
    let stats = library.shelf.store.stats().await.expect("stats");
    assert_eq!(stats.unreadable_packs, []);
    library.close().await;
    listed.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_killed_lists_a_whole_version_or_none() {
    let shop = Shop::new();
    let (disk, library) = (small_disk(&shop, "disk", 0), shop.path("library"));
    let capture = ["capture", &*disk, "--name", "disk"];
    let mut moments = Moments::of(|| assert!(Child::of(&shop, &capture).run().status.success()));
    let mut versions = 1;
    for kill in 0..KILLS {
        // A megabyte that the store does not have yet.
        change(&disk, kill + 1, MIB + u64::from(kill % 6) * MIB, MIB);
        let succeeded = moments.kill(kill, Child::of(&shop, &capture));
        let listed = check_library(&library).await;
        // A version may be listed whose command was killed before it could say so.
        let expected = if succeeded { versions + 1..=versions + 1 } else { versions..=versions + 1 };
        assert!(expected.contains(&listed), "kill {kill}: {listed} versions after {versions}");
        if listed > versions {
            check_restored(&shop, &disk, &format!("disk@{listed}")).await;
        }
        versions = listed;
    }
    moments.check();
    assert!(shop.image(&capture).await);
    assert_eq!(check_library(&library).await, versions + 1);
    check_restored(&shop, &disk, "disk").await;
    assert_eq!(fs::read_dir(shop.path("library/store/incoming")).expect("a folder").count(), 0);
}

/// The version is what the disk is.
async fn check_restored(shop: &Shop, disk: &str, reference: &str) {
    let restored = shop.path("restored");
    assert!(shop.image(&["restore", reference, &restored]).await, "{reference}");
    let compared = content::compare(Path::new(disk), Path::new(&restored), SectorSize::B512);
    assert!(compared.expect(reference) > 6 * MIB, "{reference}");
    fs::remove_file(&restored).expect("it was made");
}

/// Whether firmware or a system would take it for a disk with something on it.
fn looks_bootable(disk: &str) -> bool {
    let mut sector = [0; 512];
    let read = File::open(disk).expect("the disk").read_exact_at(&mut sector, 0);
    let dumped = Command::new("sfdisk").args(["--dump", disk]).output().expect("sfdisk is needed");
    read.is_ok() && (sector[510..] == [0x55, 0xAA] || dumped.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_leaves_no_disk_to_start_from_and_then_completes() {
    let shop = Shop::new();
    let disk = small_disk(&shop, "disk", 0);
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let old = fs::read(small_disk(&shop, "old", 1)).expect("another disk");
    let new = fs::read(&disk).expect("the disk");
    let target = shop.path("target");
    fs::write(&target, &old).expect("a target");
    let restore = ["restore", "disk", &*target];
    let mut moments = Moments::of(|| assert!(Child::of(&shop, &restore).run().status.success()));
    assert!(looks_bootable(&target) && looks_bootable(&disk));
    let mut halves = 0;
    for kill in 0..KILLS {
        // Onto a disk with another system, onto nothing, onto most of what it is to be.
        match kill % 3 {
            0 => fs::write(&target, &old).expect("a target"),
            1 => fs::remove_file(&target).expect("it was there"),
            _ => change(&target, kill, 3 * MIB, MIB),
        }
        let before = fs::read(&target).ok();
        let succeeded = moments.kill(kill, Child::of(&shop, &restore));
        let after = fs::read(&target).ok();
        let is_whole = after.as_ref() == Some(&new);
        assert!(is_whole || !succeeded, "kill {kill}");
        if !is_whole && after != before {
            halves += 1;
            assert!(!looks_bootable(&target), "kill {kill}");
        }
        assert!(shop.image(&restore).await, "kill {kill}: the same again");
        let compared = content::compare(Path::new(&disk), Path::new(&target), SectorSize::B512);
        assert!(compared.expect("the same") > 6 * MIB, "kill {kill}");
    }
    moments.check();
    assert!(halves > KILLS / 10, "only {halves} kills left half a disk");
    assert_eq!(check_library(&shop.path("library")).await, 1);
}
