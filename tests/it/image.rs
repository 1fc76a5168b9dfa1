//! `mimeo image`: the engine on files of this machine, as a person calls it.

#[path = "image/carry.rs"]
mod carry;
#[path = "image/export.rs"]
mod export;
#[path = "image/killed.rs"]
mod killed;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::{self, Command, Output, Stdio},
};

use clap::Parser;
use mimeo_core::{
    manifest::warning::{Opaque, Warning},
    units::SectorSize,
};
use mimeo_lab::{content, failing_file::FailingFile};
use mimeo_server::{
    cli::{self, Cli},
    db,
    imaging::master,
};
use tempfile::TempDir;

/// Whether the command succeeded; exit status 0 is the only success.
async fn mimeo(arguments: &[&str]) -> bool {
    let Cli { options, command } = Cli::parse_from([&["mimeo", "--json"], arguments].concat());
    let code = cli::run(options, command).await;
    format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS)
}

/// What the child below is told by its environment: the command's arguments, one a line, and what its standard output
/// is to be.
const CHILD_ARGUMENTS: &str = "MIMEO_TEST_ARGUMENTS";
const CHILD_STDOUT: &str = "MIMEO_TEST_STDOUT";
/// Whether it says on a line of its own that the command begins now.
const CHILD_ANNOUNCES: &str = "MIMEO_TEST_ANNOUNCES";

/// A command in a process of its own, which can be killed, and of which can be seen what it says.
struct Child(Command);

impl Child {
    /// `mimeo image` on the library of a shop.
    fn of(shop: &Shop, arguments: &[&str]) -> Self {
        Self::command(&[&["image"], arguments, &["--store", &shop.path("library")]].concat())
    }

    fn command(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "image::the_child_that_is_a_command", "--ignored", "--nocapture"]);
        command.env(CHILD_ARGUMENTS, arguments.join("\n")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command)
    }

    fn stdout_to(mut self, file: &str) -> Self {
        self.0.env(CHILD_STDOUT, file);
        self
    }

    fn start(mut self) -> process::Child {
        self.0.spawn().expect("the child starts")
    }

    fn run(mut self) -> Output {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the child runs")
    }
}

/// Is `mimeo` with the arguments of its environment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by other tests"]
async fn the_child_that_is_a_command() {
    if let Some(path) = std::env::var_os(CHILD_STDOUT) {
        nix::unistd::dup2_stdout(File::create(path).expect("a file")).expect("it is the output");
    }
    let arguments = std::env::var(CHILD_ARGUMENTS).expect("started by a test");
    if std::env::var_os(CHILD_ANNOUNCES).is_some() {
        writeln!(io::stdout(), "\nbegins").expect("the test listens");
    }
    let succeeded = mimeo(&arguments.lines().collect::<Vec<_>>()).await;
    // What the harness would still say is not the command's.
    process::exit(i32::from(!succeeded));
}

struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    async fn image(&self, arguments: &[&str]) -> bool {
        let store = self.path("library");
        mimeo(&[&["image"], arguments, &["--store", &store]].concat()).await
    }

    /// A disk image with one ext4 in a GUID partition table.
    fn disk(&self) -> String {
        let (volume, disk) = (self.path("volume"), self.path("disk"));
        run(
            "sh",
            &["-c", &format!("truncate -s 48M {volume} && mkfs.ext4 -q -F -d /usr/share/perl5 {volume}")],
        );
        run("sh", &["-c", &format!("truncate -s 52M {disk} && sgdisk -n1:2048:+48M {disk}")]);
        run(
            "dd",
            &[&format!("if={volume}"), &format!("of={disk}"), "bs=1M", "seek=1", "conv=notrunc,sparse"],
        );
        disk
    }
}

