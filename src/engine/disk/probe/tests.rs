use std::{fs, path::Path};

use mimeo_core::{
    failure::FailureCause,
    messages::DiskPin,
    units::{MIB, SectorSize},
};

use super::{DiskProbe, FoundDisk, SysProbe, find};

fn disk(name: &str, serial: &str) -> FoundDisk {
    FoundDisk {
        kernel_name: name.into(),
        device: Path::new("/dev").join(name),
        model: Some("Mimeo Disk".into()),
        serial: Some(serial.into()),
        wwn: None,
        size_bytes: 64 * MIB,
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B512,
        removable: false,
        transport: None,
        rotational: false,
    }
}

fn pin(serial: Option<&str>) -> DiskPin {
    DiskPin {
        model: None,
        serial: serial.map(Into::into),
        wwn: None,
        size_bytes: 64 * MIB,
        logical_sector: SectorSize::B512,
    }
}

#[test]
fn the_disk_that_agrees_with_every_fact_is_found_whatever_its_name() {
    let disks = [disk("sda", "A"), disk("sdb", "B")];
    assert_eq!(find(&pin(Some("B")), &disks), Ok(&disks[1]));
    assert_eq!(find(&pin(Some(" B ")), &disks), Ok(&disks[1]));
}

#[test]
fn one_fact_that_differs_is_enough_to_be_another_disk() {
    let disks = [disk("sda", "A")];
    let good = pin(Some("A"));
    for wrong in [
        DiskPin { serial: Some("B".into()), ..good.clone() },
        DiskPin { wwn: Some("naa.5000".into()), ..good.clone() },
        DiskPin { model: Some("Other".into()), ..good.clone() },
        DiskPin { size_bytes: 65 * MIB, ..good.clone() },
        DiskPin { logical_sector: SectorSize::B4096, ..good.clone() },
    ] {
        assert_eq!(find(&wrong, &disks), Err(FailureCause::DiskMissing { wanted: wrong.clone() }));
    }
}

#[test]
fn two_disks_that_agree_are_a_question_and_never_a_choice() {
    let wanted = pin(None);
    assert_eq!(
        find(&wanted, &[disk("sda", "A"), disk("sdb", "B")]),
        Err(FailureCause::DiskAmbiguous { wanted: wanted.clone(), found: 2 })
    );
}

#[test]
fn a_removable_disk_is_never_meant() {
    let stick = FoundDisk { removable: true, ..disk("sda", "A") };
    let wanted = pin(Some("A"));
    assert_eq!(
        find(&wanted, std::slice::from_ref(&stick)),
        Err(FailureCause::DiskMissing { wanted: wanted.clone() })
    );
    assert_eq!(find(&pin(None), &[stick, disk("sdb", "B")]).map(|disk| &*disk.kernel_name), Ok("sdb"));
}

/// Writes the files that the kernel would show for one disk.
fn sysfs(folder: &Path, name: &str, bus: &str, files: &[(&str, &[u8])]) {
    let block = folder.join("block").join(name);
    let device = folder.join("devices").join(bus);
    fs::create_dir_all(&block).unwrap();
    fs::create_dir_all(&device).unwrap();
    std::os::unix::fs::symlink(&device, block.join("device")).unwrap();
    let usual: [(&str, &[u8]); 4] = [
        ("size", b"131072\n"),
        ("removable", b"0\n"),
        ("queue/logical_block_size", b"512\n"),
        ("queue/physical_block_size", b"4096\n"),
    ];
    for (path, content) in usual.iter().chain(files) {
        let path = block.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn disks_are_described_as_each_driver_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    sysfs(root, "vda", "pci0/virtio3", &[("serial", b"mimeo-a\n"), ("queue/rotational", b"1\n")]);
    sysfs(
        root,
        "sda",
        "pci0/ata1/host0/target0:0:0/0:0:0:0",
        &[
            ("device/vpd_pg80", b"\0\x80\0\x08  QM0001"),
            ("device/model", b"QEMU HARDDISK   \n"),
            ("device/wwid", b"t10.ATA QM0001\n"),
        ],
    );
    sysfs(
        root,
        "nvme0n1",
        "pci0/nvme/nvme0",
        &[("device/serial", b"S4X\n"), ("wwid", b"eui.0025\n"), ("device/model", b"Samsung\n")],
    );
    sysfs(root, "sdb", "pci0/usb2/2-1/host4/4:0:0:0", &[]);
    sysfs(root, "sr0", "pci0/ata2/host1/1:0:0:0", &[]);
    sysfs(root, "mmcblk0boot0", "mmc0", &[]);
    sysfs(root, "sdc", "pci0/ata3/host2/2:0:0:0", &[("size", b"0\n")]);
    // No hardware behind it: no `device` link.
    fs::create_dir_all(root.join("block/loop0")).unwrap();

    let disks = SysProbe::at(root.join("block"), "/dev").disks().unwrap();
    let seen: Vec<_> = disks
        .iter()
        .map(|disk| {
            (
                &*disk.kernel_name,
                disk.serial.as_deref(),
                disk.wwn.as_deref(),
                disk.transport.as_deref(),
                disk.removable,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("nvme0n1", Some("S4X"), Some("eui.0025"), Some("nvme"), false),
            ("sda", Some("QM0001"), Some("t10.ATA QM0001"), Some("sata"), false),
            ("sdb", None, None, Some("usb"), true),
            ("sr0", None, None, Some("sata"), true),
            ("vda", Some("mimeo-a"), None, Some("virtio"), false),
        ]
    );
    assert_eq!(disks[1].model.as_deref(), Some("QEMU HARDDISK"));
    assert_eq!(disks[4].size_bytes, 64 * MIB);
    assert_eq!(disks[4].physical_sector, SectorSize::B4096);
    assert!(disks[4].rotational);
}
