#!/usr/bin/env bash
# Brings real etcd servers into .cache/etcd, for the conformance and end-to-end tests.
#
#   .ci/etcd.sh [3.4] [3.5] [late]      default: 3.4 3.5
#
# Debian packages are unpacked, nothing is installed, nothing outside .cache is touched, no root is
# needed. The mirror is the one that this machine's own apt uses ($PORTOLAN_DEBIAN_MIRROR names
# another). Afterwards:
#
#   .cache/etcd/3.4  -> 3.4.23          Debian bookworm: the oldest etcd that is supported
#   .cache/etcd/3.5  -> 3.5.16          Debian trixie: what most clusters run
#   .cache/etcd/late -> 3.5.x           Debian forky: optional, the suite moves
#
# each with `etcd` and `etcdctl`. What is there already is kept.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/etcd
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'etcd: %s\n' "$*"; }
fail() {
    printf 'etcd: %s\n' "$*" >&2
    printf 'etcd: any etcd of your own serves too: PORTOLAN_ETCD=/path/to/etcd (etcdctl beside it)\n' >&2
    exit 1
}

# The version that a binary reports, or nothing when it does not run.
version_of() { "$1" --version 2>/dev/null | sed -n 's/^etcd Version: //p'; }

# Where this machine's apt finds Debian's main archive.
mirror() {
    if [ -n "${PORTOLAN_DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "$PORTOLAN_DEBIAN_MIRROR"
        return
    fi
    # No early exit: apt-get must not die of a closed pipe under `pipefail`.
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk '/\/debian\/?$/ && !found { print; found = 1 }'
}

# fetch NAME SUITE PREFIX: unpacks the suite's etcd below .cache/etcd/VERSION, links NAME to it.
fetch() {
    local name=$1 suite=$2 prefix=$3 version work uri
    version=$(version_of "$cache/$name/etcd" || true)
    if [ -n "$version" ] && [ -x "$cache/$name/etcdctl" ]; then
        say "$name is there: $version"
        return
    fi
    for tool in apt-get dpkg; do
        command -v "$tool" >/dev/null || fail "$name: '$tool' is missing; this needs a Debian-like machine"
    done
    [ -r "$keyring" ] || fail "$name: $keyring is missing (package debian-archive-keyring)"
    uri=$(mirror)
    [ -n "$uri" ] || fail "$name: apt names no Debian mirror; set PORTOLAN_DEBIAN_MIRROR to one"

    say "$name: fetching etcd-server and etcd-client from Debian $suite"
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/out"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite" >"$work/sources.list"
    local apt=(
        apt-get -qq
        -oDir::Etc::sourcelist="$work/sources.list" -oDir::Etc::sourceparts=/dev/null
        -oDir::State::Lists="$work/lists" -oDir::State::status=/dev/null
        -oDir::Cache::archives="$work/archives" -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache=
        -oAPT::Update::Error-Mode=any -oAcquire::Languages=none -oAcquire::Retries=3 -oAPT::Sandbox::User="$(id -un)"
    )
    "${apt[@]}" update || fail "$name: apt-get update for Debian $suite failed"
    (cd "$work" && "${apt[@]}" download etcd-server etcd-client) ||
        fail "$name: Debian $suite gave no etcd-server and etcd-client"
    for package in "$work"/*.deb; do dpkg -x "$package" "$work/out"; done

    version=$(version_of "$work/out/usr/bin/etcd" || true)
    [ -n "$version" ] || fail "$name: the etcd of Debian $suite does not run on this machine"
    case $version in
    "$prefix"*) ;;
    *) fail "$name: Debian $suite now has etcd $version, wanted is $prefix*" ;;
    esac
    rm -rf "${cache:?}/$version"
    mkdir "$cache/$version"
    mv "$work/out/usr/bin/etcd" "$work/out/usr/bin/etcdctl" "$cache/$version/"
    ln -sfn "$version" "$cache/$name"
    say "$name: $version is ready"
}

mkdir -p "$cache"
# One fetch at a time; a second caller finds everything done.
if command -v flock >/dev/null; then
    exec 9>"$cache/.lock"
    flock 9
fi
trap 'rm -rf "$cache"/.fetch.*' EXIT
[ $# -gt 0 ] || set -- 3.4 3.5
for name in "$@"; do
    case $name in
    3.4) fetch 3.4 bookworm 3.4. ;;
    3.5) fetch 3.5 trixie 3.5. ;;
    # The suite is on its way to 3.6: whatever it has is welcome.
    late) fetch late forky 3. ;;
    *) fail "unknown release '$name'; there are 3.4, 3.5 and late" ;;
    esac
done
