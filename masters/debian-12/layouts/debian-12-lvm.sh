# shellcheck shell=bash disable=SC2034
# LVM as Debian's installer sets it up: /boot outside, a volume group with root and swap in it; here the root is XFS.
#
# The volumes are never activated: a kernel without device-mapper can build them, and no volume of the building machine
# is ever looked at. What belongs into one is put where the group's account of its extents says that it lies.

readonly BOOT_MIB=96 GROUP_MIB=813 ROOT_MIB=720 SWAP_MIB=64
readonly GROUP=debian-vg
disk_mib=976
boot_start_mib=$SYSTEM_START_MIB
group_start_mib=$((boot_start_mib + BOOT_MIB))
partitions=(-n "3:${boot_start_mib}M:+${BOOT_MIB}M" -t 3:8300 -c 3:'Boot'
    -n "4:${group_start_mib}M:+${GROUP_MIB}M" -t 4:8e00 -c 4:'LVM')
packages=(lvm2 xfsprogs)
modules=(dm_mod xfs)
boot_uuid=$(cat /proc/sys/kernel/random/uuid)
swap_uuid=$(cat /proc/sys/kernel/random/uuid)
# /boot is a file system of its own.
boot_folder=
grub_reads=ext2
# device-mapper doubles the hyphen of a name.
kernel_root="root=/dev/mapper/${GROUP/-/--}-root"

fstab() {
    printf '/dev/mapper/%s-root / xfs defaults 0 0\n' "${GROUP/-/--}"
    printf 'UUID=%s /boot ext4 defaults 0 2\n' "$boot_uuid"
    printf '/dev/mapper/%s-swap_1 none swap sw 0 0\n' "${GROUP/-/--}"
}

# Runs a command of LVM that sees one device alone and asks nothing of the kernel.
lvm_on() {
    local device=$1
    shift
    LVM_SYSTEM_DIR=$work/lvm LVM_SUPPRESS_FD_WARNINGS=1 lvm "$@" --config "
        global { activation = 0 locking_dir = \"$PWD/$work/lvm\" }
        activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
        devices { use_devicesfile = 0 obtain_device_list_from_udev = 0 filter = [ \"a|^$device\$|\", \"r|.*|\" ] }
        backup { backup = 0 archive = 0 }" 2>"$work/lvm.log" || die "lvm $*: $(cat "$work/lvm.log")"
}

# Makes the volume group in a file, and a list of its volumes with the byte at which each starts.
make_group() {
    local group=$1 list=$2 volume
    truncate -s "${GROUP_MIB}M" "$group"
    mkdir -p "$work/lvm"
    group_device=$(losetup --find --show "$group")
    trap 'losetup --detach "$group_device"' EXIT
    lvm_on "$group_device" pvcreate "$group_device" >/dev/null
    lvm_on "$group_device" vgcreate "$GROUP" "$group_device" >/dev/null
    for volume in "root --size ${ROOT_MIB}m" "swap_1 --size ${SWAP_MIB}m"; do
        # shellcheck disable=SC2086
        lvm_on "$group_device" lvcreate --activate n --zero n --wipesignatures n "$GROUP" --name $volume >/dev/null
    done
    lvm_on "$group_device" pvs --noheadings --units b --nosuffix --segments \
        -o lv_name,pe_start,vg_extent_size,pvseg_start >"$work/segments"
    awk 'NF == 4 { printf "%s %d\n", $1, $2 + $3 * $4 }' "$work/segments" >"$list"
    losetup --detach "$group_device"
    trap - EXIT
}

write_volumes() {
    local group=$work/group xfs=$work/xfs swap=$work/swap boot=$work/boot name start_bytes
    mv "$root/boot" "$boot"
    mkdir "$root/boot"
    make_ext4 boot "$boot_uuid" "$boot" "$boot_start_mib" "$BOOT_MIB"

    truncate -s "${ROOT_MIB}M" "$xfs"
    mkfs.xfs -q -L debian -m uuid="$root_uuid" "$xfs"
    mount -o loop "$xfs" "$work/mount"
    cp -a "$root/." "$work/mount"
    umount "$work/mount"
    truncate -s "${SWAP_MIB}M" "$swap"
    mkswap -q -L swap -U "$swap_uuid" "$swap"

    make_group "$group" "$work/places"
    while read -r name start_bytes; do
        case $name in
            root) place "$xfs" "$group" "$start_bytes" ;;
            swap_1) place "$swap" "$group" "$start_bytes" ;;
            *) die "a volume that was not made: $name" ;;
        esac
    done <"$work/places"
    [ "$(wc -l <"$work/places")" -eq 2 ] || die "two volumes expected: $(cat "$work/places")"
    place "$group" "$disk" $((group_start_mib * MIB))
}
