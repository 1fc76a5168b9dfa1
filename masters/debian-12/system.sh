# shellcheck shell=bash
# The system that stands on every disk: installed once, copied and completed for each layout.

readonly SYSTEM=$WORK/system
readonly PACKAGES=systemd-sysv,udev,kmod,initramfs-tools,zstd,linux-image-cloud-amd64,iproute2,shim-signed,grub-efi-amd64-signed,grub-pc-bin,grub2-common
# What layouts add to it. Fetched once, with the rest.
readonly LAYOUT_PACKAGES='lvm2 xfsprogs btrfs-progs'
# Nobody reads manuals on a disk that is there to be copied. dpkg insists on the changelogs of libraries that it could
# install for two architectures, so those stay.
readonly DPKG_OPTIONS='path-exclude=/usr/share/doc/* path-include=/usr/share/doc/*/changelog.Debian.*
    path-exclude=/usr/share/man/* path-exclude=/usr/share/info/* path-exclude=/usr/share/locale/*'

install_system() {
    local options=() option
    set -f
    for option in $DPKG_OPTIONS; do options+=(--dpkgopt="$option"); done
    set +f
    mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" "${options[@]}" --skip=cleanup/apt \
        --essential-hook="cp -rT $RECIPE/files/etc/initramfs-tools \"\$1/etc/initramfs-tools\"" \
        --essential-hook="cp $RECIPE/files/etc/kernel-img.conf \"\$1/etc\"" \
        --customize-hook="chroot \"\$1\" apt-get -qq clean" \
        --customize-hook="chroot \"\$1\" apt-get -qq --yes --no-install-recommends --download-only install $LAYOUT_PACKAGES" \
        bookworm "$SYSTEM"
}

configure_system() {
    cp -rT --preserve=mode,links "$RECIPE/files" "$root"
    echo debian-master >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 debian-master\n' >"$root/etc/hosts"
    fstab >"$root/etc/fstab"
    printf 'UUID=%s /boot/efi vfat umask=0077 0 1\n' "${esp_id:0:4}-${esp_id:4}" >>"$root/etc/fstab"
    mkdir -p "$root/boot/efi"
    write_grub_configuration
    echo root:mimeo | chroot "$root" chpasswd
    # Empty, not absent: every copy gives itself an identity at its first boot, without being asked questions.
    : >"$root/etc/machine-id"
}

# Installs what the layout needs to find its root file system. The packages have the initramfs built anew, with the
# layout's modules and the checker that its fstab asks for.
add_packages() {
    [ ${#packages[@]} -gt 0 ] || return 0
    printf '%s\n' "${modules[@]}" >>"$root/etc/initramfs-tools/modules"
    mount -t proc proc "$root/proc"
    DEBIAN_FRONTEND=noninteractive chroot "$root" \
        apt-get -qq --yes --no-install-recommends --no-download install "${packages[@]}" >"$work/apt.log" 2>&1 \
        || die "installing ${packages[*]}: $(cat "$work/apt.log")"
    umount "$root/proc"
}

clean_system() {
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/var/log/*.log "$root"/var/lib/dbus/machine-id
}
