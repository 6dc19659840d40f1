#!/usr/bin/env bash
# Breaks core and memory in some 4,500 small ways, one at a time, and runs their tests: what nobody
# notices is a test that is missing, or code that nobody needs. Takes hours, and goes on where it was left.
#
#   .ci/mutants.sh run [ARG..]   all that was not caught before; ARG goes to cargo-mutants, as -f FILE
#   .ci/mutants.sh tell          what came of it so far, and what nobody noticed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=${CARGO_TARGET_DIR:-$PWD/target}/mutants

# mutate PACKAGE ARG..: those that no run before has caught.
mutate() {
    local package=$1
    shift
    mkdir -p "$work/$package"
    # Fewer cases of each law: what one of them finds, few find.
    env -u CARGO_TARGET_DIR PROPTEST_CASES=64 INSTA_UPDATE=no NEXTEST_PROFILE=mutants \
        cargo mutants -p "$package" --output "$work/$package" --iterate --jobs 2 --profile mutants \
        --test-tool nextest "$@" || true
}

tell() {
    local package out caught missed
    for package in portolan-core portolan-memory; do
        out=$work/$package/mutants.out
        [ -d "$out" ] || continue
        caught=$(cat "$out"/{caught,timeout,previously_caught}.txt 2>/dev/null | sort -u | wc -l)
        missed=$(wc -l <"$out/missed.txt")
        printf '%s: %d caught, %d missed\n' "$package" "$caught" "$missed"
        cat "$out/missed.txt"
    done
}

run() {
    cargo mutants --version >/dev/null 2>&1 || {
        echo "no cargo-mutants: cargo install cargo-mutants --locked" >&2
        exit 1
    }
    mutate portolan-core --cargo-arg --lib "$@"
    mutate portolan-memory --cargo-arg --tests "$@"
    # Others that are written for it take long to build.
    mutate portolan-memory --cargo-arg --tests --test-package portolan-memory,portolan-wire,portolan "$@"
    tell
}

case ${1:-} in
run | tell) "$@" ;;
*)
    sed -n 's/^#   //p' "$0" >&2
    exit 2
    ;;
esac
