#!/bin/bash
# Takes the boot loaders and the kernel out of Debian's packages into build/artefacts.
#
# Nothing here is built or changed: Secure Boot accepts these files because of the signatures in them
# (docs/adr/0008-boot-artefacts-from-debian-packages.md). Run again, it does nothing until Debian publishes a new
# version of one of the packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

artefacts=build/artefacts
kernel=

# What is taken: name here, package, path in the package. One line per artefact.
list_artefacts() {
    cat <<LIST
undionly.kpxe      ipxe                   usr/lib/ipxe/undionly.kpxe
snponly.efi        ipxe                   usr/lib/ipxe/snponly.efi
shimx64.efi        shim-signed            usr/lib/shim/shimx64.efi.signed
grubx64.efi        grub-efi-amd64-signed  usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed
grub-disk-x64.efi  grub-efi-amd64-signed  usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed
memtest.bin        memtest86+             boot/memtest86+x64.bin
memtest.efi        memtest86+             boot/memtest86+x64.efi
vmlinuz            $kernel                boot/vmlinuz-${kernel#linux-image-}
LIST
}

# Puts one file into the artefacts, with a note of where it comes from. The manifest goes first: from here until
# manifest.sh has run again, nobody can mistake the folder for a complete set.
place_artefact() {
    local name=$1 package=$2 path=$3 source
    unpack_package "$package"
    source=$package_tree/$path
    [ -f "$source" ] || die "Debian package '$package_origin' has no /$path"
    if [ "$package_origin" = "$(cat "$artefacts/.origin/$name" 2>/dev/null)" ] && cmp -s "$source" "$artefacts/$name"; then
        return
    fi
    rm -f "$artefacts/manifest.json"
    install -m 644 "$source" "$artefacts/.$name.new"
    mv "$artefacts/.$name.new" "$artefacts/$name"
    printf '%s\n' "$package_origin" >"$artefacts/.origin/$name"
    say "$name from $package_origin"
}

refresh_package_lists
kernel=$(kernel_package linux-image-amd64)
mkdir -p "$artefacts/.origin"
while read -r name package path; do
    place_artefact "$name" "$package" "$path"
done < <(list_artefacts)
forget_other_packages
