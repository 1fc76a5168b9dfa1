//! A page file on its way from one disk to another.

use std::{fs, os::unix::fs::FileExt, path::Path, process::Command};

use mimeo_core::{
    chunk::ChunkSize,
    manifest::Run,
    units::{MIB, SectorSize},
};

use super::{
    extract,
    lab::{
        assert_equal_content, capture, create, deploy, folder, noise, ntfs, place, run, succeeded, text,
        used_extents,
    },
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
};

/// Marks a file hidden and system, as Windows marks its page file, in the file record that holds its name.
fn mark(volume: &Path, name: &str) {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = fs::read(volume).unwrap();
    let is_record = |record: &&mut [u8]| {
        record.starts_with(b"FILE") && record.windows(name.len()).any(|window| window == name)
    };
    let record = bytes.chunks_exact_mut(1024).find(is_record).expect("a file of this name");
    // The record's first attribute, `$STANDARD_INFORMATION`, starts at 0x38, and its value 0x18 further on.
    record[0x70] |= 0x06;
    fs::write(volume, bytes).unwrap();
}

#[test]
fn a_page_file_is_neither_read_nor_sent_and_is_zeros_on_a_target_that_held_something_else() {
    let folder = folder();
    let volume = ntfs(folder.path(), 48 * MIB);
    let pages = folder.path().join("pages");
    fs::write(&pages, noise(9, 12_000_000)).unwrap();
    run("ntfscp", &["-f", &text(&volume), &text(&pages), "pagefile.sys"]);
    mark(&volume, "pagefile.sys");
    let image = folder.path().join("source.img");
    let disk = create(&image, 64 * MIB);
    run("sgdisk", &["-n1:2048:+48M", "-t1:0700", &text(&image)]);
    disk.write_all_at(&noise(4, 440), 0).unwrap();
    place(&disk, MIB, &volume);
    let source = fs::read(&image).unwrap();
    let used = used_extents(&source.as_slice(), SectorSize::B512);

    let server = MemoryServer::new();
    let outcome = capture(&server, &MemoryDisk::new(source.clone()));
    succeeded(&outcome);
    let in_use: u64 = used.iter().map(|extent| extent.length_bytes).sum();
    assert!(in_use < 16 * MIB && outcome.progress.read_bytes < in_use + 2 * MIB, "{outcome:?}");
    let regions = server.manifest_of_version().regions;
    let zeros = regions.iter().flat_map(|region| &region.runs).map(|run| match run {
        Run::Zero(count) => u64::from(*count) * ChunkSize::DEFAULT.bytes(),
        _ => 0,
    });
    // The file's ends may share their chunks with others.
    assert!(zeros.sum::<u64>() >= 12_000_000 - 2 * ChunkSize::DEFAULT.bytes());

    let target = MemoryDisk::new(vec![0xA5; 64 << 20]);
    succeeded(&deploy(&server, &target));
    let bytes = target.content();
    assert_equal_content(&source, &bytes, &used);
    let deployed = extract(&bytes, MIB, 48 * MIB, folder.path());
    run("ntfsfix", &["-n", &deployed]);
    let read = Command::new("ntfscat").args(["-f", &deployed, "pagefile.sys"]).output().unwrap();
    assert!(read.stdout == vec![0; 12_000_000], "{} bytes of a page file", read.stdout.len());
}
