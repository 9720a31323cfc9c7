#!/usr/bin/env bash
# Runs tests on another kernel, of a Debian package, which qemu emulates: the kernel tier unless tests are named. Prints their TAP.
#
#   scripts/kernel.sh [--brief] [--seconds <deadline, 900>] [6.1 or 6.12] [<test file>...]
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh kernel
. scripts/environment.sh
[[ -d dist/bundle ]] || bash scripts/build.sh >&2

options=()
[[ ${1:-} != --brief ]] || { options+=("$1"); shift; }
[[ ${1:-} != --seconds ]] || { options+=("$1" "$2"); shift 2; }
series=6.1
[[ ! ${1:-} =~ ^[0-9]+\.[0-9]+$ ]] || { series=$1; shift; }
kernel=$(bash scripts/kernel/fetch.sh "$series")
exec node --disable-warning=ExperimentalWarning scripts/kernel/kernel.ts "${options[@]}" "$kernel" "$@"
