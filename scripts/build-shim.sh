#!/usr/bin/env bash
# Compiles native/shim.c into a folder, under the name of each plugin by hard link:
#
#   scripts/build-shim.sh <folder> [more options of the compiler]
#
# Static, so that it runs on any host: linked with musl if the machine has it (21 KB), else with the system's libc (680 KB).
# The same source gives the same bytes. See docs/decisions/0008-shim.md for the options.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

out=$1
shift
plugins=$(node scripts/plugin-names.ts)
compiler=${CC:-$(command -v musl-gcc || command -v cc)}
warnings=(-Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla
  -Wformat=2 -Wcast-qual -Wcast-align -Wwrite-strings -Wnull-dereference -Wswitch-enum)
hardening=(-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fno-pie -no-pie
  -Wl,-z,relro,-z,now,-z,noexecstack)
size=(-Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -Wl,--gc-sections,--build-id=none -s)

mkdir -p "$out"
"$compiler" -std=c11 "${warnings[@]}" "${hardening[@]}" "${size[@]}" -static "$@" native/shim.c -o "$out/.shim"
for plugin in $plugins; do
  ln -f "$out/.shim" "$out/$plugin"
done
rm "$out/.shim"
