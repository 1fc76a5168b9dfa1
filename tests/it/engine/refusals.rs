//! What is refused before it costs anybody anything.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    sync::atomic::{AtomicU32, Ordering},
};

use mimeo_core::{
    disk::filesystem::FileSystem,
    failure::{FailureCause, UncleanReason},
    messages::Phase,
    units::{MIB, SectorSize},
};
use mimeo_engine::{
    Ending, Order,
    board::Board,
    disk::{
        device::{Access, BlockDevice, OpenDeviceError},
        probe::{DiskProbe, FoundDisk},
    },
    link::Patience,
};

use super::{
    B512,
    lab::{
        self, LoopDisk, capture, create, deploy, ext4, failure, folder, noise, place, run, succeeded, swap,
        text,
    },
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
    small_source,
};

#[test]
fn a_target_that_does_not_fit_is_refused_before_the_first_write() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let needed_bytes = server.manifest_of_version().target_min_bytes();

    let old_content = noise(9, 32 * MIB as usize);
    let target = |name: &str, size_bytes: u64, sector| {
        let image = folder.path().join(name);
        fs::write(&image, &old_content[..size_bytes as usize]).unwrap();
        LoopDisk::attach(&image, sector)
    };
    let small = target("small", needed_bytes - 512, B512);
    let coarse = target("coarse", 32 * MIB, SectorSize::B4096);
    let in_use = target("in-use", 32 * MIB, B512);
    let _other_program =
        OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(in_use.device()).unwrap();

    let actual_bytes = needed_bytes - 512;
    let too_small = FailureCause::DiskTooSmall { needed_bytes, actual_bytes };
    assert_eq!(failure(deploy(&server, &small)), (Phase::Prepare, too_small));
    let differs = FailureCause::SectorSizeDiffers { master: B512, target: SectorSize::B4096 };
    assert_eq!(failure(deploy(&server, &coarse)), (Phase::Prepare, differs));
    let busy = failure(deploy(&server, &in_use));
    assert!(matches!(busy, (Phase::Prepare, FailureCause::DiskBusy { .. })), "{busy:?}");
    for disk in [small, coarse, in_use] {
        let bytes = disk.bytes();
        assert!(bytes == old_content[..bytes.len()], "{} was written", disk.device());
    }

    let exact = MemoryDisk::new(vec![0; needed_bytes as usize]);
    succeeded(&deploy(&server, &exact));
}

#[test]
fn a_manifest_that_was_not_ordered_or_not_signed_costs_the_target_nothing() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let target = MemoryDisk::new(vec![7; 24 * MIB as usize]);
    let mut order = server.deploy_order(lab::the_pin(&target));
    let genuine = server.manifest_of_version();
    let mut other = genuine.clone();
    other.disk.size_bytes += 512;
    server.publish_as_is(&other);
    let patience = Patience::default();
    let run = |order: &_| {
        let order = Order::Deploy(order);
        match mimeo_engine::run(order, &server, &target, &Board::default(), patience) {
            Ending::Over(outcome) => failure(outcome),
            Ending::Stopped => panic!("stopped"),
        }
    };
    assert!(matches!(run(&order), (Phase::Prepare, FailureCause::ManifestRefused { .. })));
    server.publish_as_is(&genuine);
    order.manifest_key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    assert!(matches!(run(&order), (Phase::Prepare, FailureCause::ManifestRefused { .. })));
    assert_eq!(target.writes(), 0);
}

/// A source of one partition of 20 MiB.
fn source_with(image: &std::path::Path, folder: &std::path::Path) -> MemoryDisk {
    let whole = folder.join("source.img");
    let disk = create(&whole, 24 * MIB);
    run("sgdisk", &["-n1:2048:+20M", &text(&whole)]);
    place(&disk, MIB, image);
    MemoryDisk::new(fs::read(&whole).unwrap())
}

