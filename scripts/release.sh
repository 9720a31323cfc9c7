#!/usr/bin/env bash
# Packs the build into a release: a tarball for each architecture that was built, the bill of materials, and the checksums
# of all of them. The same commit gives the same bytes. Run `npm run build` first.
# Usage: release.sh [<new folder, dist/release>] [<build's folder, dist>]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist/release} dist=${2:-dist}
. scripts/environment.sh
. scripts/provenance.sh
require_build "$dist"
case "$REVISION" in *-dirty) echo "release: the tree has uncommitted changes" >&2 ;; esac

# The architecture of an ELF file, by the name that images use: e_machine, 2 bytes at offset 18.
architecture() { # architecture <file>
  case "$(od --address-radix=n --endian=little --format=x2 --skip-bytes=18 --read-bytes=2 "$1")" in
    *003e) echo amd64 ;;
    *00b7) echo arm64 ;;
    *) echo "release: $1 is neither an x86-64 nor an arm64 ELF file" >&2; return 1 ;;
  esac
}

# executables_of <architecture> <bin or shim>: the build's folder with the executables of that architecture, if it exists
executables_of() {
  local folder
  for folder in "$dist/$2"*/; do
    [[ $(architecture "$folder${PLUGINS[0]}") == "$1" ]] && { echo "$folder"; return; }
  done || return 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/release"
node scripts/third-party-licenses.ts "$dist" >"$work/THIRD-PARTY-LICENSES"

# Only the executables themselves: other files beside them were created by running them.
pack() { # pack <architecture>
  local name=waymark-$VERSION-linux-$1 bin shim
  bin=$(executables_of "$1" bin)
  mkdir -p "$work/$name"/{bin,shim}
  cp --preserve=links "${bin}waymark" "${PLUGINS[@]/#/$bin}" "$work/$name/bin/"
  if shim=$(executables_of "$1" shim); then
    cp --preserve=links "${PLUGINS[@]/#/$shim}" "$work/$name/shim/"
  else
    rmdir "$work/$name/shim"
    echo "release: there are no shims for $1, so $name has none" >&2
  fi
  chmod 755 "$work/$name"/*/*
  cp -r conf docs manifests CHANGELOG.md CONTRIBUTING.md LICENSE README.md "$work/THIRD-PARTY-LICENSES" "$work/$name/"
  for readme in plugins/*/README.md; do install -D -m 644 "$readme" "$work/$name/$readme"; done
  reproducible_tar "$work" "$name" | gzip --no-name >"$work/release/$name.tar.gz"
}
for folder in "$dist"/bin*/; do pack "$(architecture "${folder}waymark")"; done

node scripts/sbom.ts "$dist" "$work"/release/*.tar.gz >"$work/release/waymark-$VERSION.cdx.json"
(cd "$work/release" && sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .)

rm -rf "$out"
mkdir -p "$(dirname "$out")"
mv "$work/release" "$out"
echo "built $out:" && (cd "$out" && ls -sh)
