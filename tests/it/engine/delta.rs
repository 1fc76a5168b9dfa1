//! Deploys onto disks that hold some of the master already.

use std::sync::atomic::Ordering;

use mimeo_core::units::MIB;

use super::{
    B512,
    lab::{assert_equal_content, capture, deploy, folder, noise, succeeded, used_extents},
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
    small_source,
};

const CHUNK: u64 = 128 << 10;

/// A master, the disk that it was deployed to, and the same with every second chunk gone.
fn deployed() -> (MemoryServer, Vec<u8>, Vec<u8>, Vec<u8>) {
    let folder = folder();
    let source = small_source(folder.path());
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    let outcome = deploy(&server, &target);
    succeeded(&outcome);
    let progress = outcome.progress;
    assert!(progress.carried_bytes > 12 * MIB, "{progress:?}");
    assert_eq!(
        (progress.compared_bytes, progress.kept_bytes),
        (0, 0),
        "a disk that held nothing kept nothing"
    );
    let whole = target.content();
    let mut half = whole.clone();
    for (place, _) in server.manifest_of_version().data_chunks().step_by(2) {
        let gone = place.start_bytes as usize..place.end_bytes() as usize;
        half[gone.clone()].copy_from_slice(&noise(place.start_bytes, gone.len()));
    }
    (server, source, whole, half)
}

#[test]
fn a_solid_state_disk_keeps_whatever_it_holds_and_a_rotational_one_what_pays() {
    let (server, source, whole, half) = deployed();
    let used = used_extents(&source.as_slice(), B512);
    for (disk, rotates, kept_percent) in
        [(&whole, false, 95..=100), (&whole, true, 95..=100), (&half, false, 40..=70), (&half, true, 0..=0)]
    {
        let target = MemoryDisk::new(disk.clone());
        let target = if rotates { target.with_platters() } else { target };
        server.fetched_chunks.store(0, Ordering::SeqCst);
        let outcome = deploy(&server, &target);
        succeeded(&outcome);
        assert_equal_content(&source, &target.content(), &used);
        let progress = outcome.progress;
        let percent = progress.kept_bytes * 100 / progress.carried_bytes;
        assert!(kept_percent.contains(&percent), "rotates: {rotates}, {percent} %: {progress:?}");
        let compared = if percent == 0 { 0 } else { progress.carried_bytes };
        assert_eq!(progress.compared_bytes, compared, "rotates: {rotates}, {progress:?}");
        // What was not kept was written, and besides only the disk's ends and the table.
        let rest = progress.carried_bytes - progress.kept_bytes;
        assert!((rest..rest + 4 * MIB).contains(&progress.written_bytes), "{progress:?}");
        let fetched = server.fetched_chunks.load(Ordering::SeqCst);
        assert!(fetched * CHUNK <= rest + MIB, "{fetched} chunks were fetched for {rest} bytes");
    }
}
