# shellcheck shell=bash disable=SC2034
# One Btrfs, compressed, the system in the subvolume @ and the homes in @home, where snapshot programs look for them.

readonly ROOT_MIB=957
disk_mib=1024
partitions=(-n "3:${SYSTEM_START_MIB}M:+${ROOT_MIB}M" -t 3:8304 -c 3:'Debian')
packages=(btrfs-progs)
modules=(btrfs)
boot_folder=/@/boot
grub_reads=btrfs
kernel_root="root=UUID=$root_uuid rootflags=subvol=@"

fstab() {
    printf 'UUID=%s / btrfs compress=zstd,subvol=@ 0 0\n' "$root_uuid"
    printf 'UUID=%s /home btrfs compress=zstd,subvol=@home 0 0\n' "$root_uuid"
}

write_volumes() {
    local volume=$work/btrfs top=$work/mount
    truncate -s "${ROOT_MIB}M" "$volume"
    # It speaks of its new defaults, however quiet it is told to be.
    mkfs.btrfs -q -L debian -U "$root_uuid" "$volume" >/dev/null
    mount -o loop,compress=zstd "$volume" "$top"
    btrfs -q subvolume create "$top/@"
    btrfs -q subvolume create "$top/@home"
    cp -a "$root/." "$top/@"
    umount "$top"
    place "$volume" "$disk" $((SYSTEM_START_MIB * MIB))
}
