#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing. usage: tools/install.sh build|test
# As root or by sudo; without either it prints the one line to run and exits with 2.
set -euo pipefail

build="gcc libc6-dev meson ninja-build pkg-config python3-minimal libsodium-dev libssl-dev libjansson-dev libyaml-dev
       libsqlite3-dev libcsv-dev libsleef-dev libutf8proc-dev libopenmpi-dev openmpi-bin"
test="$build g++ libp11-kit-dev softhsm2 libmicrohttpd-dev libcurl4-openssl-dev libcmocka-dev libmpfr-dev bats sqlite3 openssl libasan8 libubsan1 locales python3-pip"

case "${1:-}" in
build) wanted=$build ;;
test) wanted=$test ;;
*) echo "usage: tools/install.sh build|test" >&2; exit 2 ;;
esac

missing=()
for package in $wanted; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo)
else
    echo "packages are missing; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
