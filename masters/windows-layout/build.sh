#!/bin/bash
# Builds build/masters/windows-layout.raw: a disk laid out as Windows Setup does it, with a Windows-like tree in its NTFS
# volume (tree.py), and windows-layout.files, the listing of that tree with hashes. Nothing of Windows is in it, and it
# does not boot.
#
# ntfs-3g mounts inside the namespaces below, which end with this script however it ends.
set -euo pipefail
[ -n "${MIMEO_ISOLATED:-}" ] \
    || MIMEO_ISOLATED=1 exec unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
cd "$(dirname "$0")/../.."
. scripts/debian-packages.sh

readonly MIB=$((1 << 20))
# In MiB, as Windows 11 Setup does it on a small disk: ESP, MSR without a file system, Windows, recovery.
readonly ESP_START=1 ESP_MIB=100 MSR_MIB=16 WINDOWS_MIB=900 RECOVERY_MIB=500
readonly MSR_START=$((ESP_START + ESP_MIB))
readonly WINDOWS_START=$((MSR_START + MSR_MIB))
readonly RECOVERY_START=$((WINDOWS_START + WINDOWS_MIB))
readonly DISK_MIB=$((RECOVERY_START + RECOVERY_MIB + 1))
readonly RECOVERY_TYPE=de94bba4-06d1-4d40-a16a-bfd50179d6ac
# Attribute bits of a recovery partition: required by the platform (0), no drive letter (63). UEFI specification 5.3.3
# and Microsoft's PARTITION_INFORMATION_GPT.
readonly RECOVERY_ATTRIBUTES=(0 63)

recipe=masters/windows-layout
output=build/masters/windows-layout
work=build/masters/.windows-layout
disk=$work/disk.raw

# Makes an NTFS volume that believes to be where it will be: Windows' loader reads the partition's start from it.
make_ntfs() {
    local volume=$1 label=$2 start_mib=$3 size_mib=$4
    truncate -s "${size_mib}M" "$volume"
    mkntfs --quick --quiet --force --sector-size 512 --heads 255 --sectors-per-track 63 \
        --partition-start $((start_mib * MIB / 512)) --label "$label" "$volume" 2>/dev/null
}

# Mounts a volume and runs a command with the mount point as its last argument. The volume is complete when ntfs-3g
# has ended, which is later than umount's end.
with_mounted() {
    local volume=$1 ntfs3g
    shift
    mkdir -p "$work/mount"
    ntfs-3g -o no_detach,streams_interface=xattr,compression "$volume" "$work/mount" >"$work/ntfs-3g.log" 2>&1 &
    ntfs3g=$!
    until mountpoint -q "$work/mount"; do
        kill -0 "$ntfs3g" 2>/dev/null || die "ntfs-3g: $(cat "$work/ntfs-3g.log")"
        sleep 0.1
    done
    "$@" "$work/mount"
    umount "$work/mount"
    wait "$ntfs3g"
}

fill_esp() {
    local esp=$1 loader=$work/bootmgfw.efi
    truncate -s "${ESP_MIB}M" "$esp"
    mkfs.vfat -F 32 -s 1 -n SYSTEM "$esp" >/dev/null
    "$recipe/tree.py" loader "$loader"
    mmd -i "$esp" ::EFI ::EFI/Microsoft ::EFI/Microsoft/Boot ::EFI/Boot
    mcopy -i "$esp" "$loader" ::EFI/Microsoft/Boot/bootmgfw.efi
    mcopy -i "$esp" "$loader" ::EFI/Boot/bootx64.efi
}

partition_disk() {
    local bit
    truncate -s "${DISK_MIB}M" "$disk"
    sgdisk -a 2048 "$disk" \
        -n "1:${ESP_START}M:+${ESP_MIB}M" -t 1:ef00 -c '1:EFI system partition' \
        -n "2:${MSR_START}M:+${MSR_MIB}M" -t 2:0c01 -c '2:Microsoft reserved partition' \
        -n "3:${WINDOWS_START}M:+${WINDOWS_MIB}M" -t 3:0700 -c '3:Basic data partition' \
        -n "4:${RECOVERY_START}M:+${RECOVERY_MIB}M" -t "4:$RECOVERY_TYPE" >/dev/null
    for bit in "${RECOVERY_ATTRIBUTES[@]}"; do sgdisk -A "4:set:$bit" "$disk" >/dev/null; done
}

place() { dd if="$1" of="$disk" bs=1M seek="$2" conv=notrunc,sparse status=none; }

recipe_hash=$(cat "$recipe"/* | b3sum --no-names)
if [ -f "$output.raw" ] && [ "$recipe_hash" = "$(cat "$output.raw.recipe" 2>/dev/null)" ]; then exit; fi

[ "$(id -u)" -eq 0 ] || die "mounting takes root"
rm -rf "$work"
mkdir -p "$work"
fill_esp "$work/esp"
make_ntfs "$work/windows" Windows "$WINDOWS_START" "$WINDOWS_MIB"
with_mounted "$work/windows" "$recipe/tree.py" fill
with_mounted "$work/windows" "$recipe/tree.py" list >"$work/files"
make_ntfs "$work/recovery" Recovery "$RECOVERY_START" "$RECOVERY_MIB"
with_mounted "$work/recovery" "$recipe/tree.py" fill-recovery
partition_disk
place "$work/esp" "$ESP_START"
place "$work/windows" "$WINDOWS_START"
place "$work/recovery" "$RECOVERY_START"
mv "$work/files" "$output.files"
mv "$disk" "$output.raw"
printf '%s\n' "$recipe_hash" >"$output.raw.recipe"
rm -rf "$work"
say "$output.raw: $DISK_MIB MiB, of which $(du -m "$output.raw" | cut -f1) MiB are used, $(wc -l <"$output.files") names"
