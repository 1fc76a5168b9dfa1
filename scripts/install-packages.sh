#!/bin/bash
# Installs the Debian packages that building, testing and the demonstration need. Does nothing when all are there.
set -euo pipefail

packages=(
    # building: C for crates that need it, the static client, archives and hashes
    build-essential pkg-config musl-tools kmod cpio zstd b3sum python3
    grub-common grub-pc-bin grub-efi-amd64-bin
    # disks and file systems: making them, looking at them, a second opinion on them
    mmdebstrap fdisk gdisk dosfstools mtools e2fsprogs ntfs-3g partclone util-linux attr
    xfsprogs btrfs-progs exfatprogs exfat-fuse f2fs-tools lvm2 mdadm cryptsetup-bin
    # virtual PCs and their network
    qemu-system-x86 qemu-utils ovmf ipxe-qemu seabios iproute2 iputils-ping nftables busybox-static
    # real peers: DHCP servers and clients, TFTP clients and servers
    dnsmasq-base isc-dhcp-server isc-dhcp-client kea-dhcp4-server tftp-hpa tftpd-hpa atftp curl openssl
    # peers of the bench: a web server, an archiver with a chunk store
    nginx-light borgbackup
    # pages in a real browser
    chromium fonts-dejavu-core
)

# Node.js may be here from elsewhere.
command -v npm >/dev/null || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

[ "$(id -u)" -eq 0 ] || { echo "root is needed to install: ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
# A DHCP or TFTP server that came along as a peer must not start on this machine's own network.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
echo "installed: ${missing[*]}"
