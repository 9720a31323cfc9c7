#!/usr/bin/env bash
# Builds Multus, thick and thin, from the sources of the commit below, into .tools/multus-<commit>. The sources are an
# archive in $WAYMARK_PEERS, else in ../shared/peers, else a clone of the repository. The result is kept in the user's
# cache, so that another clone on the same machine takes it from there.
# Usage: build-multus.sh   (prints the folder; fails, and says why, where the sources cannot be had)
set -euo pipefail
cd "$(dirname "$0")/../.."
commit=95a0932350f0
repository=https://github.com/k8snetworkplumbingwg/multus-cni
folder=$PWD/.tools/multus-$commit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waymark/multus-$commit
# Where each program's sources are; one is installed under another name.
programs=(multus multus-daemon multus-shim install_multus thin_entrypoint passthru:passthru-cni)

[[ -e $folder/complete ]] && { echo "$folder"; exit; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ ! -e $cache/complete ]]; then
  archive=${WAYMARK_PEERS:-$PWD/../shared/peers}/multus-cni.tar.gz
  if [[ -e $archive ]]; then
    tar -xzf "$archive" -C "$work"
  else
    GIT_TERMINAL_PROMPT=0 timeout 120 git clone --quiet "$repository" "$work/multus-cni"
    git -C "$work/multus-cni" checkout --quiet "$commit"
  fi
  echo "setup: Multus $commit, by go build" >&2
  mkdir -p "$work/built"
  for program in "${programs[@]}"; do
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="${GOFLAGS:+$GOFLAGS }-mod=mod" nice go build -C "$work/multus-cni" -trimpath \
      -buildvcs=false -ldflags "-s -w" -o "$work/built/${program%:*}" "./cmd/${program#*:}" >&2
  done
  cp -r "$work/multus-cni/deployments" "$work/built/"
  touch "$work/built/complete"
  mkdir -p "$(dirname "$cache")"
  cp -r "$work/built" "$cache.$$"
  mv -T "$cache.$$" "$cache" 2>/dev/null || rm -rf "$cache.$$"
fi
mkdir -p .tools
cp -r "$cache" "$folder.$$"
mv -T "$folder.$$" "$folder" 2>/dev/null || rm -rf "$folder.$$"
echo "$folder"
