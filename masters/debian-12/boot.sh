# shellcheck shell=bash
# How a disk boots: an ESP for UEFI, GRUB in a partition of its own for BIOS; both look for the file system in which
# /boot lies, and read their menu there.

# Puts bytes (printf's notation) at an offset of a file.
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# The menu, in which `boot_folder` is /boot as GRUB names it in its file system and `kernel_root` says to the kernel
# where the system is. vmlinuz and initrd.img are links that Debian keeps pointing at the newest kernel.
write_grub_configuration() {
    mkdir -p "$root/boot/grub"
    cat >"$root/boot/grub/grub.cfg" <<CFG
set timeout=0
menuentry "Debian" {
    linux $boot_folder/vmlinuz $kernel_root ro console=tty0 console=ttyS0,115200 quiet
    initrd $boot_folder/initrd.img
}
CFG
    cat >"$work/find-boot.cfg" <<CFG
search.fs_uuid $boot_uuid root
set prefix=(\$root)$boot_folder/grub
configfile (\$root)$boot_folder/grub/grub.cfg
CFG
}

# Fills the ESP: shim finds GRUB in its own folder, the signed GRUB its configuration in EFI/debian always. EFI/BOOT is
# where a firmware looks that has no boot entry for this disk, as on every PC it is copied to.
fill_esp() {
    local esp=$disk@@$((ESP_START * SECTOR)) shim=$root/usr/lib/shim folder
    mkfs.vfat -F 32 -s 1 -n ESP -i "$esp_id" --offset "$ESP_START" "$disk" $(((SYSTEM_START - ESP_START) / 2)) >/dev/null
    mmd -i "$esp" ::EFI ::EFI/BOOT ::EFI/debian
    for folder in BOOT debian; do
        mcopy -i "$esp" "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "::EFI/$folder/grubx64.efi"
        mcopy -i "$esp" "$shim/mmx64.efi.signed" "::EFI/$folder/mmx64.efi"
    done
    mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/BOOT/BOOTX64.EFI
    mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/debian/shimx64.efi
    mcopy -i "$esp" "$work/find-boot.cfg" ::EFI/debian/grub.cfg
}

# Installs GRUB for BIOS as grub-bios-setup would, which can only write to a disk whose file system is mounted: its
# first sector learns where the second is (boot.img 0x5c), and not to doubt the drive that the BIOS names (0x66);
# the second where the rest is (diskboot.img 0x1f4). Offsets: GRUB 2.06, include/grub/i386/pc/boot.h.
install_bios_grub() {
    local core=$work/core.img grub=$root/usr/lib/grub/i386-pc
    cp "$work/find-boot.cfg" "$root/tmp/find-boot.cfg"
    chroot "$root" grub-mkimage -O i386-pc -o /tmp/core.img -c /tmp/find-boot.cfg -p "$boot_folder/grub" \
        biosdisk part_gpt "$grub_reads" search_fs_uuid configfile normal linux minicmd boot echo
    mv "$root/tmp/core.img" "$core"
    rm "$root/tmp/find-boot.cfg"
    [ "$(stat -c %s "$core")" -le $(((ESP_START - GRUB_START) * SECTOR)) ] || die "GRUB is larger than its partition"
    [ "$GRUB_START" -eq 2048 ] || die "the bytes below say sector 2048"
    poke "$core" $((0x1f4)) '\x01\x08\x00\x00\x00\x00\x00\x00'
    dd if="$grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
    poke "$disk" $((0x5c)) '\x00\x08\x00\x00\x00\x00\x00\x00'
    poke "$disk" $((0x66)) '\x90\x90'
    dd if="$core" of="$disk" bs=$SECTOR seek="$GRUB_START" conv=notrunc status=none
}
