#!/usr/bin/env bash
# rustc as cargo-fuzz calls it, but only the crates that are fuzzed count what was reached: where a
# library went is no reason to keep an input, and it would take longer to build and to run.
rustc=$1
shift
fuzzed='(core|memory|sim|wire|playground|cli|fuzz)'
[[ " $* " =~ " --crate-name portolan_"$fuzzed" " ]] && exec "$rustc" "$@"
given=()
for word in "$@"; do
    case $word in
    -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
    *) given+=("$word") ;;
    esac
done
exec "$rustc" "${given[@]}"
