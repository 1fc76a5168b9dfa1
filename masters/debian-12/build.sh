#!/bin/bash
# Builds build/masters/debian-12.raw: a small Debian 12 that boots by BIOS and by UEFI, Secure Boot included, and says
# MIMEO-DEMO-BOOTED <hostname> on its serial console. Root's password is "mimeo".
#
# The disk is put together in a file, without loop devices and mounts: it works in a container, and there is nothing
# to clean up. Only mmdebstrap mounts, inside the namespaces below, which end with this script however it ends.
set -euo pipefail
[ -n "${MIMEO_ISOLATED:-}" ] \
    || MIMEO_ISOLATED=1 exec unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
cd "$(dirname "$0")/../.."
. scripts/debian-packages.sh

readonly DISK_BYTES=$((3 << 30))
readonly SECTOR=512
# In sectors. A BIOS boot partition of 1 MiB, an ESP of 64 MiB, the root file system in the rest; the backup GPT takes
# the last 33 sectors, and everything begins and ends on a MiB.
readonly GRUB_START=2048 ESP_START=4096 ROOT_START=$((4096 + 131072)) ROOT_END=$((DISK_BYTES / SECTOR - 2048))
readonly PACKAGES=systemd-sysv,udev,kmod,initramfs-tools,zstd,linux-image-cloud-amd64,iproute2,shim-signed,grub-efi-amd64-signed,grub-pc-bin,grub2-common
# Nobody reads manuals on a disk that is there to be copied.
readonly LEFT_OUT='/usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/*'

recipe=masters/debian-12
output=build/masters/debian-12.raw
work=build/masters/.debian-12
root=$work/root
disk=$work/disk.raw

# Puts bytes (printf's notation) at an offset of a file.
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

install_system() {
    local options=() path
    for path in $LEFT_OUT; do options+=(--dpkgopt="path-exclude=$path"); done
    mmdebstrap --mode=root --variant=minbase --include="$PACKAGES" "${options[@]}" \
        --essential-hook="cp -rT $recipe/files/etc/initramfs-tools \"\$1/etc/initramfs-tools\"" \
        bookworm "$root"
}

configure_system() {
    cp -rT --preserve=mode,links "$recipe/files" "$root"
    echo debian-master >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 debian-master\n' >"$root/etc/hosts"
    printf 'UUID=%s / ext4 errors=remount-ro 0 1\n' "$root_uuid" >"$root/etc/fstab"
    printf 'UUID=%s /boot/efi vfat umask=0077 0 1\n' "${esp_id:0:4}-${esp_id:4}" >>"$root/etc/fstab"
    mkdir -p "$root/boot/efi"
    echo root:mimeo | chroot "$root" chpasswd
    # Empty, not absent: every copy gives itself an identity at its first boot, without being asked questions.
    : >"$root/etc/machine-id"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/lib/dbus/machine-id
}

partition_disk() {
    truncate -s "$DISK_BYTES" "$disk"
    sgdisk -a 2048 "$disk" \
        -n "1:$GRUB_START:$((ESP_START - 1))" -t 1:ef02 -c 1:'BIOS boot' \
        -n "2:$ESP_START:$((ROOT_START - 1))" -t 2:ef00 -c 2:'EFI system' \
        -n "3:$ROOT_START:$((ROOT_END - 1))" -t 3:8304 -c 3:'Debian' >/dev/null
}

# Fills the ESP: shim finds GRUB in its own folder, the signed GRUB its configuration in EFI/debian always. EFI/BOOT is
# where a firmware looks that has no boot entry for this disk, as on every PC it is copied to.
fill_esp() {
    local esp=$disk@@$((ESP_START * SECTOR)) shim=$root/usr/lib/shim folder
    mkfs.vfat -F 32 -s 1 -n ESP -i "$esp_id" --offset "$ESP_START" "$disk" $(((ROOT_START - ESP_START) / 2)) >/dev/null
    mmd -i "$esp" ::EFI ::EFI/BOOT ::EFI/debian
    for folder in BOOT debian; do
        mcopy -i "$esp" "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "::EFI/$folder/grubx64.efi"
        mcopy -i "$esp" "$shim/mmx64.efi.signed" "::EFI/$folder/mmx64.efi"
    done
    mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/BOOT/BOOTX64.EFI
    mcopy -i "$esp" "$shim/shimx64.efi.signed" ::EFI/debian/shimx64.efi
    mcopy -i "$esp" "$work/find-root.cfg" ::EFI/debian/grub.cfg
}

# Installs GRUB for BIOS as grub-bios-setup would, which can only write to a disk whose file system is mounted: its
# first sector learns where the second is (boot.img 0x5c), and not to doubt the drive that the BIOS names (0x66);
# the second where the rest is (diskboot.img 0x1f4). Offsets: GRUB 2.06, include/grub/i386/pc/boot.h.
install_bios_grub() {
    local core=$work/core.img grub=$root/usr/lib/grub/i386-pc
    cp "$work/find-root.cfg" "$root/tmp/find-root.cfg"
    chroot "$root" grub-mkimage -O i386-pc -o /tmp/core.img -c /tmp/find-root.cfg -p /boot/grub \
        biosdisk part_gpt ext2 search_fs_uuid configfile normal linux probe minicmd boot echo
    mv "$root/tmp/core.img" "$core"
    rm "$root/tmp/find-root.cfg"
    [ "$(stat -c %s "$core")" -le $(((ESP_START - GRUB_START) * SECTOR)) ] || die "GRUB is larger than its partition"
    [ "$GRUB_START" -eq 2048 ] || die "the bytes below say sector 2048"
    poke "$core" $((0x1f4)) '\x01\x08\x00\x00\x00\x00\x00\x00'
    dd if="$grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
    poke "$disk" $((0x5c)) '\x00\x08\x00\x00\x00\x00\x00\x00'
    poke "$disk" $((0x66)) '\x90\x90'
    dd if="$core" of="$disk" bs=$SECTOR seek="$GRUB_START" conv=notrunc status=none
}

recipe_hash=$(find "$recipe" \( -type f -o -type l \) -print0 | LC_ALL=C sort -z | xargs -0 tar -c --mtime=@0 | b3sum --no-names)
if [ -f "$output" ] && [ "$recipe_hash" = "$(cat "$output.recipe" 2>/dev/null)" ]; then exit; fi

[ "$(id -u)" -eq 0 ] || die "building a system takes root"
umask 022
rm -rf "$work"
mkdir -p "$work"
root_uuid=$(cat /proc/sys/kernel/random/uuid)
esp_id=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ' | tr a-f A-F)
cat >"$work/find-root.cfg" <<CFG
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
configfile (\$root)/boot/grub/grub.cfg
CFG

say "installing Debian"
install_system
configure_system
say "putting the disk together"
partition_disk
fill_esp
install_bios_grub
mkfs.ext4 -q -F -L debian -U "$root_uuid" -E "offset=$((ROOT_START * SECTOR))" -d "$root" \
    "$disk" $(((ROOT_END - ROOT_START) / 2))k
mv "$disk" "$output"
printf '%s\n' "$recipe_hash" >"$output.recipe"
rm -rf "$work"
say "$output: $(du -k --apparent-size "$output" | cut -f1) KiB, of which $(du -k "$output" | cut -f1) KiB are used"
