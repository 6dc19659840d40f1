#!/usr/bin/env bash
# The registry in a simulated network (tests/madsim). It is built apart: all of it with cfg(madsim), in
# a target folder and with a lock file of its own, so that no other build is touched.
#
#   .ci/madsim.sh test               what `make test` runs: formats, lints, stored plans, canaries, 200 seeds
#   .ci/madsim.sh seeds FROM COUNT   the plans of COUNT seeds, the first of them FROM
#   .ci/madsim.sh plan FILE..        stored plans, each twice
#   .ci/madsim.sh trace FILE         what happens in a plan, a line each
#   .ci/madsim.sh draw SEED          the plan of a seed
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ ! -r .cache/env ] || . .cache/env
target=${CARGO_TARGET_DIR:-$PWD/target}/madsim

cargo_madsim() {
    local word=$1
    shift
    RUSTFLAGS='--cfg madsim' CARGO_TARGET_DIR=$target \
        cargo "$word" -q --manifest-path tests/madsim/Cargo.toml ${CI:+--locked} "$@"
}

run() {
    cargo_madsim build
    (cd "$here" && "$target/debug/portolan-madsim" "$@")
}

# As `run`, for what takes long: optimised.
run_many() {
    cargo_madsim build --profile many
    (cd "$here" && "$target/many/portolan-madsim" "$@")
}

if [ "${1:-}" = test ]; then
    cargo fmt --manifest-path tests/madsim/Cargo.toml --check
    cargo_madsim clippy -- -D warnings
    here=$PWD
    run plan tests/madsim/plans/*.json
    run canaries
    run seeds 0 200
elif [ "${1:-}" = seeds ]; then
    run_many "$@"
else
    run "$@"
fi
