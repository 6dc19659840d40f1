#!/usr/bin/env bash
# Hostile input. The targets are built with cargo-fuzz and run one after the other; what is found on
# the way is kept below target/fuzz, what is worth keeping goes to fuzz/.
#
#   .ci/fuzz.sh test                    formats, lints, and all stored inputs; needs no cargo-fuzz
#   .ci/fuzz.sh run SECONDS [TARGET..]  each target (or these) for so long
#   .ci/fuzz.sh minimise TARGET FILE    the least that does as FILE does, to fuzz/regressions/TARGET
#   .ci/fuzz.sh gather [TARGET..]       the least that comes as far as all that was found, to fuzz/corpus
#
# With a nightly Rust there is AddressSanitizer, with any other, or with FUZZ_SANITIZER=none, there is none.
# FUZZ_SEED says where chance begins; without it, elsewhere each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ ! -r .cache/env ] || . .cache/env
target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')

# An input is small, takes no time, and needs no memory: more is a find. Long ones are tried from the
# beginning: a tape of some bytes says little.
bounds=(-max_len=4096 -len_control=0 -timeout=20 -rss_limit_mb=2048)
# A corpus that is kept has small inputs, and as few as come everywhere.
least=(-max_len=2048 -set_cover_merge=1 -use_counters=0)

toolchain=() sanitizer=none
if [ "${FUZZ_SANITIZER:-}" != none ] && cargo +nightly --version >/dev/null 2>&1; then
    toolchain=(+nightly) sanitizer=address
fi

cargo_here() {
    local word=$1
    shift
    CARGO_TARGET_DIR=$target cargo "$word" -q --manifest-path fuzz/Cargo.toml ${CI:+--locked} "$@"
}

targets() { sed -n 's|^path = "bins/\(.*\).rs"|\1|p' fuzz/Cargo.toml; }

built=$work/$sanitizer/$triple/release

build() {
    RUSTC_WRAPPER=$PWD/.ci/ours-counted.sh CARGO_TARGET_DIR=$work/$sanitizer \
        cargo "${toolchain[@]}" fuzz build --sanitizer "$sanitizer" --strip-dead-code
    cargo_here run --example seeds -- "$work/corpus"
}

stat() { sed -n "s/^stat::$2: *//p" "$1"; }

# run_one TARGET SECONDS: a line of what came of it.
run_one() {
    local name=$1 seconds=$2 log=$work/$1.log corpus status
    mkdir -p "$work/corpus/$name" "$work/found/$name"
    corpus=("$work/corpus/$name")
    [ ! -d "fuzz/corpus/$name" ] || corpus+=("fuzz/corpus/$name")
    # Memory that is not given back at the end is no find.
    ASAN_OPTIONS=detect_leaks=0 "$built/$name" "${corpus[@]}" "${bounds[@]}" \
        -seed="${FUZZ_SEED:-0}" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$work/found/$name/" >"$log" 2>&1 && status=held || status=FELL
    printf '%-8s  %-4s  %6ss  %10s executions  %6s a second  %6s edges\n' "$name" "$status" \
        "$seconds" "$(stat "$log" number_of_executed_units)" "$(stat "$log" average_exec_per_sec)" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)"
    [ "$status" = held ] && return
    grep -a -m1 -A3 -E 'panicked at|ERROR: ' "$log" || tail -20 "$log"
    printf 'kept: %s\n' "$(sed -n 's/.*written to //p' "$log" | tail -1)"
    return 1
}

run() {
    local seconds=$1 failed=0 name
    shift
    build
    printf 'with %s, sanitizer: %s\n' "$(cargo "${toolchain[@]}" --version)" "$sanitizer"
    [ $# -gt 0 ] || set -- $(targets)
    for name in "$@"; do
        run_one "$name" "$seconds" || failed=1
    done
    return $failed
}

minimise() {
    local name=$1 file=$2 kept=fuzz/regressions/$1
    build
    mkdir -p "$kept"
    cp "$file" "$work/least"
    # It ends with a failure when it can be made no smaller.
    "$built/$name" -minimize_crash=1 -max_total_time=60 -exact_artifact_path="$work/least" \
        "$file" >"$work/$name.log" 2>&1 || true
    cp "$work/least" "$kept/$(sha256sum "$work/least" | cut -c1-12)"
    ls -l "$kept"
}

gather() {
    local name
    build
    [ $# -gt 0 ] || set -- $(targets)
    for name in "$@"; do
        rm -rf "$work/least"
        mkdir -p "$work/least" "fuzz/corpus/$name"
        ASAN_OPTIONS=detect_leaks=0 "$built/$name" "${least[@]}" "$work/least" "$work/corpus/$name" \
            "fuzz/corpus/$name" >"$work/$name.log" 2>&1
        rm -rf "fuzz/corpus/$name"
        cp -r "$work/least" "fuzz/corpus/$name"
        printf '%-8s  %s inputs, %s\n' "$name" "$(ls "fuzz/corpus/$name" | wc -l)" \
            "$(du -sh "fuzz/corpus/$name" | cut -f1)"
    done
}

case ${1:-} in
test)
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo_here clippy --all-targets -- -D warnings
    cargo_here test
    ;;
run | minimise | gather) "$@" ;;
*)
    sed -n 's/^#   //p' "$0" >&2
    exit 2
    ;;
esac
