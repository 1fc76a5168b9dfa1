//! `mimeo image export`: what comes out is what a restore would make, and what is cut off leaves nothing.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use mimeo_core::{
    disk::{ReadAt, layout},
    units::{Extent, SectorSize},
};
use mimeo_lab::{content, small_disk::SmallDisk};

use super::{Child, Shop, flip_a_byte_of_a_pack, run};

const B512: SectorSize = SectorSize::B512;

/// Fails where two files differ in any byte or in length.
fn assert_same_bytes(one: &str, other: &str) {
    run("cmp", &[one, other]);
}

/// What a file takes on its disk.
fn taken_bytes(path: &str) -> u64 {
    fs::metadata(path).expect("it is there").blocks() * 512
}

/// A disk with a master boot record, a logical partition in an extended one, boot code, and an end inside a cluster of
/// qcow2.
fn mbr_disk(shop: &Shop) -> String {
    let (volume, disk) = (shop.path("volume"), shop.path("mbr disk"));
    let script = "label: dos\nstart=2048, size=98304, type=83, bootable\nstart=100352, type=5\nstart=102400, type=83\n";
    run(
        "sh",
        &[
            "-c",
            &format!("truncate -s {} '{disk}' && printf '{script}' | sfdisk -q '{disk}'", (64 << 20) + 512),
        ],
    );
    run("sh", &["-c", &format!("head -c 400 /dev/urandom | dd of='{disk}' conv=notrunc status=none")]);
    run("dd", &[&format!("if={volume}"), &format!("of={disk}"), "bs=1M", "seek=1", "conv=notrunc,sparse"]);
    run(
        "sh",
        &[
            "-c",
            &format!(
                "head -c 3000000 /dev/urandom | dd of='{disk}' bs=512 seek=102400 conv=notrunc status=none"
            ),
        ],
    );
    disk
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_what_a_restore_makes_in_every_form() {
    let shop = Shop::new();
    let gpt = shop.disk();
    let sources = [("gpt", gpt), ("mbr", mbr_disk(&shop)), ("volume", shop.path("volume"))];
    for (name, source) in &sources {
        assert!(shop.image(&["capture", source, "--name", name]).await);
        let [restored, raw, qcow2, back] =
            ["restored", "raw", "qcow2", "back"].map(|form| shop.path(&format!("{name}.{form}")));
        assert!(shop.image(&["restore", name, &restored]).await);
        assert!(shop.image(&["export", name, &raw]).await);
        assert!(shop.image(&["export", name, &qcow2, "--format", "qcow2"]).await);
        assert_same_bytes(&restored, &raw);
        let compared = content::compare(Path::new(source), Path::new(&raw), B512);
        assert!(compared.expect(name) > 1 << 20, "{name}: too little to prove anything");
        let whole = fs::metadata(source).expect("it is there").len();
        assert!(taken_bytes(&raw) < whole / 2, "{name}: {} of {whole} bytes are no holes", taken_bytes(&raw));
        assert!(taken_bytes(&qcow2) < taken_bytes(&raw) + (1 << 20), "{name}: {}", taken_bytes(&qcow2));

        run("qemu-img", &["check", "-q", "-f", "qcow2", &qcow2]);
        run("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &qcow2, &raw]);
        run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", &qcow2, &back]);
        assert_same_bytes(&back, &raw);

        for (format, file) in [("raw", &raw), ("qcow2", &qcow2)] {
            let piped = shop.path(&format!("{name}.piped.{format}"));
            let arguments = ["export", name, "-", "--format", format];
            let output = Child::of(&shop, &arguments).stdout_to(&piped).run();
            assert!(output.status.success(), "{output:?}");
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("content_bytes"),
                "the answer goes beside"
            );
            assert_same_bytes(&piped, file);
        }
    }
    run("sgdisk", &["--verify", &shop.path("gpt.raw")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_comes_out_alone() {
    let shop = Shop::new();
    shop.disk();
    let disk = mbr_disk(&shop);
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let whole = File::open(&disk).expect("the disk");
    let partitions = layout::read(&whole, B512).expect("a table").table.partitions;
    assert_eq!(partitions.iter().map(|partition| partition.number).collect::<Vec<_>>(), [1, 5]);
    for partition in partitions {
        let number = partition.number.to_string();
        let [raw, qcow2] = ["raw", "qcow2"].map(|form| shop.path(&format!("{number}.{form}")));
        for (file, format) in [(&raw, "raw"), (&qcow2, "qcow2")] {
            assert!(
                shop.image(&["export", "disk@1", file, "--partition", &number, "--format", format]).await
            );
        }
        run("qemu-img", &["check", "-q", "-f", "qcow2", &qcow2]);
        run("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &qcow2, &raw]);
        let Extent { start_bytes, length_bytes } = partition.place;
        assert_eq!(fs::metadata(&raw).expect("it is there").len(), length_bytes);
        if number == "5" {
            // Of unknown content, so every byte of it counts.
            let mut bytes = vec![0; length_bytes as usize];
            whole.read_exact_at(&mut bytes, start_bytes).expect("the partition");
            assert!(fs::read(&raw).expect("the image") == bytes, "partition 5 differs");
        } else {
            content::compare(Path::new(&shop.path("volume")), Path::new(&raw), B512).expect("partition 1");
            run("e2fsck", &["-fn", &raw]);
        }
    }
    let names_in_folder = || fs::read_dir(shop.folder.path()).expect("it is there").count();
    let before = names_in_folder();
    assert!(!shop.image(&["export", "disk", &shop.path("none"), "--partition", "2"]).await);
    assert_eq!(names_in_folder(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_there_is_written_over_and_no_device_written_to() {
    let shop = Shop::new();
    let disk = shop.disk();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let taken = shop.path("taken");
    fs::write(&taken, "mine").expect("a file");
    let inside = shop.path("library/store/disk.img");
    let nowhere = shop.path("no folder/disk.img");
    for file in [&taken, &inside, &nowhere, "/dev/null", "/dev/stdout"] {
        assert!(!shop.image(&["export", "disk", file]).await, "{file}");
    }
    assert_eq!(fs::read(&taken).expect("it is there"), b"mine");
    assert!(!Path::new(&inside).exists() && !shop.image(&["export", "other", &shop.path("new")]).await);
    assert!(!Path::new(&shop.path("new")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_ends_an_export_with_its_name_and_no_file_stays() {
    let shop = Shop::new();
    let disk = shop.disk();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    flip_a_byte_of_a_pack(Path::new(&shop.path("library")));
    let verified = Child::of(&shop, &["verify", "disk"]).run();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    let chunk = said.split("chunk ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it is named");
    for format in ["raw", "qcow2"] {
        let file = shop.path("image");
        let output = Child::of(&shop, &["export", "disk", &file, "--format", format]).run();
        assert!(!output.status.success());
        let sentence = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(sentence.contains(chunk), "{chunk} is not named in {sentence}");
        assert!(!Path::new(&file).exists() && !Path::new(&format!("{file}.partial")).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_an_export_and_no_file_stays() {
    let shop = Shop::new();
    let disk = shop.disk();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let small = SmallDisk::mount(1 << 20).expect("a small disk");
    for format in ["raw", "qcow2"] {
        let file = small.folder().join("image").to_str().expect("UTF-8").to_owned();
        assert!(!shop.image(&["export", "disk", &file, "--format", format]).await, "{format}");
        assert_eq!(fs::read_dir(small.folder()).expect("it is there").count(), 0, "{format}");
    }
}

/// How often an export is killed, each time a little later.
const KILLS: u32 = 24;
const LATER: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_killed_leaves_no_file_that_looks_whole_and_can_be_repeated() {
    let shop = Shop::new();
    let disk = shop.noise();
    assert!(shop.image(&["capture", &disk, "--name", "disk"]).await);
    let (whole, file) = (shop.path("whole"), shop.path("image"));
    assert!(shop.image(&["export", "disk", &whole]).await);
    let partial = format!("{file}.partial");
    let mut met = 0;
    for kill in 0..KILLS {
        let mut child = Child::of(&shop, &["export", "disk", &file]).start();
        std::thread::sleep(LATER * kill);
        child.kill().expect("it is killed, or over");
        child.wait().expect("it ended");
        met += u32::from(Path::new(&partial).exists());
        if Path::new(&file).exists() {
            assert_same_bytes(&file, &whole);
            fs::remove_file(&file).expect("it is there");
        }
    }
    assert!(met > 0, "no kill met an export at work");
    assert!(shop.image(&["export", "disk", &file]).await);
    assert_same_bytes(&file, &whole);
    assert!(!Path::new(&partial).exists());
}
