//! Volumes and disks made by real programs, as seeds.

use std::{path::Path, process::Command};

use mimeo_core::disk::{
    filesystem::{self, FileSystem},
    used_blocks,
};
use tempfile::TempDir;

use crate::sparse::SparseDisk;

const MIB: u64 = 1 << 20;

/// One of each way in which ext accounts for blocks, in the smallest groups.
pub(super) fn ext() -> Vec<Vec<u8>> {
    let kinds: [&[&str]; 5] = [
        &["ext4", "-g", "1024"],
        &["ext4", "-g", "1024", "-O", "^metadata_csum,^uninit_bg"],
        &["ext4", "-g", "1024", "-O", "^metadata_csum,uninit_bg,64bit"],
        &["ext4", "-g", "512", "-O", "meta_bg,^resize_inode,^metadata_csum,^uninit_bg"],
        &["ext4", "-C", "8192", "-O", "bigalloc,^metadata_csum,^uninit_bg"],
    ];
    let make = |kind: &[&str]| {
        let image = Image::of_bytes(4 * MIB);
        image.run("mke2fs", &[&["-q", "-F", "-b", "1024", "-N", "64", "-t"], kind].concat());
        image.volume(FileSystem::Ext)
    };
    kinds.map(make).into()
}

/// An ext4 of 4 MiB.
pub(super) fn small_ext4() -> Vec<u8> {
    let image = Image::of_bytes(4 * MIB);
    image.run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "64", "-g", "1024"]);
    image.bytes()
}

/// The smallest that mkfs makes, one for each checksum, with files: nodes of 4 KiB, data and metadata in the same
/// chunks.
pub(super) fn btrfs() -> Vec<Vec<u8>> {
    let make = |files: u8, arguments: &[&str]| {
        let image = Image::of_bytes(16 * MIB);
        let content = image.folder.path().join("content");
        std::fs::create_dir(&content).expect("a folder");
        for number in 0..files {
            std::fs::write(content.join(format!("{number:090}")), [number; 9000]).expect("a file");
        }
        let content = content.to_str().expect("UTF-8");
        image.run("mkfs.btrfs", &[&["-q", "-M", "--rootdir", content], arguments].concat());
        image.volume(FileSystem::Btrfs)
    };
    let old = ["-O", "^skinny-metadata,^no-holes", "-R", "^free-space-tree"];
    let sha256 = ["--csum", "sha256"];
    // Of many files, the extent tree has more than one leaf.
    vec![make(200, &[]), make(20, &[]), make(20, &old), make(20, &["--csum", "xxhash"]), make(20, &sha256)]
}

/// FAT12, FAT16 and FAT32, each with a file.
pub(super) fn fat() -> Vec<Vec<u8>> {
    let make = |(kind, sectors)| {
        let image = Image::of_bytes(8 * MIB);
        image.run("mkfs.fat", &["-F", kind, "-s", sectors]);
        image.volume(FileSystem::Fat32)
    };
    [("12", "8"), ("16", "1"), ("32", "1")].map(make).into()
}

/// The smallest clusters, whose bitmap is a chain of several, and larger ones.
pub(super) fn exfat() -> Vec<Vec<u8>> {
    let make = |cluster: &str| {
        let image = Image::of_bytes(8 * MIB);
        image.run("mkfs.exfat", &["-c", cluster, "-b", "64K"]);
        image.volume(FileSystem::ExFat)
    };
    ["512", "4K"].map(make).into()
}

/// With bitmaps of ordinary and of large size.
pub(super) fn f2fs() -> Vec<Vec<u8>> {
    let make = |arguments: &[&str]| {
        let image = Image::of_bytes(60 * MIB);
        image.run("mkfs.f2fs", &[&["-q", "-f", "-t", "0"], arguments].concat());
        image.volume(FileSystem::F2fs)
    };
    vec![make(&[]), make(&["-i"])]
}

/// An empty volume, and one whose root has an index of its own, a hibernation file and a page file.
pub(super) fn ntfs() -> Vec<Vec<u8>> {
    let make = |files: usize| {
        let image = Image::of_bytes(4 * MIB);
        image.run("mkntfs", &["-F", "-Q", "-q", "-c", "1024"]);
        let content = image.folder.path().join("content");
        std::fs::write(&content, [0; 5000]).expect("a file");
        let names = (2..files).map(|number| format!("{number:090}"));
        let names = names.chain(["hiberfil.sys".into(), "pagefile.sys".into()]);
        for name in names.take(files) {
            // ntfscp writes into the volume without mounting it.
            let copied = Command::new("ntfscp").arg("-q").arg(image.path()).arg(&content).arg(name).output();
            assert!(copied.expect("ntfscp is needed (apt install ntfs-3g)").status.success());
        }
        mark_page_files(&image);
        image.volume(FileSystem::Ntfs)
    };
    [0, 12].map(make).into()
}

