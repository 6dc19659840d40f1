#!/usr/bin/env bash
# Brings what the build and the tests need, or says what to install.
#
#   .ci/setup.sh build      a Rust toolchain, a C linker, protoc, the crates
#   .ci/setup.sh playground that without protoc, the wasm target, wasm-opt
#   .ci/setup.sh test       all that, and clippy, rustfmt, the wasm targets, the oldest Rust, etcd, other
#                           clients, a browser, cargo-fuzz
#
# Where it is root on a Debian-like machine it installs packages; otherwise it installs nothing and
# one line says what is missing. What is there already is kept. Each thing done is one line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p .cache

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# debian WHAT PACKAGE..: installs Debian packages, or fails with the line to type.
debian() {
    local what=$1
    shift
    if ! has apt-get || [ "$(id -u)" -ne 0 ]; then
        fail "$what is missing; as root: apt-get install $* (or your system's equivalent)"
    fi
    say "$what is missing: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # A foreign source that is down is no reason to stop: the installation decides.
    apt-get -qq update || say "apt-get update had failures; going on"
    apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get install $* failed"
}

bring_rust() {
    if ! has cargo && [ -r "$HOME/.cargo/env" ]; then
        fail "cargo is installed but not in PATH: . \"\$HOME/.cargo/env\""
    fi
    has cargo || fail "Rust is missing: install it with rustup (https://rustup.rs), 1.88 or newer"
    has cc || debian "a C linker" gcc libc6-dev
    local have want
    have=$(rustc --version) || fail "rustc does not run; with rustup: rustup toolchain install stable"
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    printf '%s\n%s\n' "$want" "$(cut -d' ' -f2 <<<"$have")" | sort -CV ||
        fail "$have is older than $want: rustup update stable"
    say "$have"
}

# Whether a protoc can compile what imports protobuf's own files; it must find those too.
protoc_works() {
    local dir
    dir=$(mktemp -d)
    printf 'syntax = "proto3";\nimport "google/protobuf/descriptor.proto";\n' >"$dir/probe.proto"
    "$1" -I"$dir" --descriptor_set_out=/dev/null "$dir/probe.proto" 2>/dev/null
    local status=$?
    rm -rf "$dir"
    return $status
}

# The etcd client's build compiles etcd's own protocol files, by protoc.
bring_protoc() {
    rm -f .cache/env
    local system=${PROTOC:-protoc}
    if protoc_works "$system"; then
        say "$("$system" --version)"
        return
    fi
    [ -z "${PROTOC:-}" ] || fail "PROTOC=$PROTOC does not work, or lacks its include files"
    if has apt-get && [ "$(id -u)" -eq 0 ]; then
        debian "protoc" protobuf-compiler libprotobuf-dev
        protoc_works protoc || fail "protoc was installed and does not work"
        say "$(protoc --version)"
        return
    fi
    vendored_protoc || fail "protoc (with its include files) is missing; as root: apt-get install \
protobuf-compiler libprotobuf-dev, or set PROTOC to one"
}

# Without root: a crate carries protoc as a file. Cargo fetches it, nothing of it is built.
vendored_protoc() {
    [ "$(uname -sm)" = "Linux x86_64" ] || return 1
    local name=protoc-bin-vendored-linux-x86_64 version=3.3.0 dir=$PWD/.cache/protoc
    if ! protoc_works "$dir/bin/protoc"; then
        say "protoc is missing: taking the one that the crate $name carries"
        mkdir -p "$dir/carrier/src"
        : >"$dir/carrier/src/lib.rs"
        printf '[package]\nname = "carrier"\nedition = "2024"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
            "$name" "$version" >"$dir/carrier/Cargo.toml"
        cargo fetch -q --manifest-path "$dir/carrier/Cargo.toml" || return 1
        local found
        found=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -type d \
            -name "$name-$version" -print -quit)
        [ -n "$found" ] || return 1
        cp -r "$found/bin" "$found/include" "$dir/"
        chmod +x "$dir/bin/protoc"
        protoc_works "$dir/bin/protoc" || return 1
    fi
    printf 'export PROTOC=%q\n' "$dir/bin/protoc" >.cache/env
    say "$("$dir/bin/protoc" --version) in .cache/protoc"
}

bring_crates() {
    say "fetching crates"
    cargo fetch -q ${CI:+--locked} || fail "the crates could not be fetched, or Cargo.lock is out of date"
    if [ "$1" = test ]; then
        for apart in tests/madsim fuzz; do
            cargo fetch -q ${CI:+--locked} --manifest-path $apart/Cargo.toml ||
                fail "the crates of $apart could not be fetched, or its Cargo.lock is out of date"
        done
    fi
}

# What makes the playground. Its build says so if the target cannot be had.
bring_playground() {
    bring_target wasm32-unknown-unknown
    if ! has wasm-opt && has apt-get && [ "$(id -u)" -eq 0 ]; then
        (debian "wasm-opt" binaryen) || say "going on without"
    fi
    if has wasm-opt; then
        say "$(wasm-opt --version)"
    else
        say "no wasm-opt: the playground gets larger; as root: apt-get install binaryen"
    fi
}

bring_target() {
    [ ! -d "$(rustc --print sysroot)/lib/rustlib/$1" ] || return 0
    if has rustup; then
        rustup -q target add "$1" || say "rustup target add $1 failed"
    else
        say "no rustup: the target $1 cannot be had"
    fi
}

