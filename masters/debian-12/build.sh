#!/bin/bash
# Builds the reference masters with a system: a small Debian 12 on disks of several layouts (layouts/NAME.sh becomes
# build/masters/NAME.raw), or of those that are named. Each boots by BIOS and by UEFI, Secure Boot included, and says MIMEO-DEMO-BOOTED <hostname>
# on its serial console. Root's password is "mimeo".
#
# A disk is put together in a file. What is mounted is so inside the namespaces below, which end with this script
# however it ends.
set -euo pipefail
[ -n "${MIMEO_ISOLATED:-}" ] \
    || MIMEO_ISOLATED=1 exec unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
cd "$(dirname "$0")/../.."
. scripts/debian-packages.sh

readonly RECIPE=masters/debian-12
readonly WORK=build/masters/.debian-12
. $RECIPE/system.sh
. $RECIPE/boot.sh
. $RECIPE/volumes.sh

# Builds the disk of one layout. In a process of its own: a layout's settings end with it.
build_layout() (
    name=$1
    work=$WORK/$name
    root=$work/root
    disk=$work/disk.raw
    output=build/masters/$name.raw
    root_uuid=$(cat /proc/sys/kernel/random/uuid)
    boot_uuid=$root_uuid
    esp_id=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ' | tr a-f A-F)
    packages=() modules=()
    mkdir -p "$work/mount"
    # shellcheck source=/dev/null
    . "$RECIPE/layouts/$name.sh"

    cp -a --reflink=auto "$SYSTEM" "$root"
    configure_system
    add_packages
    clean_system
    partition_disk
    fill_esp
    install_bios_grub
    write_volumes
    mv "$disk" "$output"
    printf '%s\n' "$recipe_hash" >"$output.recipe"
    rm -rf "$work"
    say "$output: $(du -m --apparent-size "$output" | cut -f1) MiB, of which $(du -m "$output" | cut -f1) MiB are used"
)

recipe_hash=$(find "$RECIPE" \( -type f -o -type l \) -print0 | LC_ALL=C sort -z | xargs -0 tar -c --mtime=@0 | b3sum --no-names)
[ $# -gt 0 ] || set -- $(basename -s .sh "$RECIPE"/layouts/*.sh)
outdated=()
for name in "$@"; do
    [ -f "build/masters/$name.raw" ] && [ "$recipe_hash" = "$(cat "build/masters/$name.raw.recipe" 2>/dev/null)" ] \
        || outdated+=("$name")
done
[ ${#outdated[@]} -gt 0 ] || exit 0

[ "$(id -u)" -eq 0 ] || die "building a system takes root"
umask 022
rm -rf "$WORK"
mkdir -p "$WORK"
say "installing Debian"
install_system
for name in "${outdated[@]}"; do
    say "putting $name together"
    build_layout "$name"
done
rm -rf "$WORK"
