#!/bin/bash
# Makes build/artefacts/power-off.pxe and power-off.efi: a GRUB that switches the machine off and does nothing else.
#
# Debian's iPXE has no command for it. GRUB's works on every BIOS that speaks ACPI or APM and on UEFI; these images are
# not signed, and need not be: where Secure Boot is on, the menu is that of the signed GRUB, which knows how by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

artefacts=build/artefacts

# One image: name, GRUB's platform, the image's format, the package with its modules.
make_image() {
    local name=$1 platform=$2 format=$3 package=$4 origin config
    origin=$(dpkg-query -W -f '${Package} ${Version}' "$package" 2>/dev/null) \
        || die "Debian package '$package' is not installed: run scripts/install-packages.sh"
    [ "$origin" = "$(cat "$artefacts/.origin/$name" 2>/dev/null)" ] && [ -f "$artefacts/$name" ] && return
    rm -f "$artefacts/manifest.json"
    config=$(mktemp)
    echo halt >"$config"
    grub-mkimage --directory="/usr/lib/grub/$platform" --format="$format" --prefix= --config="$config" \
        --output="$artefacts/.$name.new" halt
    rm -f "$config"
    mv "$artefacts/.$name.new" "$artefacts/$name"
    printf '%s\n' "$origin" >"$artefacts/.origin/$name"
    say "$name from $origin"
}

mkdir -p "$artefacts/.origin"
make_image power-off.pxe i386-pc i386-pc-pxe grub-pc-bin
make_image power-off.efi x86_64-efi x86_64-efi grub-efi-amd64-bin
