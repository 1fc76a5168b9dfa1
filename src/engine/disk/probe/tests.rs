use std::{fs, path::Path};

use mimeo_core::units::{MIB, SectorSize};

use super::{DiskProbe, SysProbe};

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
                &*disk.facts.kernel_name,
                disk.facts.serial.as_deref(),
                disk.facts.wwn.as_deref(),
                disk.facts.transport.as_deref(),
                disk.facts.removable,
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
    assert_eq!(disks[1].facts.model.as_deref(), Some("QEMU HARDDISK"));
    assert_eq!(disks[4].facts.size_bytes, 64 * MIB);
    assert_eq!(disks[4].facts.physical_sector, SectorSize::B4096);
    assert!(disks[4].facts.rotational);
}
