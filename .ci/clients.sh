#!/usr/bin/env bash
# Brings clients of etcd that are written in other languages into .cache/clients: etcd3 from npm, and
# aetcd from PyPI. What is there already is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=$PWD/.cache/clients
npm_client=etcd3 npm_version=1.1.2
pypi_client=aetcd pypi_version=1.0.0

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
debian() {
    local what=$1
    shift
    if ! has apt-get || [ "$(id -u)" -ne 0 ]; then
        fail "$what is missing; as root: apt-get install $* (or your system's equivalent)"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get install $* failed"
}

mkdir -p "$dir"
if ! grep -qs "\"version\": \"$npm_version\"" "$dir/npm/node_modules/$npm_client/package.json"; then
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
printf 'setup: clients: %s %s from npm, %s %s from PyPI\n' \
    "$npm_client" "$npm_version" "$pypi_client" "$pypi_version"
