//! What a virtual PC is made of, and how QEMU is told so. Pure: nothing starts here.

use std::path::{Path, PathBuf};

use mimeo_core::ids::MacAddr;

/// The processor that every machine has, whatever the building machine has. Emulation turns the usual advice around:
/// wide registers cost more than they bring, single instructions for AES and carry-less products are cheap. Seconds
/// for 64 MiB in a guest (QEMU 7.2, TCG, best of three to five on a busy machine):
///
/// | `-cpu`                     | b3sum | AES-256-CTR |
/// |----------------------------|-------|-------------|
/// | `qemu64`                   | 0.72  | 2.45        |
/// | `Westmere` (SSE4.2, AES)   | 1.22  | 1.14        |
/// | `Haswell` (AVX2, AES)      | 1.53  | 1.33        |
/// | `max`                      | 1.43  | 0.79        |
/// | this one                   | 0.99  | 0.69        |
///
/// AES without SSE4.1, which no real processor has, would hash faster still, but Linux's `aesni_intel` then stops at an
/// invalid opcode.
const CPU: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+rdrand";

const OVMF: &str = "/usr/share/OVMF";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF with Microsoft's keys enrolled and Secure Boot on, as PCs are sold.
    UefiSecureBoot,
}

/// What the firmware tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootFirst {
    /// PXE, then the disks.
    Network,
    /// UEFI HTTP Boot, then the disks: the firmware's PXE is switched off.
    NetworkHttp,
    /// The disks in their order, then PXE.
    Disk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// The only one that OVMF itself has a driver for.
    VirtioNet,
    /// Under UEFI its option ROM is unsigned, which Secure Boot refuses.
    E1000,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    VirtioBlk,
    Nvme,
    Ahci,
    VirtioScsi,
    /// A removable stick.
    Usb,
}

/// A disk of a machine: a raw image file behind a bus.
#[derive(Debug, Clone)]
pub struct Disk {
    pub image: PathBuf,
    pub bus: Bus,
    /// At most 20 characters, which is all that virtio-blk and ATA carry.
    pub serial: String,
    /// Logical and physical sector size. AHCI has 512 only.
    pub sector_bytes: u32,
}

impl Disk {
    /// A virtio disk with sectors of 512 bytes.
    pub fn new(image: &Path, serial: &str) -> Disk {
        Disk { image: image.to_owned(), bus: Bus::VirtioBlk, serial: serial.to_owned(), sector_bytes: 512 }
    }
}

/// A machine as its owner would describe it.
#[derive(Debug, Clone)]
pub struct Hardware {
    pub name: String,
    pub firmware: Firmware,
    pub boot_first: BootFirst,
    pub adapter: Adapter,
    pub mac: MacAddr,
    /// SMBIOS UUID, in the usual spelling.
    pub uuid: String,
    /// SMBIOS serial number of the system.
    pub serial: String,
    pub memory_mib: u32,
    pub cpus: u32,
    pub disks: Vec<Disk>,
}

impl Hardware {
    /// A PC with UEFI, Secure Boot on, one virtio adapter, no disk, whose identity follows from `number`.
    pub fn new(name: &str, number: u8) -> Hardware {
        Hardware {
            name: name.to_owned(),
            firmware: Firmware::UefiSecureBoot,
            boot_first: BootFirst::Network,
            adapter: Adapter::VirtioNet,
            mac: MacAddr([0x52, 0x54, 0x00, 0x4d, 0x69, number]),
            uuid: format!("4d696d65-6f00-4000-8000-0000000000{number:02x}"),
            serial: format!("MIMEO-{number:04}"),
            memory_mib: 1024,
            cpus: 2,
            disks: Vec::new(),
        }
    }

    /// The firmware's code and the variables it starts with; `None` for a BIOS, which QEMU brings along.
    pub fn flash(&self) -> Option<(PathBuf, PathBuf)> {
        let (code, variables) = match self.firmware {
            Firmware::Bios => return None,
            Firmware::Uefi => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            Firmware::UefiSecureBoot => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
        };
        Some((Path::new(OVMF).join(code), Path::new(OVMF).join(variables)))
    }

