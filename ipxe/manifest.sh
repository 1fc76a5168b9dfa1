#!/bin/bash
# Writes build/artefacts/manifest.json: every boot artefact with its length, BLAKE3 and origin.
#
# The server serves what the manifest lists and checks it against the hashes, so the manifest is written last and only
# over a complete set whose kernel and kernel modules belong together.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

artefacts=build/artefacts
names=(undionly.kpxe snponly.efi shimx64.efi grubx64.efi grub-disk-x64.efi vmlinuz
    initramfs-first.cpio.zst initramfs-payload.tar.zst memtest.bin memtest.efi
    power-off.pxe power-off.efi)

describe() {
    local name=$1 package version blake3
    [ -f "$artefacts/$name" ] || die "$artefacts/$name is missing: run ipxe/fetch.sh and initramfs/build.sh"
    read -r package version _ <"$artefacts/.origin/$name"
    blake3=$(b3sum --no-names "$artefacts/$name")
    printf '    {"name": "%s", "bytes": %d, "blake3": "%s", "package": "%s", "version": "%s"}' \
        "$name" "$(stat -c %s "$artefacts/$name")" "$blake3" "$package" "$version"
}

command -v b3sum >/dev/null || die "b3sum is missing: apt-get install b3sum"
for part in initramfs-first.cpio.zst initramfs-payload.tar.zst; do
    grep -qF " $(tr ' ' _ <"$artefacts/.origin/vmlinuz")" "$artefacts/.origin/$part" 2>/dev/null \
        || die "$part was not built for the kernel in $artefacts/vmlinuz: run initramfs/build.sh"
done

new=$artefacts/.manifest.json.new
{
    printf '{\n  "artefacts": [\n'
    separator=
    for name in "${names[@]}"; do
        printf '%s' "$separator"
        describe "$name"
        separator=$',\n'
    done
    printf '\n  ]\n}\n'
} >"$new"
if cmp -s "$new" "$artefacts/manifest.json"; then
    rm "$new"
else
    mv "$new" "$artefacts/manifest.json"
    say "$artefacts/manifest.json"
fi
