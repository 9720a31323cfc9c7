#!/usr/bin/env bash
# Compiles native/socket.c with the system's C compiler or CC, unless the output is up to date: build-native.sh [<output>]
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-native/build/socket.node}
if [[ -f $out && $out -nt native/socket.c && $out -nt scripts/build-native.sh ]]; then exit 0; fi
mkdir -p native/build
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
  -fPIC -fvisibility=hidden -shared -Wl,-z,relro,-z,now -s \
  -I node_modules/node-api-headers/include native/socket.c -o "$out.tmp"
mv "$out.tmp" "$out"
echo "built $out"