    /// QEMU's arguments, with the tap that plugs the machine in and the folder for its sockets, log and variables.
    pub fn arguments(&self, tap: &str, folder: &Path) -> Vec<String> {
        let mut arguments = Arguments(Vec::new());
        self.add_board(&mut arguments);
        self.add_firmware(&mut arguments, folder);
        self.add_console(&mut arguments, folder);
        self.add_adapter(&mut arguments, tap);
        for (index, disk) in self.disks.iter().enumerate() {
            self.add_disk(&mut arguments, index, disk);
        }
        arguments.0
    }

    fn add_board(&self, arguments: &mut Arguments) {
        let machine = match self.firmware {
            // `graphics=off` has SeaBIOS, and with it PXE ROMs and iPXE, write to the serial port as well.
            Firmware::Bios => "q35,graphics=off",
            Firmware::Uefi => "q35",
            // Only code in system management mode may write the variables: what makes Secure Boot secure.
            Firmware::UefiSecureBoot => "q35,smm=on",
        };
        arguments.add("-name", &escape(&self.name));
        arguments.add("-machine", machine);
        arguments.add("-accel", "tcg,thread=multi");
        arguments.add("-cpu", CPU);
        arguments.add("-smp", &self.cpus.to_string());
        arguments.add("-m", &format!("{}M", self.memory_mib));
        arguments.add("-uuid", &self.uuid);
        let smbios =
            format!("type=1,manufacturer=Mimeo,product=Laboratory PC,serial={}", escape(&self.serial));
        arguments.add("-smbios", &smbios);
        arguments.0.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
        arguments.add("-display", "none");
        arguments.add("-device", "VGA");
        if self.disks.iter().any(|disk| disk.bus == Bus::Usb) {
            arguments.add("-device", "qemu-xhci,id=usb");
        }
        if self.disks.iter().any(|disk| disk.bus == Bus::VirtioScsi) {
            arguments.add("-device", "virtio-scsi-pci,id=scsi");
        }
    }

    fn add_firmware(&self, arguments: &mut Arguments, folder: &Path) {
        let Some((code, _)) = self.flash() else { return };
        let variables = escape_path(&variables_path(folder));
        arguments
            .add("-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={}", escape_path(&code)));
        arguments.add("-drive", &format!("if=pflash,unit=1,format=raw,file={variables}"));
        if self.firmware == Firmware::UefiSecureBoot {
            arguments.add("-global", "driver=cfi.pflash01,property=secure,value=on");
        }
        // The switch has no IPv6 router: every boot would wait for one.
        let mut off = vec!["IPv6Support", "IPv6PXESupport"];
        if self.boot_first == BootFirst::NetworkHttp {
            off.push("IPv4PXESupport");
        }
        for feature in off {
            arguments.add("-fw_cfg", &format!("name=opt/org.tianocore/{feature},string=n"));
        }
    }

    fn add_console(&self, arguments: &mut Arguments, folder: &Path) {
        let (log, serial) = (escape_path(&console_path(folder)), escape_path(&serial_path(folder)));
        let chardev = format!("socket,id=serial,path={serial},server=on,wait=off,logfile={log}");
        arguments.add("-chardev", &chardev);
        arguments.add("-serial", "chardev:serial");
        arguments.add("-qmp", &format!("unix:{},server=on,wait=off", escape_path(&qmp_path(folder))));
    }

    fn add_adapter(&self, arguments: &mut Arguments, tap: &str) {
        arguments.add("-netdev", &format!("tap,id=net,ifname={tap},script=no,downscript=no"));
        let model = match (self.adapter, self.firmware) {
            (Adapter::VirtioNet, Firmware::Bios) => "virtio-net-pci",
            // Without QEMU's option ROM, which is iPXE: the firmware's own network stack is what is to be met.
            (Adapter::VirtioNet, _) => "virtio-net-pci,romfile=",
            (Adapter::E1000, _) => "e1000",
        };
        let position = match self.boot_first {
            BootFirst::Network | BootFirst::NetworkHttp => 0,
            BootFirst::Disk => self.disks.len(),
        };
        arguments.add("-device", &format!("{model},netdev=net,mac={},bootindex={position}", self.mac));
    }

    fn add_disk(&self, arguments: &mut Arguments, index: usize, disk: &Disk) {
        // `unsafe` spares the host the flushes. What a guest has written survives the end of QEMU all the same,
        // so a power cut loses what it loses on a disk with a protected cache: the guest's own memory.
        let drive = "format=raw,if=none,cache=unsafe,discard=unmap";
        arguments.add("-drive", &format!("{drive},id=disk{index},file={}", escape_path(&disk.image)));
        let device = match disk.bus {
            Bus::VirtioBlk => "virtio-blk-pci".to_owned(),
            Bus::Nvme => "nvme".to_owned(),
            Bus::Ahci => format!("ide-hd,bus=ide.{index}"),
            Bus::VirtioScsi => "scsi-hd,bus=scsi.0".to_owned(),
            Bus::Usb => "usb-storage,bus=usb.0,removable=on".to_owned(),
        };
        let position = match self.boot_first {
            BootFirst::Network | BootFirst::NetworkHttp => index + 1,
            BootFirst::Disk => index,
        };
        let sectors = format!("logical_block_size={0},physical_block_size={0}", disk.sector_bytes);
        let serial = escape(&disk.serial);
        let identity = format!("drive=disk{index},serial={serial},{sectors},bootindex={position}");
        arguments.add("-device", &format!("{device},{identity}"));
    }
}

