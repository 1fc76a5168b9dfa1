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