/// Versions 4 and 5, in the smallest groups that can be made: fresh, and with enough holes for trees of two levels.
pub(super) fn xfs() -> Vec<Vec<u8>> {
    // Such small ones mkfs.xfs makes only for the tests of its authors.
    const MKFS: [&str; 5] = ["TEST_DIR=1", "TEST_DEV=1", "QA_CHECK_FS=1", "mkfs.xfs", "-q"];
    const FILES: usize = 200;
    let make = |(megabytes, options): (u64, &[&str])| {
        let image = Image::of_bytes(megabytes * MIB);
        image.run("env", &[&MKFS, options].concat());
        image.volume(FileSystem::Xfs)
    };
    let with_holes = |options: &[&str]| {
        let image = Image::of_bytes(32 * MIB);
        let (content, list) = (image.folder.path().join("content"), image.folder.path().join("list"));
        std::fs::write(&content, [7; 700]).expect("a file");
        let file = |number| format!("f{number} ---644 0 0 {}\n", content.display());
        let files: String = (0..FILES).map(file).collect();
        std::fs::write(&list, format!("/dev/null\n0 0\nd--755 0 0\n{files}$\n")).expect("a list");
        let list = list.to_str().expect("UTF-8");
        image.run("env", &[&MKFS, options, &["-p", list]].concat());
        let empty = |number| [format!("-cpath /f{number}"), "-cwrite core.mode 0".into()];
        let commands: Vec<String> = (0..FILES).step_by(2).flat_map(empty).collect();
        image
            .run("xfs_db", &[&["-x"], &commands.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
        // What lost its inode is freed, and the trees are built anew.
        image.run("xfs_repair", &[]);
        image.volume(FileSystem::Xfs)
    };
    vec![
        make((16, &["-m", "crc=0", "-l", "version=1,lazy-count=0"])),
        make((32, &["-b", "size=1k", "-m", "rmapbt=1"])),
        with_holes(&["-m", "crc=0", "-b", "size=512"]),
        with_holes(&["-b", "size=1k"]),
    ]
}

/// Marks page files hidden and system, as Windows does: in the value of their records' first attribute.
fn mark_page_files(image: &Image) {
    let name: Vec<u8> = "pagefile.sys".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = image.bytes();
    for record in bytes.chunks_exact_mut(1024).filter(|record| record.starts_with(b"FILE")) {
        if record.windows(name.len()).any(|window| window == name) {
            record[0x70] |= 0x06;
        }
    }
    std::fs::write(image.path(), bytes).expect("the image");
}

/// A GUID partition table of two partitions.
pub(super) fn gpt() -> Vec<u8> {
    let image = Image::of_bytes(4 * MIB);
    image.run("sgdisk", &["-n", "1:2048:+512K", "-c", "1:root", "-n", "2:0:+512K"]);
    image.bytes()
}

/// A master boot record of one primary and two logical partitions.
pub(super) fn mbr() -> Vec<u8> {
    let image = Image::of_bytes(8 * MIB);
    let script = image.folder.path().join("script");
    let text =
        "label: dos\nstart=2048,size=1024\nstart=4096,type=5\nstart=4200,size=512\nstart=8292,size=512\n";
    std::fs::write(&script, text).expect("a script");
    let script = std::fs::File::open(&script).expect("the script");
    let made = Command::new("sfdisk").arg("-q").arg(image.path()).stdin(script).output();
    assert!(made.expect("sfdisk is needed (apt install fdisk)").status.success());
    image.bytes()
}

/// A file that a program makes into a volume or a disk.
struct Image {
    folder: TempDir,
}

impl Image {
    fn of_bytes(bytes: u64) -> Self {
        let image = Self { folder: tempfile::tempdir().expect("a folder for an image") };
        std::fs::File::create(image.path()).and_then(|file| file.set_len(bytes)).expect("an image");
        image
    }

    fn path(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "image")
    }

    /// Runs a program that takes the image as its last argument.
    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).arg(self.path()).env("LC_ALL", "C").output();
        let output = output.unwrap_or_else(|error| panic!("{program} is needed (make packages): {error}"));
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the image")
    }

    /// What the parser of `filesystem` reads of the volume.
    fn volume(&self, filesystem: FileSystem) -> Vec<u8> {
        SparseDisk::emit(&self.bytes(), |volume| {
            filesystem::detect(volume).expect("memory does not fail");
            // A hibernated volume has no map, and is a seed all the same.
            let _map = used_blocks::map(filesystem, volume);
        })
    }
}
