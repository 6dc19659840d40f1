#!/usr/bin/env bash
# The simulator in a browser: a folder that any server of static files can serve.
#
#   .ci/playground.sh build      into target/playground: the page of playground/page, and its module
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/playground
triple=wasm32-unknown-unknown

say() { printf 'playground: %s\n' "$*"; }
fail() {
    printf 'playground: %s\n' "$*" >&2
    exit 1
}

build() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ] ||
        fail "no target $triple: rustup target add $triple"
    cargo build -q ${CI:+--locked} -p portolan-bindgen
    # As a cdylib alone: beside an rlib it is not optimised as a whole. No references to things of
    # JavaScript's: wasm-opt 108 exports the wrong table then; only strings and numbers cross, which need none.
    cargo rustc -q ${CI:+--locked} -p portolan-playground --lib --crate-type cdylib \
        --target "$triple" --profile wasm -- -C link-arg=--no-check-features \
        -C link-arg=--features=bulk-memory,bulk-memory-opt,mutable-globals,nontrapping-fptoint,sign-ext
    # What an older build left would be served too.
    rm -rf "$out"
    mkdir -p "$out"
    cp -r playground/page/. "$out/"
    "$target/debug/portolan-bindgen" "$target/$triple/wasm/portolan_playground.wasm" "$out"
    shrink "$out/portolan_bg.wasm"
    say "$(du -sk "$out" | cut -f1) KiB in $out; portolan_bg.wasm has $(size "$out/portolan_bg.wasm")"
    say "look at it with: portolan playground --dir $out   (or any server of static files)"
}

# shrink FILE: by wasm-opt, if there is one. Not by its -Oz: that leaves fewer bytes, but what it inlines
# and reorders no longer resembles what stands beside it, and gzipped it is larger.
shrink() {
    if ! command -v wasm-opt >/dev/null; then
        say "no wasm-opt (package binaryen): the module is larger without"
        return
    fi
    # What the code has in it; wasm-opt takes nothing that it is not told of.
    local knows=(bulk-memory mutable-globals nontrapping-float-to-int sign-ext)
    local passes=(duplicate-function-elimination optimize-instructions precompute rse dae-optimizing
        duplicate-function-elimination vacuum remove-unused-module-elements)
    wasm-opt "${knows[@]/#/--enable-}" -ol 2 -s 2 "${passes[@]/#/--}" "$1" -o "$1.small" \
        >"$target/wasm-opt.log" 2>&1 || fail "wasm-opt failed: $(head -1 "$target/wasm-opt.log")"
    mv "$1.small" "$1"
}

# size FILE: its bytes, and those of it on the wire.
size() { printf '%d bytes, %d gzipped' "$(wc -c <"$1")" "$(gzip -9c "$1" | wc -c)"; }

case ${1:-} in
build) build ;;
*) fail "usage: .ci/playground.sh build" ;;
esac
