#!/bin/bash
# Everything that machines boot, into build/artefacts: loaders and kernel from Debian's packages, our initramfs, and the
# list of what they are. Run again, it does only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-packages.sh

build() { ipxe/fetch.sh && ipxe/power-off.sh && initramfs/build.sh && ipxe/manifest.sh; }

status=0
build || status=$?
[ "$status" -eq "$LISTS_ARE_STALE" ] || exit "$status"
say "the package lists may be older than the mirror: once more with new ones"
refresh_package_lists force
build
