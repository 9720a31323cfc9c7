#!/usr/bin/env bash
# Compiles the addon with the system's C compiler or CC, unless the output is up to date: build-native.sh [<output>]
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-native/build/socket.node}
sources=(native/socket.c native/process.c native/notifications.c native/memory.c)
if [[ -f $out && -z $(find "${sources[@]}" native/addon.h scripts/build-native.sh -newer "$out") ]]; then exit 0; fi
mkdir -p native/build
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
  -fPIC -fvisibility=hidden -shared -Wl,-z,relro,-z,now -s \
  -I node_modules/node-api-headers/include "${sources[@]}" -o "$out.tmp"
mv "$out.tmp" "$out"
echo "built $out"
