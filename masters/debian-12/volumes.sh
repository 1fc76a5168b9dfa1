# shellcheck shell=bash
# Partitions, and the file systems in them.

readonly SECTOR=512 MIB=$((1 << 20))
# In sectors. A BIOS boot partition of 1 MiB, an ESP of 64 MiB, the layout's own partitions behind them; the backup GPT
# takes the last 33 sectors, and everything begins and ends on a MiB.
readonly GRUB_START=2048 ESP_START=4096 SYSTEM_START=$((4096 + 131072)) SYSTEM_START_MIB=66

# Makes the disk with its table. `partitions` are sgdisk's arguments for those of the layout.
partition_disk() {
    truncate -s "${disk_mib}M" "$disk"
    sgdisk -a 2048 "$disk" \
        -n "1:$GRUB_START:$((ESP_START - 1))" -t 1:ef02 -c 1:'BIOS boot' \
        -n "2:$ESP_START:$((SYSTEM_START - 1))" -t 2:ef00 -c 2:'EFI system' \
        "${partitions[@]}" >/dev/null
}

# Makes an ext4 with a folder's content at a place of the disk.
make_ext4() {
    local label=$1 uuid=$2 folder=$3 start_mib=$4 size_mib=$5
    mkfs.ext4 -q -F -L "$label" -U "$uuid" -E "offset=$((start_mib * MIB))" -d "$folder" "$disk" $((size_mib << 10))k
}

# Puts a volume at its place.
place() {
    local volume=$1 where=$2 start_bytes=$3
    dd if="$volume" of="$where" bs=1M seek="$start_bytes" oflag=seek_bytes conv=notrunc,sparse status=none
}
