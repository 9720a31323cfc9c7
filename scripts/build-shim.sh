#!/usr/bin/env bash
# Compiles native/shim.c into a folder, under the name of each plugin by hard link:
#
#   scripts/build-shim.sh <folder> [more options of the compiler]
#
# Static, so that it runs on any host: linked with musl if the machine has it (25 KB), else with the system's libc (680 KB).
# The same source gives the same bytes. See docs/decisions/0008-shim.md for the options.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

out=$1
shift
plugins=$(node scripts/plugin-names.ts)
. scripts/static-executables.sh

mkdir -p "$out"
"$compiler" -std=c11 "${warnings[@]}" "${hardening[@]}" "${size[@]}" -static "$@" native/shim.c -o "$out/.shim"
for plugin in $plugins; do
  ln -f "$out/.shim" "$out/$plugin"
done
rm "$out/.shim"
