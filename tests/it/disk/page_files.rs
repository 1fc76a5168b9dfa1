//! The files in which Windows keeps memory, on volumes that ntfs-3g filled.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use mimeo_core::{disk::filesystem::FileSystem, units::Extent};

use super::{
    image::{Image, age, hashes, run, run_any},
    ntfs::mkntfs,
    oracle,
};

const MIB: u64 = 1 << 20;

/// Marks a file as Windows does: hidden, system, archive, and whatever `more` says.
fn mark(path: &Path, more: u32) {
    let value = format!("{:#010x}", 0x26 | more);
    run("setfattr", &["-h", "-n", "system.ntfs_attrib_be", "-v", &value, path.to_str().expect("UTF-8")]);
}

/// Writes a page file into holes of a cluster each, so that it has as many pieces.
fn write_in_pieces(root: &Path, path: &Path, pieces: usize) {
    let filler = |number: usize| root.join(format!("filler{number:05}"));
    for number in 0..2 * pieces {
        fs::write(filler(number), [6; 4000]).expect("a filler");
    }
    let mut rest = File::create(root.join("rest")).expect("a file");
    while std::io::Write::write_all(&mut rest, &[5; 64 << 10]).is_ok() {}
    for number in (0..2 * pieces).step_by(2) {
        fs::remove_file(filler(number)).expect("deleting");
    }
    // Some of the holes go to the file's record and to the lists of its pieces.
    fs::write(path, vec![0xE7; pieces * 9 / 10 * 4096]).expect("a file in pieces");
    fs::remove_file(root.join("rest")).expect("deleting");
}

/// Pieces of a file, as ntfsinfo lists them.
fn pieces(image: &Image, name: &str) -> usize {
    let info = run("ntfsinfo", &["-f", "-v", "-F", &format!("/{name}"), image.str()]);
    let data = info.split("Dumping attribute $DATA (0x80)").skip(1);
    data.filter_map(|part| part.split("Runlist:").nth(1))
        .map(|runs| runs.lines().skip(1).take_while(|line| line.trim_start().starts_with("0x")).count())
        .sum()
}

/// The volume comes back with zeros in the files `named`, which are the only ones that are not carried, and with every
/// other file as it was.
fn check(image: &Image, named: &[&str]) {
    let map = image.map(FileSystem::Ntfs);
    let missing = oracle::uncovered(&map, &oracle::partclone("partclone.ntfs", image));
    assert_eq!(merged(missing), map.zeroed, "what partclone carries and we do not");
    let restored = image.restored(&map);
    let (code, text) = run_any("ntfsfix", &["-n", restored.str()]);
    assert_eq!(code, Some(0), "ntfsfix\n{text}");
    assert_eq!(restored.map(FileSystem::Ntfs), map);

    let before = hashes(&image.mount_ntfs("ro,streams_interface=none").at);
    let after = hashes(&restored.mount_ntfs("ro,streams_interface=none").at);
    assert!(before.keys().eq(after.keys()), "files come and go");
    let mut zeroed_bytes = 0;
    for (path, (length, hash)) in before {
        let is_named = named.iter().any(|name| path == Path::new(name));
        if is_named {
            zeroed_bytes += length.next_multiple_of(4096);
        }
        let zeros = || blake3::hash(&vec![0; length as usize]);
        let expected = if is_named { zeros() } else { hash };
        assert_eq!(after[&path], (length, expected), "{}", path.display());
    }
    assert_eq!(map.zeroed.iter().map(|extent| extent.length_bytes).sum::<u64>(), zeroed_bytes);
}

fn merged(extents: Vec<Extent>) -> Vec<Extent> {
    let mut merged: Vec<Extent> = Vec::new();
    for extent in extents {
        match merged.last_mut() {
            Some(last) if last.end_bytes() == extent.start_bytes => last.length_bytes += extent.length_bytes,
            _ => merged.push(extent),
        }
    }
    merged
}

