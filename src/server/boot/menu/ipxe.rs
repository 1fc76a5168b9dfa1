//! Boot scripts for iPXE, as far back as Debian 12's build of 2019.

use std::fmt::Write as _;

use super::{
    Label, Settings, kernel_arguments,
    words::{Words, words},
};
use crate::boot::{
    artefacts::names,
    target::{BootTarget, Machine, Menu},
};

/// How often the client is tried before the machine goes on to its own disk: a switch port that is slow to forward
/// costs one or two, and a server that is down must not keep a classroom from working.
const TRIES: u32 = 4;

/// Seconds between tries, and for which a message stays on the screen.
const PAUSE_SECONDS: u32 = 5;

/// The loaders that an installed system leaves on its EFI system partition, in the order in which they are tried:
/// Windows', Debian's, and the one that the firmware itself falls back to.
const UEFI_LOADERS: [&str; 3] =
    ["\\EFI\\Microsoft\\Boot\\bootmgfw.efi", "\\EFI\\debian\\shimx64.efi", "\\EFI\\BOOT\\BOOTX64.EFI"];

/// Where a machine's own script is, for iPXE to ask: it fills in what it knows of itself.
pub fn script_url(settings: &Settings) -> String {
    format!("http://{}/boot/ipxe/${{netX/mac}}?uuid=${{uuid}}&platform=${{platform}}", settings.boot_http)
}

/// A script that any iPXE can start with and that leads to the machine's own. iPXE of 2022 and later asks by TFTP
/// for `autoexec.ipxe` before anything else.
pub fn chain_script(settings: &Settings) -> String {
    format!("#!ipxe\nchain {} || exit\n", script_url(settings))
}

/// The script for what `machine` is to boot.
pub fn render(target: &BootTarget, machine: &Machine, settings: &Settings) -> String {
    let mut script =
        format!("#!ipxe\n# {}\nset files http://{}/boot/files\n", machine.mac, settings.boot_http);
    match target {
        BootTarget::Client { token } => {
            client(&mut script, words(settings.language), &kernel_arguments(settings, token));
            local_disk(&mut script, words(settings.language));
        }
        BootTarget::Menu(wanted) => {
            menu(&mut script, wanted);
            client(&mut script, words(wanted.language), &kernel_arguments(settings, &wanted.token));
            local_disk(&mut script, words(wanted.language));
        }
        BootTarget::LocalDisk => local_disk(&mut script, words(settings.language)),
    }
    script
}

fn menu(script: &mut String, menu: &Menu) {
    let words = words(menu.language);
    let (title, client) = match &menu.computer_name {
        Some(name) => (Label::new(name).to_string(), words.start_client),
        None => (words.unknown_computer.into(), words.register),
    };
    // Without a time-out iPXE would wait for ever, and 0 means none to it.
    let timeout_ms = u64::from(menu.timeout_seconds).saturating_mul(1000).max(1);
    let _infallible = write!(
        script,
        "
:menu
menu Mimeo - {title}
item disk {own_disk}
item client {client}
item memory {memory_test}
item reboot {reboot}
item off {power_off}
choose --default disk --timeout {timeout_ms} chosen || set chosen disk
goto ${{chosen}}

:memory
iseq ${{platform}} efi && set test {memory_uefi} || set test {memory_bios}
chain ${{files}}/${{test}} || goto menu

:reboot
reboot

:off
iseq ${{platform}} efi && set off {off_uefi} || set off {off_bios}
chain ${{files}}/${{off}} || echo {no_power_off}
sleep {PAUSE_SECONDS}
goto menu
",
        own_disk = words.own_disk,
        memory_test = words.memory_test,
        reboot = words.reboot,
        power_off = words.power_off,
        no_power_off = words.no_power_off,
        memory_uefi = names::MEMORY_TEST_UEFI,
        memory_bios = names::MEMORY_TEST_BIOS,
        off_uefi = names::POWER_OFF_UEFI,
        off_bios = names::POWER_OFF_BIOS,
    );
}

/// Kernel and initramfs over HTTP. `initrd=` names the image for the kernel's EFI stub; a BIOS ignores it.
fn client(script: &mut String, words: &Words, arguments: &str) {
    let _infallible = write!(
        script,
        "
:client
set tries:int32 0
:try
inc tries
iseq ${{tries}} {beyond} && goto disk ||
echo {loading}
imgfree
kernel ${{files}}/{kernel} initrd={initramfs} {arguments} || goto failed
initrd --name {initramfs} ${{files}}/{initramfs} || goto failed
boot || goto failed
:failed
echo {failed}
sleep {PAUSE_SECONDS}
goto try
",
        beyond = TRIES + 1,
        loading = words.loading,
        failed = words.failed,
        kernel = names::KERNEL,
        initramfs = names::INITRAMFS,
    );
}

/// The machine's own disk. A BIOS starts the first disk's boot code. On UEFI the loaders are tried one by one, which
/// iPXE of 2019 cannot do (it knows only disks that it attached itself, seen on OVMF); then the firmware has its turn
/// again, and its own order of disks. That is not the first choice because some firmware goes through minutes of
/// IPv6 PXE before.
fn local_disk(script: &mut String, words: &Words) {
    script.push_str("\n:disk\nimgfree\niseq ${platform} efi && goto disk_uefi ||\n");
    let _infallible = write!(
        script,
        "sanboot --no-describe --drive 0x80 ||\necho {no_disk}\nsleep {PAUSE_SECONDS}\nexit\n:disk_uefi\n",
        no_disk = words.no_disk
    );
    for loader in UEFI_LOADERS {
        let _infallible = writeln!(script, "sanboot --no-describe --drive 0 --filename {loader} ||");
    }
    script.push_str("exit\n");
}
