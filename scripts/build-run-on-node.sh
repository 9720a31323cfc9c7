#!/usr/bin/env bash
# Compiles native/run-on-node.c to <folder>/run-on-node. Static, as the shim is.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
. scripts/static-executables.sh

mkdir -p "$out"
"$compiler" -std=c11 "${warnings[@]}" "${hardening[@]}" "${size[@]}" -static native/run-on-node.c -o "$out/run-on-node"