impl Shop {
    /// A disk image of which 80 MB count and none compress, for what takes its time.
    fn noise(&self) -> String {
        let disk = self.path("noise");
        let fill = "head -c 80M /dev/urandom | dd of=$0 bs=1M seek=1 conv=notrunc";
        run("sh", &["-c", &format!("truncate -s 96M $0 && sgdisk -n1:2048:+80M $0 && {fill}"), &disk]);
        disk
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program is installed");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn flip_a_byte_of_a_pack(library: &Path) {
    let packs = library.join("store/packs");
    let pack = fs::read_dir(packs).expect("packs").next().expect("one").expect("readable").path();
    let file = File::options().read(true).write(true).open(pack).expect("a pack");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100_000).expect("a long pack");
    file.write_all_at(&[byte[0] ^ 0x40], 100_000).expect("writable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_into_a_library_and_comes_out_bit_equal() {
    let shop = Shop::new();
    let (disk, volume) = (shop.disk(), shop.path("volume"));
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    assert!(shop.image(&["capture", &volume, "--name", "volume"]).await);
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await, "a second version");
    for (reference, source) in [("disk@1", &disk), ("disk", &disk), ("volume", &volume)] {
        let target = shop.path(&format!("restored {reference}"));
        assert!(shop.image(&["restore", reference, &target]).await, "{reference}");
        let compared = content::compare(Path::new(source), Path::new(&target), SectorSize::B512);
        assert!(compared.expect(reference) > 1 << 20, "{reference}: too little to prove anything");
        assert_eq!(
            fs::metadata(&target).expect("it is there").len(),
            fs::metadata(source).expect("too").len()
        );
        assert!(shop.image(&["info", reference]).await && shop.image(&["verify", reference]).await);
    }
    assert!(shop.image(&["ls"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_is_listed_with_its_warning() {
    let shop = Shop::new();
    let (volume, key) = (shop.path("volume"), shop.path("key"));
    fs::write(&key, "a secret").expect("a key");
    run("truncate", &["-s", "20M", &volume]);
    let format = ["luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file"];
    run("cryptsetup", &[&format[..], &[&key, &volume]].concat());
    assert!(shop.image(&["capture", &volume, "--name", "secret"]).await);
    assert!(shop.image(&["capture", &shop.disk(), "--name", "disk"]).await);
    assert!(shop.image(&["info", "secret"]).await && shop.image(&["ls"]).await);
    let list = db::open(Path::new(&shop.path("library/mimeo.db"))).await.expect("the list");
    let listed = master::list_all_versions(&list).await.expect("versions");
    let warnings: Vec<_> = listed.into_iter().map(|listed| listed.version.warnings).collect();
    assert_eq!(warnings, [vec![Warning { what: Opaque::Luks, partition: 0, volume: None }], vec![]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_other_things_is_no_library_and_stays_as_it_is() {
    let shop = Shop::new();
    let disk = shop.disk();
    let folder = shop.path("library");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::write(shop.path("library/letter"), "dear").expect("a file");
    assert!(!shop.image(&["capture", &disk, "--name", "disk"]).await);
    assert_eq!(fs::metadata(&folder).expect("it is there").permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 1);

    fs::remove_file(shop.path("library/letter")).expect("it was there");
    assert!(!shop.image(&["capture", &shop.path("absent"), "--name", "disk"]).await);
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 0, "a mistyped source makes no library");
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await, "an empty folder becomes one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_mounted_is_neither_read_nor_written() {
    let shop = Shop::new();
    let (disk, volume) = (shop.disk(), shop.path("volume"));
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let at = shop.path("mounted");
    fs::create_dir(&at).expect("a folder");
    run("mount", &["-o", "loop", &volume, &at]);
    let (read, written) = (
        shop.image(&["capture", &volume, "--name", "volume"]).await,
        shop.image(&["restore", "disk", &volume]).await,
    );
    run("umount", &[&at]);
    assert!(!read && !written);
    assert!(shop.image(&["capture", &volume, "--name", "volume"]).await, "at rest it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_fails_and_leaves_nothing_behind() {
    let shop = Shop::new();
    assert!(!shop.image(&["ls"]).await, "there is no library yet");
    assert!(!Path::new(&shop.path("library")).exists(), "looking for one makes none");

    let disk = shop.disk();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    assert!(!shop.image(&["capture", &shop.path("absent"), "--name", "disk"]).await);
    assert!(!shop.image(&["capture", "/dev/null", "--name", "disk"]).await);
    let target = shop.path("target");
    for reference in ["disk@2", "other"] {
        assert!(!shop.image(&["restore", reference, &target]).await, "{reference}");
        assert!(!Path::new(&target).exists(), "{reference}");
    }

    let small = shop.path("small");
    fs::write(&small, vec![7; 4 << 20]).expect("a file");
    assert!(!shop.image(&["restore", "disk", &small]).await, "it does not fit");
    assert!(fs::read(&small).expect("the file").iter().all(|&byte| byte == 7), "and nothing was written");

    let pack = shop.path("library/mimeo.db");
    assert!(!shop.image(&["restore", "disk", &pack]).await, "the library is no target");
    assert!(shop.image(&["verify", "disk"]).await);

    flip_a_byte_of_a_pack(Path::new(&shop.path("library")));
    assert!(!shop.image(&["verify", "disk"]).await);
    assert!(!shop.image(&["restore", "disk", &target]).await);
    assert!(!Path::new(&target).exists(), "half a disk is of no use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_is_captured_only_by_who_says_so() {
    let shop = Shop::new();
    let disk = shop.disk();
    // The middle of the files that the volume holds.
    let image = fs::read(&disk).expect("the disk");
    let used = content::used_extents(&image.as_slice(), SectorSize::B512).expect("a sound disk");
    let longest = used.iter().max_by_key(|extent| extent.length_bytes).expect("something is used");
    let bad = (longest.start_bytes + longest.length_bytes / 2) / 512 * 512;
    let file = FailingFile::show(Path::new(&disk), &[bad]).expect("qemu-storage-daemon and FUSE");
    let failing = file.path().to_str().expect("UTF-8");
    assert!(!shop.image(&["capture", failing, "--name", "disk"]).await, "nothing is tolerated unasked");
    let tolerant = ["capture", failing, "--name", "disk", "--tolerate-bad-sectors", "1"];
    assert!(shop.image(&tolerant).await);
    assert!(shop.image(&["info", "disk"]).await);
    let target = shop.path("target");
    assert!(shop.image(&["restore", "disk", &target]).await);
    let restored = fs::read(&target).expect("the target");
    let bad = bad as usize;
    assert!(restored[bad..bad + 512].iter().all(|&byte| byte == 0));
    assert!(restored[bad - 4096..bad] == image[bad - 4096..bad], "its neighbours are there");
}
