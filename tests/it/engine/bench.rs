//! The engine's speed beside partclone's. Not a test: `cargo test -p mimeo-tests --test it engine::bench -- --ignored
//! --nocapture`.

#![expect(clippy::print_stdout, reason = "a measurement is its output")]

use std::{fs, path::Path, time::Instant};

use mimeo_core::units::{MIB, SectorSize};

use super::{
    lab::{LoopDisk, capture, create, deploy, folder, run, succeeded, text},
    memory_server::MemoryServer,
};

const FILESYSTEM_BYTES: u64 = 2048 * MIB;

/// What fills it: programs, libraries, documents and icons of this machine, files of all sizes.
const CONTENT: [&str; 2] = ["/usr/share", "/usr/lib/x86_64-linux-gnu"];

#[test]
#[ignore = "takes minutes and measures instead of checking"]
fn capture_and_deploy_of_a_full_ext4_beside_partclone() {
    let folder = folder();
    let (image, tree) = (folder.path().join("fs.img"), folder.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    for content in CONTENT {
        run("cp", &["-a", content, &text(&tree)]);
    }
    create(&image, FILESYSTEM_BYTES);
    run("mkfs.ext4", &["-q", "-F", "-d", &text(&tree), &text(&image)]);
    fs::remove_dir_all(&tree).unwrap();
    let (ours, used_bytes) = ours(&image, folder.path());
    let peer = partclone(&image, folder.path());
    let megabytes = used_bytes as f64 / 1e6;
    println!("used: {megabytes:.0} MB; seconds: ours {ours:.2?}, peer {peer:.2?}");
    for (name, ours, peer, command) in [
        ("engine.capture.ext4", ours[0], peer[0], "partclone.ext4 -c | zstd -1 -T0"),
        ("engine.deploy.ext4", ours[1], peer[1], "zstd -d | partclone.ext4 -r"),
    ] {
        let (ours, peer) = (megabytes / ours, megabytes / peer);
        let ratio = ours / peer;
        println!(
            "bench {name} ours={ours:.0} peer={peer:.0} ratio={ratio:.2} unit=MB/s peer_is=\"{command}\""
        );
    }
    println!(
        "bench engine.redeploy.ext4 ours={:.0} peer=- ratio=- unit=MB/s peer_is=\"-\"",
        megabytes / ours[2]
    );
}

/// Seconds of a capture, a deploy (read-back included, which the peer does not do) and a deploy of the same again.
fn ours(filesystem: &Path, folder: &Path) -> ([f64; 3], u64) {
    let disk = folder.join("disk.img");
    create(&disk, FILESYSTEM_BYTES + 2 * MIB);
    run("sgdisk", &["-n1:2048:+2048M", &text(&disk)]);
    let (from, to) = (format!("if={}", text(filesystem)), format!("of={}", text(&disk)));
    run("dd", &[&from, &to, "bs=1M", "seek=1", "conv=notrunc,sparse"]);
    let source = LoopDisk::attach(&disk, SectorSize::B512);
    let target = LoopDisk::blank(&folder.join("target"), FILESYSTEM_BYTES + 2 * MIB, SectorSize::B512);
    let server = MemoryServer::new();
    let mut used_bytes = 0;
    let captured = seconds(|| used_bytes = capture(&server, &source).progress.read_bytes);
    let deployed = seconds(|| succeeded(&deploy(&server, &target)));
    let again = seconds(|| succeeded(&deploy(&server, &target)));
    drop(target);
    fs::remove_file(folder.join("target")).unwrap();
    ([captured, deployed, again], used_bytes)
}

/// Seconds of a capture and of a deploy by the peer.
fn partclone(filesystem: &Path, folder: &Path) -> [f64; 2] {
    let packed = text(&folder.join("partclone.zst"));
    let source = LoopDisk::attach(filesystem, SectorSize::B512);
    let target = LoopDisk::blank(&folder.join("target"), FILESYSTEM_BYTES, SectorSize::B512);
    let shell = |script: String| run("bash", &["-o", "pipefail", "-c", &script]);
    let (from, to) = (source.device(), target.device());
    [
        format!("partclone.ext4 -c -s {from} -o - 2>/dev/null | zstd -q -1 -T0 > {packed}"),
        format!(
            "zstd -q -d < {packed} | partclone.ext4 -r -s - -o {to} 2>/dev/null && blockdev --flushbufs {to}"
        ),
    ]
    .map(|script| seconds(|| drop(shell(script))))
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}
