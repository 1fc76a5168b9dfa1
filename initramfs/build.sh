#!/bin/bash
# Builds the two parts of the initramfs into build/artefacts (README.md tells what is in them and why).
#
#   initramfs-first.cpio.zst    the client as /init, drivers for every wired network adapter and for common disks
#   initramfs-payload.tar.zst   further drivers, file systems, tools: unpacked over / by the client
#
# Both are the same bytes when their inputs are: nothing of the clock or of the building machine gets in.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

# GRUB fetches 1 KiB per round trip: at 1 ms each, this is the twelve seconds that a person still waits for.
readonly FIRST_BYTES_MAX=12000000
# Fetched over TLS at line rate and unpacked into memory: what a PC with 1 GiB can afford.
readonly PAYLOAD_BYTES_MAX=60000000
# Slow to compress, as quick to decompress as any other: 19 is the last level whose window (8 MiB) costs no memory.
readonly ZSTD_LEVEL=19
readonly CLIENT_TARGET=x86_64-unknown-linux-musl

# What the PCs of a classroom and the usual virtual machines have. A kernel or a list that lost one of these would be
# noticed only in front of a machine that finds no network or no disk.
readonly FIRST_MUST_HAVE="e1000 e1000e igb igc ixgbe i40e ice r8169 realtek tg3 atlantic alx atl1c sky2 forcedeth
    r8152 ax88179_178a asix aqc111 cdc_ncm cdc_ether smsc75xx smsc95xx lan78xx virtio_net vmxnet3 hv_netvsc
    nvme vmd ahci ata_piix sd_mod virtio_blk virtio_scsi hv_storvsc vmw_pvscsi sdhci-pci sdhci-acpi mmc_block
    usb-storage uas xhci-pci ehci-pci usbhid hid-generic efivarfs"
readonly PAYLOAD_MUST_HAVE="megaraid_sas mpt3sas mptsas mptspi aacraid hpsa smartpqi ufshcd-pci dm-mod md-mod ext4 xfs
    btrfs vfat"

artefacts=build/artefacts
work=build/initramfs

build_client() {
    rustup target list --installed | grep -qx "$CLIENT_TARGET" || rustup target add "$CLIENT_TARGET"
    command -v musl-gcc >/dev/null || die "musl-gcc is missing: apt-get install musl-tools"
    CC_x86_64_unknown_linux_musl=musl-gcc \
        cargo build --locked --profile client --target "$CLIENT_TARGET" -p mimeo-client
    client=${CARGO_TARGET_DIR:-target}/$CLIENT_TARGET/client/mimeo-client
}

# Prints the modules that a list names, as paths below lib/modules/<version>/kernel, sorted.
listed_modules() {
    local list=$1 mode path
    while read -r path; do
        case "$path" in
            '' | '#'*) continue ;;
            -*) mode=out path=${path#-} ;;
            *) mode=in ;;
        esac
        [ -e "$modules/kernel/$path" ] || die "$list: the kernel $kernel has no $path"
        find "$modules/kernel/$path" -name '*.ko' -printf "$mode $path/%P\n"
    done <"$list" | sed 's,/$,,' | awk '{ keep[$2] = $1 } END { for (m in keep) if (keep[m] == "in") print m }' | sort
}

# Adds to the modules on standard input what they need. modprobe is asked because it knows soft dependencies (the
# PHY driver of a Realtek adapter, the CRC of a file system), which modules.dep does not tell.
with_dependencies() {
    sed 's,.*/,,; s,\.ko$,,' \
        | xargs modprobe -C /dev/null -d "$kernel_tree" -S "$kernel" --all --show-depends \
        | sed -n "s,^insmod .*/lib/modules/$kernel/kernel/\([^ ]*\).*,\1,p" | sort -u
}

# Refuses a list of module paths (standard input) that lacks one of the modules named.
check_modules() {
    local paths module
    paths=$(cat)
    for module in $1; do
        grep -q "/$module\.ko$" <<<"$paths" || die "the initramfs would lack the kernel module $module"
    done
}

# Copies modules into a tree and writes the indexes (dependencies, aliases) of all modules that are there then.
install_modules() {
    local tree=$1/lib/modules/$kernel list=$2
    mkdir -p "$tree/kernel"
    (cd "$modules/kernel" && cpio --quiet -pdm "$OLDPWD/$tree/kernel") <"$list"
    cp "$modules/modules.builtin" "$modules/modules.builtin.modinfo" "$modules/modules.order" "$tree/"
    depmod -b "$1" "$kernel"
    # The client reads the text files; the others are the same for modprobe, or for symbols of development.
    rm -f "$tree"/*.bin "$tree"/modules.{order,builtin.modinfo,symbols,devname}
}

build_first() {
    local tree=$work/first
    mkdir -p "$tree"/{dev,etc/mimeo,proc,root,run,sys,tmp}
    install -m 755 "$client" "$tree/init"
    install_modules "$tree" "$work/modules.first"
    find "$tree" -exec touch -h -d @0 {} +
    (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible) \
        | zstd -q -T0 "-$ZSTD_LEVEL" -c
}

# Asks apt about the packages of the tools and everything they depend on, as if for an empty machine.
apt_for_tools() {
    mkdir -p "$work/packages/partial" "$work/no-packages/partial"
    : >"$work/no-status"
    sed -n 's/^\([a-z0-9][^ ]*\) .*/\1/p' initramfs/tools.payload | sort -u \
        | xargs apt-get -qq -y --no-install-recommends -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
            -o Dir::State::status="$PWD/$work/no-status" "$@" install
}