# What the checks use. What cannot be had is left out, and the table of `make test` says so.
bring_tools() {
    for component in clippy rustfmt; do
        has "cargo-$component" || has "$component" || has rustup || fail "$component is missing"
        cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 ||
            rustup -q component add "$component" || fail "rustup component add $component failed"
    done
    bring_target wasm32-wasip1
    if has rustup; then
        local msrv
        msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml).0
        rustup toolchain list | grep -q "^$msrv-" ||
            rustup -q toolchain install "$msrv" --profile minimal ||
            say "rustup toolchain install $msrv failed"
    else
        say "no rustup: the oldest Rust cannot be had"
    fi
    cargo nextest --version >/dev/null 2>&1 || say "no cargo-nextest: cargo test runs the tests"
}

# What runs the fuzz targets. Without it their stored inputs are run all the same.
bring_fuzz() {
    if ! has c++ && has apt-get && [ "$(id -u)" -eq 0 ]; then
        (debian "a C++ compiler" g++) || say "going on without"
    fi
    if ! has c++; then
        say "no C++ compiler, which libFuzzer needs: nothing is fuzzed; as root: apt-get install g++"
        return
    fi
    if ! cargo fuzz --version >/dev/null 2>&1; then
        say "cargo-fuzz is missing: building it"
        cargo install -q cargo-fuzz --locked || true
    fi
    say "$(cargo fuzz --version 2>/dev/null || echo "no cargo-fuzz: nothing is fuzzed")"
}

# Clients of etcd that are written in other languages: one from npm, one from PyPI.
bring_clients() {
    local dir=$PWD/.cache/clients
    local npm_client=etcd3 npm_version=1.1.2 pypi_client=aetcd pypi_version=1.0.0
    mkdir -p "$dir"
    if ! has_npm "$dir/npm" "$npm_client" "$npm_version"; then
        { has node && has npm; } || debian "node" nodejs npm
        npm install --prefix "$dir/npm" --no-audit --no-fund --loglevel=error \
            "$npm_client@$npm_version" >/dev/null ||
            fail "npm install $npm_client@$npm_version failed"
    fi
    if ! "$dir/pypi/bin/python" -c "import $pypi_client" 2>/dev/null; then
        rm -rf "$dir/pypi"
        python3 -c 'import ensurepip' 2>/dev/null || debian "python3 with its venv" python3 python3-venv
        python3 -m venv "$dir/pypi" || fail "python3 -m venv failed"
        "$dir/pypi/bin/pip" install -q --disable-pip-version-check "$pypi_client==$pypi_version" ||
            fail "pip install $pypi_client==$pypi_version failed"
    fi
    say "clients: $npm_client $npm_version from npm, $pypi_client $pypi_version from PyPI"
}

# A browser, what drives it, and what looks at a page as those do who cannot see it. Without one the
# table of `make test` says so.
bring_browser() {
    local dir=$PWD/.cache/browser
    local driver=playwright-core driver_version=1.65.1 eyes=axe-core eyes_version=4.14.1
    if ! node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null; then
        say "no node 20 or newer: the playground is not tested in a browser"
        return
    fi
    if ! has chromium && has apt-get && [ "$(id -u)" -eq 0 ]; then
        (debian "chromium" chromium fonts-dejavu-core) || say "going on without"
    fi
    if ! has chromium; then
        say "no chromium: the playground is not tested in one; as root: apt-get install chromium fonts-dejavu-core"
        return
    fi
    if ! has_npm "$dir" "$driver" "$driver_version" || ! has_npm "$dir" "$eyes" "$eyes_version"; then
        npm install --prefix "$dir" --no-audit --no-fund --loglevel=error \
            "$driver@$driver_version" "$eyes@$eyes_version" >/dev/null ||
            fail "npm install $driver@$driver_version $eyes@$eyes_version failed"
    fi
    say "browser: $(chromium --version 2>/dev/null | head -1), $driver $driver_version, $eyes $eyes_version"
}

# has_npm FOLDER PACKAGE VERSION
has_npm() { grep -qs "\"version\": \"$3\"" "$1/node_modules/$2/package.json"; }

# All that the tests build takes so many GiB; a linker that runs out of room says nothing of it.
ROOM=11
check_room() {
    local target=${CARGO_TARGET_DIR:-$PWD/target} free taken
    mkdir -p "$target"
    free=$(df -Pk "$target" | awk 'END { print int($4 / 1048576) }')
    taken=$(du -sk "$target" | awk '{ print int($1 / 1048576) }')
    [ $((free + taken)) -ge $ROOM ] ||
        fail "$target may grow by $free GiB; the tests need $((ROOM - taken)) more: make room, or set \
CARGO_TARGET_DIR to where there is some"
}

case ${1:-} in
build | playground | test) ;;
*) fail "usage: .ci/setup.sh build|playground|test" ;;
esac
[ "$1" != test ] || check_room
bring_rust
[ "$1" = playground ] || bring_protoc
bring_crates "$1"
[ "$1" = build ] || bring_playground
if [ "$1" = test ]; then
    bring_tools
    bring_fuzz
    .ci/etcd.sh 3.4 3.5
    bring_clients
    bring_browser
fi