#[test]
fn a_file_system_whose_journal_is_elsewhere_is_refused_with_that_cause() {
    let folder = folder();
    let image = ext4(folder.path(), 20 * MIB, 4_000_000);
    run("debugfs", &["-w", "-R", "set_super_value journal_inum 0", &text(&image)]);
    let refused = failure(capture(&MemoryServer::new(), &source_with(&image, folder.path())));
    let cause =
        FailureCause::SourceJournalElsewhere { partition: 1, filesystem: FileSystem::Ext, volume: None };
    assert_eq!(refused, (Phase::Prepare, cause));
}

#[test]
fn an_xfs_whose_files_are_elsewhere_is_refused_with_that_cause() {
    let folder = folder();
    let (image, device) = (folder.path().join("xfs.img"), folder.path().join("realtime.img"));
    create(&image, 20 * MIB);
    create(&device, 32 * MIB);
    // Such a small one mkfs.xfs makes only for the tests of its authors.
    let mkfs = ["TEST_DIR=1", "TEST_DEV=1", "QA_CHECK_FS=1", "mkfs.xfs", "-q", "-r"];
    run("env", &[&mkfs[..], &[&format!("rtdev={}", text(&device)), &text(&image)]].concat());
    let refused = failure(capture(&MemoryServer::new(), &source_with(&image, folder.path())));
    let cause =
        FailureCause::SourceFilesElsewhere { partition: 1, filesystem: FileSystem::Xfs, volume: None };
    assert_eq!(refused, (Phase::Prepare, cause));
}

#[test]
fn one_device_of_a_file_system_on_several_is_refused_with_that_cause() {
    let folder = folder();
    let images = ["first.img", "second.img"].map(|name| folder.path().join(name));
    for image in &images {
        drop(create(image, 20 * MIB));
    }
    run("mkfs.btrfs", &["-q", "-M", "-d", "single", "-m", "single", &text(&images[0]), &text(&images[1])]);
    let refused = failure(capture(&MemoryServer::new(), &source_with(&images[0], folder.path())));
    let cause =
        FailureCause::SourceOnSeveralDevices { partition: 1, filesystem: FileSystem::Btrfs, volume: None };
    assert_eq!(refused, (Phase::Prepare, cause));
}

#[test]
fn a_swap_area_in_which_a_system_sleeps_is_refused() {
    let folder = folder();
    let image = swap(folder.path(), 16 * MIB);
    let mut bytes = fs::read(&image).unwrap();
    bytes[4086..4096].copy_from_slice(b"S1SUSPEND\0");
    fs::write(&image, bytes).unwrap();
    let refused = failure(capture(&MemoryServer::new(), &source_with(&image, folder.path())));
    let (filesystem, reason) = (FileSystem::Swap, UncleanReason::Hibernated);
    let cause = FailureCause::SourceUnclean { partition: 1, filesystem, volume: None, reason };
    assert_eq!(refused, (Phase::Prepare, cause));
}

/// A computer in which the disk's name passes to another disk right after the first look.
struct PassingName {
    disk: MemoryDisk,
    looks: AtomicU32,
}

impl DiskProbe for PassingName {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        let mut disks = self.disk.disks()?;
        if self.looks.fetch_add(1, Ordering::SeqCst) > 0 {
            disks[0].facts.serial = Some("another".into());
        }
        Ok(disks)
    }

    fn open(&self, disk: &FoundDisk, access: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
        self.disk.open(disk, access)
    }
}

#[test]
fn a_name_that_passes_to_another_disk_before_it_is_opened_is_noticed() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let disk = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    let wanted = lab::the_pin(&disk);
    let probe = PassingName { disk: disk.clone(), looks: AtomicU32::new(0) };
    let order = server.deploy_order(wanted.clone());
    let ending =
        mimeo_engine::run(Order::Deploy(&order), &server, &probe, &Board::default(), Patience::default());
    let Ending::Over(outcome) = ending else { panic!("stopped") };
    assert_eq!(failure(outcome), (Phase::Prepare, FailureCause::DiskMissing { wanted }));
    assert_eq!(disk.writes(), 0);
}
