# shellcheck shell=bash disable=SC2034
# One ext4, as installers make it where nobody asks for more.

readonly ROOT_MIB=3005
disk_mib=3072
partitions=(-n "3:${SYSTEM_START_MIB}M:+${ROOT_MIB}M" -t 3:8304 -c 3:'Debian')
boot_folder=/boot
grub_reads=ext2
kernel_root="root=UUID=$root_uuid"

fstab() { printf 'UUID=%s / ext4 errors=remount-ro 0 1\n' "$root_uuid"; }

write_volumes() { make_ext4 debian "$root_uuid" "$root" "$SYSTEM_START_MIB" "$ROOT_MIB"; }
