#!/bin/bash
# Everything that machines boot, into build/artefacts: loaders and kernel from Debian's packages, our initramfs, and the
# list of what they are. Run again, it does only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
ipxe/fetch.sh
ipxe/power-off.sh
initramfs/build.sh
ipxe/manifest.sh
