//! The recipes and the laboratory prove each other: the artefacts of `ipxe/` and `initramfs/` boot, on every firmware,
//! from a DHCP and TFTP server that is not ours (dnsmasq).

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    hardware::{Adapter, Bus, Disk, Firmware, Hardware},
    images,
    network::{Host, Switch},
    process::{self, Process},
    vm::Machine,
};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// From power-on to the last marker. Alone on two cores it takes 20 s to 40 s; other tests may run beside it.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// Said by [`PROBE`] when it is done.
const DONE: &str = "PROBE done";

/// Takes the client's place as /init: loads drivers by modalias as the client does, and says what it then sees.
const PROBE: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
for round in 1 2 3; do
    find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -qa
    sleep 1
done
for adapter in /sys/class/net/e*; do echo "PROBE adapter $(cat $adapter/address)"; done
for disk in /sys/block/*; do echo "PROBE disk $(basename $disk) $(cat $disk/size)"; done
modprobe efivarfs && mount -t efivarfs efivarfs /sys/firmware/efi/efivars
variable=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
[ -e $variable ] && echo "PROBE secure boot $(tail -c 1 $variable | od -An -tu1 | tr -d ' ')"
echo "PROBE done"
poweroff -f
"#;

const GRUB_CFG: &str = "set timeout=0\n\
    linux vmlinuz console=ttyS0,115200\n\
    initrd first.cpio.zst probe.cpio\n\
    boot\n";

/// iPXE would take a second word after an initrd for the path of a file to wrap it in, so there is none.
const IPXE_SCRIPT: &str = "#!ipxe\n\
    kernel tftp://192.0.2.1/vmlinuz initrd=first.cpio.zst initrd=probe.cpio console=ttyS0,115200\n\
    initrd tftp://192.0.2.1/first.cpio.zst\n\
    initrd tftp://192.0.2.1/probe.cpio\n\
    boot\n";

/// A switch with dnsmasq on it, which serves the artefacts.
struct Laboratory {
    // In this order: what uses the switch goes before it.
    _dnsmasq: Process,
    _server: Host,
    switch: Switch,
    folder: tempfile::TempDir,
}

impl Laboratory {
    fn open(label: &str) -> anyhow::Result<Laboratory> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("tftp");
        fill_tftp_root(&root)?;
        let switch = Switch::create(label)?;
        let server = switch.host("server", SERVER, 24)?;
        let dnsmasq = start_dnsmasq(&server, &root, folder.path())?;
        Ok(Laboratory { _dnsmasq: dnsmasq, _server: server, switch, folder })
    }

    fn boot(&self, hardware: Hardware) -> anyhow::Result<String> {
        let mut machine = Machine::new(hardware, &self.switch, &self.folder.path().join("pc"))?;
        machine.power_on()?;
        let text = machine.wait_for(DONE, BOOT_TIMEOUT)?;
        machine.wait_off(BOOT_TIMEOUT)?;
        Ok(text)
    }

    fn disk(&self, bus: Bus, serial: &str) -> anyhow::Result<Disk> {
        let image = self.folder.path().join(serial);
        images::blank_disk(&image, 64 << 20)?;
        Ok(Disk { bus, ..Disk::new(&image, serial) })
    }
}

fn fill_tftp_root(root: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(root.join("grub"))?;
    for name in ["undionly.kpxe", "snponly.efi", "shimx64.efi", "grubx64.efi", "vmlinuz"] {
        std::fs::copy(images::artefact(name)?, root.join(name))?;
    }
    std::fs::copy(images::artefact("initramfs-first.cpio.zst")?, root.join("first.cpio.zst"))?;
    std::fs::write(root.join("grub/grub.cfg"), GRUB_CFG)?;
    std::fs::write(root.join("boot.ipxe"), IPXE_SCRIPT)?;
    pack_probe(root)
}

/// Packs the probe as a further archive, which the kernel unpacks over the first part of the initramfs: it replaces
/// the client and leaves the rest as it is, just as the appliance adds its CA.
fn pack_probe(root: &Path) -> anyhow::Result<()> {
    let tree = tempfile::tempdir()?;
    let busybox = Path::new("/bin/busybox");
    let linked = process::run(Command::new("ldd").arg(busybox));
    assert!(linked.is_err(), "{busybox:?} needs libraries: apt-get install busybox-static");
    std::fs::create_dir(tree.path().join("bin"))?;
    std::fs::copy(busybox, tree.path().join("bin/busybox")).context("apt-get install busybox-static")?;
    std::fs::write(tree.path().join("init"), PROBE)?;
    let pack = "chmod 755 init && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0 >";
    let archive = root.join("probe.cpio");
    let mut shell = Command::new("sh");
    process::run(shell.current_dir(&tree).args(["-c", &format!("{pack}{}", archive.display())]))?;
    Ok(())
}

fn start_dnsmasq(server: &Host, root: &Path, folder: &Path) -> anyhow::Result<Process> {
    let leases = folder.join("leases");
    let mut command = server.command("dnsmasq");
    command.args([
        "--conf-file=/dev/null",
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--port=0",
    ]);
    command.args(["--user=root", "--pid-file=", "--dhcp-authoritative", "--no-ping", "--interface=eth0"]);
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    command.args(["--dhcp-range=192.0.2.100,192.0.2.199,5m", "--enable-tftp"]);
    command.arg(format!("--tftp-root={}", root.display()));
    command.args(["--dhcp-match=set:uefi,option:client-arch,7", "--dhcp-userclass=set:ipxe,iPXE"]);
    command.args([
        "--dhcp-boot=tag:!uefi,tag:!ipxe,undionly.kpxe",
        "--dhcp-boot=tag:uefi,tag:!ipxe,shimx64.efi",
    ]);
    command.arg("--dhcp-boot=tag:ipxe,boot.ipxe");
    Ok(Process::start(&command, &folder.join("dnsmasq.log"))?)
}

#[test]
fn a_bios_machine_boots_through_ipxe_and_finds_its_adapter_and_disks() -> anyhow::Result<()> {
    let laboratory = Laboratory::open("bios")?;
    let disks = vec![laboratory.disk(Bus::Ahci, "AHCI")?, laboratory.disk(Bus::VirtioScsi, "SCSI")?];
    let hardware =
        Hardware { firmware: Firmware::Bios, adapter: Adapter::E1000, disks, ..Hardware::new("pc", 1) };
    let text = laboratory.boot(hardware)?;
    assert!(text.contains("PROBE adapter 52:54:00:4d:69:01"), "{text}");
    assert!(text.contains("PROBE disk sda 131072") && text.contains("PROBE disk sdb 131072"), "{text}");
    assert!(!text.contains("PROBE secure boot"), "{text}");
    Ok(())
}

#[test]
fn a_machine_with_secure_boot_boots_through_shim_and_grub_and_finds_its_adapter_and_disks()
-> anyhow::Result<()> {
    let laboratory = Laboratory::open("secure")?;
    let disks = vec![laboratory.disk(Bus::VirtioBlk, "VIRTIO")?, laboratory.disk(Bus::Nvme, "NVME")?];
    let text = laboratory.boot(Hardware { disks, ..Hardware::new("pc", 2) })?;
    assert!(text.contains("PROBE adapter 52:54:00:4d:69:02"), "{text}");
    assert!(text.contains("PROBE disk vda 131072") && text.contains("PROBE disk nvme0n1 131072"), "{text}");
    assert!(text.contains("PROBE secure boot 1"), "{text}");
    Ok(())
}

#[test]
fn the_same_chain_boots_a_machine_without_secure_boot() -> anyhow::Result<()> {
    let laboratory = Laboratory::open("open")?;
    let text = laboratory.boot(Hardware { firmware: Firmware::Uefi, ..Hardware::new("pc", 3) })?;
    assert!(text.contains("PROBE secure boot 0"), "{text}");
    Ok(())
}

/// The master boots from its own disk, lets root in, and switches itself off.
fn master_boots(label: &str, firmware: Firmware, bus: Bus) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let switch = Switch::create(label)?;
    let image: PathBuf = folder.path().join("disk");
    images::copy_disk(&images::master("debian-12")?, &image)?;
    let disks = vec![Disk { bus, ..Disk::new(&image, "MASTER") }];
    let hardware =
        Hardware { firmware, disks, boot_first: crate::hardware::BootFirst::Disk, ..Hardware::new("pc", 4) };
    let mut machine = Machine::new(hardware, &switch, &folder.path().join("pc"))?;
    machine.power_on()?;
    machine.wait_for("MIMEO-DEMO-BOOTED debian-master", BOOT_TIMEOUT)?;
    // Neither waits for the other.
    if !machine.console_text().contains("debian-master login:") {
        machine.wait_for("debian-master login:", BOOT_TIMEOUT)?;
    }
    for (answer, prompt) in [("root\n", "Password:"), ("mimeo\n", "root@debian-master:~#")] {
        machine.type_text(answer)?;
        machine.wait_for(prompt, BOOT_TIMEOUT)?;
    }
    machine.type_text("poweroff\n")?;
    machine.wait_off(BOOT_TIMEOUT)?;
    Ok(())
}

#[test]
fn the_debian_master_boots_by_bios() -> anyhow::Result<()> {
    master_boots("m-bios", Firmware::Bios, Bus::VirtioBlk)
}

#[test]
fn the_debian_master_boots_with_secure_boot() -> anyhow::Result<()> {
    master_boots("m-secure", Firmware::UefiSecureBoot, Bus::Nvme)
}
