#!/bin/bash
# Puts peers of the bench into build/peers that cannot be installed: Debian's atftpd and tftpd-hpa exclude each other.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

refresh_package_lists
mkdir -p build/peers
unpack_package atftpd
install -m 755 "$package_tree/usr/sbin/atftpd" build/peers/atftpd
unpack_package time
install -m 755 "$package_tree/usr/bin/time" build/peers/time
