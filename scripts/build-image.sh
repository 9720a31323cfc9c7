#!/usr/bin/env bash
# Builds the image that the Dockerfile describes, without a container engine: an OCI layout with a single tag,
# `waymark:<version>`. Two builds of one commit have the same digest. Run `npm run build` first.
# Usage: build-image.sh [<new layout, dist/image>] [<build's folder, dist>]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist/image} dist=${2:-dist}
. scripts/environment.sh
. scripts/provenance.sh
command -v umoci >/dev/null || { echo "image: needs umoci (Debian package umoci)" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash scripts/image-root.sh "$dist" "$work/root"

layout=$work/image image=$work/image:waymark:$VERSION
umoci init --layout "$layout"
umoci new --image "$image"
layer() { # layer <folder of the root>...
  reproducible_tar "$work/root" "$@" >"$work/layer.tar"
  umoci raw add-layer --image "$image" --history.created "$CREATED" --history.created_by "COPY $*" "$work/layer.tar"
}
# The libraries change with Debian, the executables with our releases, so each has a layer of its own.
mapfile -t system < <(cd "$work/root" && ls -d * | grep -v '^opt$')
layer "${system[@]}"
layer opt

case "$(uname -m)" in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; esac
mapfile -t config < <(node scripts/image-config.ts Dockerfile)
umoci config --image "$image" --no-history --created "$CREATED" --os linux --architecture "$architecture" "${config[@]}"
umoci gc --layout "$layout"

rm -rf "$out"
mkdir -p "$(dirname "$out")"
mv "$layout" "$out"
echo "built $out with waymark:$VERSION, $(node -p "require('$(realpath "$out")/index.json').manifests[0].digest")"
