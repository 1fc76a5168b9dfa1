//! Configurations for the GRUB that Debian signed, version 2.06.
//!
//! Two of its images are used: the one that knows the network looks for `grub/grub.cfg` where it was loaded from, the
//! one that knows disks for `EFI/debian/grub.cfg` (both seen in the images, as the prefix beside the modules). Under
//! Secure Boot it loads only what shim vouches for, so the memory test is offered only where `lockdown` is not set.

use std::fmt::Write as _;

use mimeo_core::ids::MacAddr;

use super::{
    Label, Settings, kernel_arguments,
    words::{Words, words},
};
use crate::boot::{
    artefacts::names,
    target::{BootTarget, Machine, Menu},
};

/// Seconds for which a message stays on the screen.
const PAUSE_SECONDS: u32 = 10;

/// The loaders that installed systems leave on an EFI system partition, the most telling first. The last is what
/// firmware itself falls back to.
const UEFI_LOADERS: [&str; 5] = [
    "/EFI/Microsoft/Boot/bootmgfw.efi",
    "/EFI/debian/shimx64.efi",
    "/EFI/ubuntu/shimx64.efi",
    "/EFI/debian/grubx64.efi",
    "/EFI/BOOT/BOOTX64.EFI",
];

/// Where files are on the RAM disk of UEFI HTTP boot, whose names have eight letters at most.
pub const DISK_KERNEL: &str = "mimeo/vmlinuz";
pub const DISK_INITRAMFS: &str = "mimeo/initrd";
pub const DISK_MEMORY_TEST: &str = "mimeo/memtest.efi";

/// Where GRUB came from, and so where it finds kernel and initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// TFTP: the server's root.
    Network,
    /// The RAM disk of UEFI HTTP boot.
    RamDisk,
}

/// Where the files are, from the root of where GRUB came from.
struct Paths {
    kernel: &'static str,
    initramfs: &'static str,
    memory_test: &'static str,
}

impl Paths {
    fn of(origin: Origin) -> Self {
        match origin {
            Origin::Network => Self {
                kernel: names::KERNEL,
                initramfs: names::INITRAMFS,
                memory_test: names::MEMORY_TEST_UEFI,
            },
            Origin::RamDisk => {
                Self { kernel: DISK_KERNEL, initramfs: DISK_INITRAMFS, memory_test: DISK_MEMORY_TEST }
            }
        }
    }
}

/// The folder of the machines' own configurations, by hardware address.
const MACHINE_FOLDER: &str = "grub/machine/";

/// What every machine gets first: it sends GRUB on to its own configuration by the hardware address of the card that
/// it booted from. The address it has would tell too, but that may have been another machine's a moment ago, and a
/// configuration carries a token.
pub fn first_config() -> String {
    format!("source ($root)/{MACHINE_FOLDER}$net_default_mac.cfg\n")
}

/// Whose configuration a file name asks for; `None` for any other file. Without a hardware address in it the
/// machine is the one behind the request. Other builds of GRUB name the card by themselves, as PXELINUX did.
pub fn machine_of(name: &str) -> Option<Option<MacAddr>> {
    if let Some(mac) = name.strip_prefix("grub/grub.cfg-01-") {
        return mac.parse().ok().map(Some);
    }
    let asked = name.strip_prefix(MACHINE_FOLDER)?.strip_suffix(".cfg")?;
    if asked.is_empty() { Some(None) } else { asked.parse().ok().map(Some) }
}

/// The configuration for what `machine` is to boot.
pub fn render(target: &BootTarget, machine: &Machine, settings: &Settings, origin: Origin) -> String {
    let paths = Paths::of(origin);
    let mut config = format!("# {}\nset home=$root\nset pager=0\n", machine.mac);
    match target {
        BootTarget::Client { token } => {
            let words = words(settings.language);
            functions(&mut config, words, &paths, Some(&kernel_arguments(settings, token)));
            // A machine that has orders and cannot load the client begins anew: they are still there next time.
            let _infallible = write!(config, "client\nsleep {PAUSE_SECONDS}\nreboot\n");
        }
        BootTarget::Menu(wanted) => {
            let arguments = kernel_arguments(settings, &wanted.token);
            functions(&mut config, words(wanted.language), &paths, Some(&arguments));
            menu(&mut config, wanted, &paths);
        }
        BootTarget::LocalDisk => {
            functions(&mut config, words(settings.language), &paths, None);
            config.push_str("own_disk\nexit\n");
        }
    }
    config
}

fn menu(config: &mut String, menu: &Menu, paths: &Paths) {
    let words = words(menu.language);
    let (title, client) = match &menu.computer_name {
        Some(name) => (Label::new(name).to_string(), words.start_client),
        None => (words.unknown_computer.into(), words.register),
    };
    let _infallible = write!(
        config,
        r#"
set timeout={timeout}
set default=disk
menuentry "{own_disk} - {title}" --id disk {{
    own_disk
    exit
}}
menuentry "{client}" --id client {{
    client
    sleep {PAUSE_SECONDS}
}}
if [ "$lockdown" != "y" ]; then
    menuentry "{memory_test}" --id memory {{
        chainloader ($home)/{memory_test_file}
    }}
fi
menuentry "{reboot}" --id reboot {{
    reboot
}}
menuentry "{power_off}" --id off {{
    halt
}}
"#,
        timeout = menu.timeout_seconds,
        own_disk = words.own_disk,
        memory_test = words.memory_test,
        memory_test_file = paths.memory_test,
        reboot = words.reboot,
        power_off = words.power_off,
    );
}

/// What the entries do. `home` is where GRUB came from: `own_disk` changes the root, and must not take the RAM disk of
/// UEFI HTTP boot, which has a `BOOTX64.EFI` too, for the machine's own. Nothing here may fail aloud where it need not:
/// after an error message GRUB waits ten seconds for a key.
fn functions(config: &mut String, words: &Words, paths: &Paths, arguments: Option<&str>) {
    if let Some(arguments) = arguments {
        let _infallible = write!(
            config,
            r#"
function client {{
    echo "{loading}"
    if linux ($home)/{kernel} {arguments}; then
        if initrd ($home)/{initramfs}; then
            boot
        fi
    fi
    echo "{failed}"
}}
"#,
            loading = words.loading,
            failed = words.failed,
            kernel = paths.kernel,
            initramfs = paths.initramfs,
        );
    }
    // The loader needs its own partition as root: it looks for its configuration there. What returns from `boot`
    // did not start.
    let _infallible = write!(
        config,
        r#"
function own_disk {{
    for loader in {loaders}; do
        for device in (hd*); do
            if [ "$device" != "($home)" -a -e $device$loader ]; then
                regexp --set=1:root '^\((.*)\)$' $device
                if chainloader $device$loader; then
                    boot
                fi
            fi
        done
    done
    set root=$home
    echo "{no_disk}"
    sleep {PAUSE_SECONDS}
}}
"#,
        loaders = UEFI_LOADERS.join(" "),
        no_disk = words.no_disk,
    );
}