# Prints the file names of those packages. apt names only what it would still have to download.
tool_packages() {
    apt_for_tools --print-uris -o Dir::Cache::archives="$PWD/$work/no-packages/" \
        | sed 's/.* \([^ ]*\.deb\) .*/\1/' | sort
}

# Runs a program with a folder for its root. Who builds need not be root.
in_root() { if [ "$(id -u)" -eq 0 ]; then chroot "$@"; else unshare --map-root-user chroot "$@"; fi; }

# Copies each tool and the libraries that its own dynamic loader finds for it.
install_tools() {
    local tree=$1 root=$work/tools tool deb loader=/lib64/ld-linux-x86-64.so.2
    rm -rf "$root"
    mkdir -p "$root"
    apt_for_tools --download-only -o Dir::Cache::archives="$PWD/$work/packages/" || exit "$LISTS_ARE_STALE"
    tool_packages | while read -r deb; do
        dpkg-deb -x "$work/packages/$deb" "$root"
    done
    awk '!/^#/ && NF { print $2 }' initramfs/tools.payload | while read -r tool; do
        [ -x "$root$tool" ] || die "initramfs/tools.payload: no package has $tool"
        printf '%s\n' "$tool" "$loader"
        in_root "$root" "$loader" --list "$tool" | sed -n 's/^.* => \(\/[^ ]*\) .*/\1/p'
    done | sort -u >"$work/tools.list"
    sed 's,^/,,' "$work/tools.list" | (cd "$root" && cpio --quiet -pdmL "$OLDPWD/$tree")
}

build_payload() {
    local tree=$work/payload
    mkdir -p "$tree"
    install_modules "$tree" "$work/modules.all"
    (cd "$tree/lib/modules/$kernel/kernel" && xargs rm) <"$work/modules.first"
    install_tools "$tree"
    tar -C "$tree" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | zstd -q -T0 "-$ZSTD_LEVEL" -c
}

# Builds one part unless its inputs (standard input) are those of last time, and refuses one that grew too large.
build_part() {
    local name=$1 bytes_max=$2 builder=$3 origin bytes
    origin="mimeo-client $version $kernel_origin $(b3sum --no-names)"
    [ -f "$artefacts/$name" ] && [ "$origin" = "$(cat "$artefacts/.origin/$name" 2>/dev/null)" ] && return
    rm -f "$artefacts/manifest.json"
    rm -rf "$work/first" "$work/payload"
    "$builder" >"$work/$name"
    bytes=$(stat -c %s "$work/$name")
    [ "$bytes" -le "$bytes_max" ] || die "$name has $bytes bytes, more than $bytes_max"
    mv "$work/$name" "$artefacts/$name"
    printf '%s\n' "$origin" >"$artefacts/.origin/$name"
    say "$name: $bytes bytes"
}

refresh_package_lists
mkdir -p "$artefacts/.origin" "$work"
package=$(kernel_package linux-image-amd64)
unpack_package "$package"
kernel=${package#linux-image-}
kernel_tree=$package_tree
kernel_origin=${package_origin// /_}
modules=$kernel_tree/lib/modules/$kernel
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# The package has no index of its modules: its installation makes it.
[ -e "$modules/modules.dep.bin" ] || depmod -b "$kernel_tree" "$kernel"
listed_modules initramfs/modules.first | with_dependencies >"$work/modules.first"
listed_modules initramfs/modules.payload | with_dependencies | sort -u - "$work/modules.first" >"$work/modules.all"
check_modules "$FIRST_MUST_HAVE" <"$work/modules.first"
check_modules "$PAYLOAD_MUST_HAVE" <"$work/modules.all"

build_client
cat "$client" "$work/modules.first" initramfs/build.sh >"$work/first.inputs"
build_part initramfs-first.cpio.zst "$FIRST_BYTES_MAX" build_first <"$work/first.inputs"
tool_packages | cat "$work/modules.all" "$work/modules.first" initramfs/{tools.payload,build.sh} - >"$work/payload.inputs"
build_part initramfs-payload.tar.zst "$PAYLOAD_BYTES_MAX" build_payload <"$work/payload.inputs"