/// QMP's socket in a machine's folder. Names are short because a socket's path has room for 107 bytes (unix(7)).
pub fn qmp_path(folder: &Path) -> PathBuf {
    folder.join("qmp")
}

/// The socket into which somebody can type on the serial console.
pub fn serial_path(folder: &Path) -> PathBuf {
    folder.join("serial")
}

/// Everything that came out of the serial console.
pub fn console_path(folder: &Path) -> PathBuf {
    folder.join("console.log")
}

/// The firmware's variables, which outlive a power cut as on a real board.
pub fn variables_path(folder: &Path) -> PathBuf {
    folder.join("variables.fd")
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, option: &str, value: &str) {
        self.0.extend([option.to_owned(), value.to_owned()]);
    }
}

/// QEMU separates with commas and doubles those that are meant.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(hardware: &Hardware) -> String {
        hardware.arguments("tap0", Path::new("/lab,1")).join(" ")
    }

    #[test]
    fn the_first_to_boot_has_the_lowest_index() {
        let disks = vec![Disk::new(Path::new("/a"), "A"), Disk::new(Path::new("/b"), "B")];
        let hardware = Hardware { disks, ..Hardware::new("pc", 1) };
        let cases = [
            (BootFirst::Network, ["52:54:00:4d:69:01,bootindex=0", "size=512,bootindex=1", "bootindex=2"]),
            (
                BootFirst::NetworkHttp,
                ["52:54:00:4d:69:01,bootindex=0", "size=512,bootindex=1", "bootindex=2"],
            ),
            (BootFirst::Disk, ["52:54:00:4d:69:01,bootindex=2", "size=512,bootindex=0", "bootindex=1"]),
        ];
        for (boot_first, expected) in cases {
            let line = line(&Hardware { boot_first, ..hardware.clone() });
            assert!(expected.iter().all(|part| line.contains(part)), "{boot_first:?}: {line}");
            let pxe_is_off = line.contains("IPv4PXESupport,string=n");
            assert_eq!(pxe_is_off, boot_first == BootFirst::NetworkHttp, "{line}");
        }
    }

    #[test]
    fn secure_boot_has_microsofts_variables_and_protects_them() {
        let secure = line(&Hardware::new("pc", 1));
        assert!(secure.contains("q35,smm=on") && secure.contains("property=secure,value=on"), "{secure}");
        let open = line(&Hardware { firmware: Firmware::Uefi, ..Hardware::new("pc", 1) });
        assert!(!open.contains("smm=on") && !open.contains("value=on"), "{open}");
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        assert!(line(&Hardware::new("pc", 1)).contains("path=/lab,,1/serial,server=on"));
    }

    #[test]
    fn every_machine_has_an_identity_of_its_own() {
        let (one, two) = (Hardware::new("one", 1), Hardware::new("two", 2));
        assert_ne!(one.mac, two.mac);
        assert_ne!(one.uuid, two.uuid);
        assert_ne!(one.serial, two.serial);
    }
}
