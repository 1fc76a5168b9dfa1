//! The engine's speed beside partclone's. Not a test: `cargo test -p mimeo-tests --test it engine::bench -- --ignored
//! --nocapture`.

use std::{fs, time::Instant};

use mimeo_core::units::{MIB, SectorSize};

use super::{
    lab::{LoopDisk, capture, create, deploy, folder, run, succeeded, text},
    memory_server::MemoryServer,
};

const FILESYSTEM_BYTES: u64 = 4096 * MIB;

#[test]
#[ignore = "takes minutes and measures instead of checking"]
fn capture_and_deploy_of_a_full_ext4_beside_partclone() {
    let folder = folder();
    let (image, disk_image) = (folder.path().join("fs.img"), folder.path().join("disk.img"));
    create(&image, FILESYSTEM_BYTES);
    // /usr of this machine, up to what fits: real files of all sizes.
    run("mkfs.ext4", &["-q", "-F", "-d", "/usr/lib", &text(&image)]);
    let disk = create(&disk_image, FILESYSTEM_BYTES + 2 * MIB);
    run("sgdisk", &["-n1:2048:+4096M", &text(&disk_image)]);
    run(
        "dd",
        &[
            &format!("if={}", text(&image)),
            &format!("of={}", text(&disk_image)),
            "bs=1M",
            "seek=1",
            "conv=notrunc,sparse",
        ],
    );
    drop(disk);
    let source = LoopDisk::attach(&disk_image, SectorSize::B512);
    let server = MemoryServer::new();
    let mut used_bytes = 0;
    for _ in 0..2 {
        let fresh = MemoryServer::new();
        let begun = Instant::now();
        let outcome = capture(&fresh, &source);
        let seconds = begun.elapsed().as_secs_f64();
        succeeded(&outcome);
        used_bytes = outcome.progress.read_bytes;
        report("engine.capture.ext4", used_bytes, seconds);
    }
    succeeded(&capture(&server, &source));
    let target = LoopDisk::blank(&folder.path().join("target"), FILESYSTEM_BYTES + 2 * MIB, SectorSize::B512);
    let begun = Instant::now();
    let outcome = deploy(&server, &target);
    report("engine.deploy.ext4", outcome.progress.written_bytes, begun.elapsed().as_secs_f64());
    succeeded(&outcome);
    let begun = Instant::now();
    succeeded(&deploy(&server, &target));
    report("engine.redeploy.ext4", used_bytes, begun.elapsed().as_secs_f64());
    drop(target);
    fs::remove_file(folder.path().join("target")).unwrap();

    let filesystem = LoopDisk::attach(&image, SectorSize::B512);
    let packed = folder.path().join("partclone.zst");
    let begun = Instant::now();
    let shell = |script: &str| run("bash", &["-o", "pipefail", "-c", script]);
    shell(&format!(
        "partclone.ext4 -c -s {} -o - 2>/dev/null | zstd -q -1 -T0 > {}",
        filesystem.device(),
        text(&packed)
    ));
    report("partclone.capture.ext4", used_bytes, begun.elapsed().as_secs_f64());
    let target = LoopDisk::blank(&folder.path().join("target"), FILESYSTEM_BYTES, SectorSize::B512);
    let begun = Instant::now();
    shell(&format!(
        "zstd -q -d < {} | partclone.ext4 -r -s - -o {} 2>/dev/null; blockdev --flushbufs {}",
        text(&packed),
        target.device(),
        target.device()
    ));
    report("partclone.deploy.ext4", used_bytes, begun.elapsed().as_secs_f64());
}

#[expect(clippy::print_stdout, reason = "a measurement is its output")]
fn report(name: &str, bytes: u64, seconds: f64) {
    println!("{name}: {} MB in {seconds:.2} s: {:.0} MB/s", bytes / 1_000_000, bytes as f64 / 1e6 / seconds);
}