#[test]
fn page_files_and_the_hibernation_file_come_back_as_zeros() {
    let image = mkntfs(256, 4096);
    {
        let mounted = image.mount_ntfs("big_writes,streams_interface=windows");
        let at = |name: &str| mounted.at.join(name);
        age(&mounted.at, 20 * MIB, 4);
        fs::write(at("pagefile.sys"), vec![0xE1; 20_000_123]).expect("a page file");
        fs::write(at("SwapFile.sys"), vec![0xE2; 4 << 20]).expect("a page file");
        fs::write(at("hiberfil.sys"), [b"wake".repeat(1024), vec![0xE3; 9 << 20]].concat()).expect("a file");
        fs::write(at("pagefile.sys:stream"), vec![0xE4; 300_000]).expect("a named stream");
        fs::create_dir_all(at("d1")).expect("a directory");
        fs::write(at("d1/pagefile.sys"), vec![0xE5; 5_000_000]).expect("a file of somebody");
        mark(&at("d1/pagefile.sys"), 0);
        for name in ["pagefile.sys", "SwapFile.sys", "hiberfil.sys"] {
            mark(&at(name), 0);
        }
    }
    check(&image, &["pagefile.sys", "SwapFile.sys", "hiberfil.sys"]);
    let restored = image.restored(&image.map(FileSystem::Ntfs));
    let mounted = restored.mount_ntfs("ro,streams_interface=windows");
    assert_eq!(fs::read(mounted.at.join("pagefile.sys:stream")).expect("the stream"), vec![0xE4; 300_000]);
}

#[test]
fn a_page_file_in_pieces() {
    let image = mkntfs(64, 4096);
    {
        let mounted = image.mount_ntfs("");
        write_in_pieces(&mounted.at, &mounted.at.join("pagefile.sys"), 40);
        mark(&mounted.at.join("pagefile.sys"), 0);
    }
    let pieces = pieces(&image, "pagefile.sys");
    assert!(pieces > 30, "{pieces} pieces prove little");
    check(&image, &["pagefile.sys"]);
}

#[test]
fn a_page_file_in_so_many_pieces_that_it_needs_an_attribute_list() {
    let image = mkntfs(128, 4096);
    {
        let mounted = image.mount_ntfs("");
        write_in_pieces(&mounted.at, &mounted.at.join("pagefile.sys"), 3000);
        mark(&mounted.at.join("pagefile.sys"), 0);
    }
    let info = run("ntfsinfo", &["-f", "-v", "-F", "/pagefile.sys", image.str()]);
    assert!(info.contains("$ATTRIBUTE_LIST (0x20)"), "{info}");
    check(&image, &["pagefile.sys"]);
}

#[test]
fn in_doubt_a_page_file_is_carried() {
    let doubtful = |make: &dyn Fn(&Path, &Path)| {
        let image = mkntfs(64, 4096);
        {
            let mounted = image.mount_ntfs("compression");
            make(&mounted.at, &mounted.at.join("pagefile.sys"));
        }
        check(&image, &[]);
    };
    let content = vec![0xE7; 1 << 20];
    doubtful(&|_, path| fs::write(path, &content).expect("a file that is not marked"));
    doubtful(&|_, path| {
        fs::write(path, [1; 100]).expect("a short file");
        mark(path, 0);
    });
    doubtful(&|root, path| {
        fs::write(path, &content).expect("a file");
        mark(path, 0);
        fs::hard_link(path, root.join("other")).expect("a second name");
    });
    doubtful(&|root, path| {
        for path in [path, &root.join("PAGEFILE.sys")] {
            fs::write(path, &content).expect("a file of either name");
            mark(path, 0);
        }
    });
    doubtful(&|_, path| {
        let sparse = File::create(path).expect("a file");
        for block in 0..3 {
            sparse.write_all_at(&content[..100_000], block * 600_000).expect("writing behind a hole");
        }
        mark(path, 0);
    });
    doubtful(&|root, path| {
        let directory = root.join("compressed");
        fs::create_dir(&directory).expect("a directory");
        run(
            "setfattr",
            &["-n", "system.ntfs_attrib_be", "-v", "0x00000800", directory.to_str().expect("UTF-8")],
        );
        let text: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 9).to_le_bytes()).collect();
        fs::write(directory.join("pagefile.sys"), text).expect("a file");
        mark(&directory.join("pagefile.sys"), 0x800);
        fs::rename(directory.join("pagefile.sys"), path).expect("moving it to the root");
    });
}
