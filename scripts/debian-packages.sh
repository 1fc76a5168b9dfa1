# shellcheck shell=bash
# Debian packages as a source of files: sourced by the recipes, which then take what they need from a package's
# unpacked tree.
#
# Trust: `apt-get download` refuses what is not covered by the signed package lists. No version is named anywhere, so
# a security update replaces the old package without an edit here; what was taken is recorded in the manifest.

# apt says "Candidat" where people speak French, and what it says is read here.
export LC_ALL=C

# Lists older than this are fetched again: Debian removes a superseded kernel from the mirrors within days.
readonly PACKAGE_LISTS_MAX_AGE_MINUTES=1440

# When they were fetched. The dates of the lists themselves are the mirror's, and may be months old.
readonly PACKAGE_LISTS_STAMP=build/packages/.lists-fetched

# Ends a recipe whose package lists name files that the mirror no longer has (EX_TEMPFAIL of sysexits.h): with new
# lists it may succeed, but then all that it learned from the old ones is void (scripts/build-artefacts.sh).
readonly LISTS_ARE_STALE=75

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
say() { printf '%s: %s\n' "${0##*/}" "$*"; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

package_lists() {
    local folder
    eval "$(apt-config shell folder Dir::State::lists/d)"
    find "$folder" -maxdepth 1 -name '*Packages*' -print -quit
}

# Fetches apt's package lists if there are none or they are old; at once, if forced. Old lists are better than none: a
# machine without network can still build from them.
refresh_package_lists() {
    local fresh
    fresh=$(find "$PACKAGE_LISTS_STAMP" -mmin "-$PACKAGE_LISTS_MAX_AGE_MINUTES" 2>/dev/null || true)
    [ -n "$fresh" ] && [ -n "$(package_lists)" ] && [ "${1:-}" != force ] && return
    say "fetching Debian's package lists"
    if as_root apt-get -qq update; then
        mkdir -p "${PACKAGE_LISTS_STAMP%/*}"
        touch "$PACKAGE_LISTS_STAMP"
        return
    fi
    [ -n "$(package_lists)" ] \
        || die "apt-get update failed and there are no package lists: check the network and /etc/apt/sources.list"
    say "apt-get update failed: going on with the lists that are there"
}

# Prints the version that apt would install.
package_version() {
    local version
    version=$(apt-cache policy "$1" | awk '/^  Candidate:/ { print $2 }')
    case "$version" in
        '' | '(none)') die "Debian package '$1' is not available: check /etc/apt/sources.list (Debian 12, section main)" ;;
    esac
    printf '%s\n' "$version"
}

# Prints the package with the signed kernel that a meta-package such as linux-image-amd64 stands for today.
kernel_package() {
    local package
    package_version "$1" >/dev/null
    package=$(apt-cache depends --important "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
    [ -n "$package" ] || die "Debian package '$1' names no kernel package"
    printf '%s\n' "$package"
}

# Downloads one package into the current folder.
download_package() {
    apt-get -qq -o APT::Sandbox::User=root download "$1" && return
    say "Debian package '$1' could not be downloaded" >&2
    exit "$LISTS_ARE_STALE"
}

# Unpacks one package into a folder of its own under build/packages, unless that version already is there, and sets
# `package_tree` (the folder) and `package_origin` (package and version, as the manifest records them).
declare -A unpacked_trees unpacked_origins
unpack_package() {
    local package=$1 version work
    if [ -z "${unpacked_trees[$package]:-}" ]; then
        version=$(package_version "$package")
        unpacked_trees[$package]=build/packages/${package}_${version//:/%3a}
        unpacked_origins[$package]="$package $version"
    fi
    package_tree=${unpacked_trees[$package]}
    package_origin=${unpacked_origins[$package]}
    [ -d "$package_tree" ] && return
    mkdir -p build/packages
    rm -rf "build/packages/${package}_"* "build/packages/.$package".*
    work=$(mktemp -d "build/packages/.$package.XXXXXX")
    (cd "$work" && download_package "$package")
    dpkg-deb -x "$work"/*.deb "$work/tree"
    chmod 755 "$work/tree"
    mv "$work/tree" "$package_tree"
    rm -rf "$work"
}

# Removes what was unpacked of packages that this recipe did not ask for: kernels of other days, by other names.
forget_other_packages() {
    local tree
    for tree in build/packages/*/; do
        case " ${unpacked_trees[*]} " in
            *" ${tree%/} "*) ;;
            *) rm -rf "$tree" ;;
        esac
    done
}
