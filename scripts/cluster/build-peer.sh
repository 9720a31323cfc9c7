#!/usr/bin/env bash
# Builds a peer from the sources of the commit below, into .tools/<peer>-<commit>. The sources are an archive in
# $WAYMARK_PEERS, else in ../shared/peers, else a clone of the repository. The result is kept in the user's cache, so that
# another clone on the same machine takes it from there.
# Usage: build-peer.sh multus|dynamic-networks   (prints the folder; fails, and says why, where the sources cannot be had)
set -euo pipefail
cd "$(dirname "$0")/../.."

# `programs`: where each one's sources are; one is installed under another name. `kept`: what else is taken from the sources.
case $1 in
  multus)
    commit=95a0932350f0
    repository=multus-cni
    programs=(multus multus-daemon multus-shim install_multus thin_entrypoint passthru:passthru-cni)
    kept=deployments
    ;;
  dynamic-networks)
    commit=7b7d8941952a
    repository=multus-dynamic-networks-controller
    programs=(dynamic-networks-controller)
    kept=manifests
    ;;
  *)
    echo "no such peer: $1" >&2
    exit 2
    ;;
esac
folder=$PWD/.tools/$1-$commit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waymark/$1-$commit

[[ -e $folder/complete ]] && { echo "$folder"; exit; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ ! -e $cache/complete ]]; then
  archive=${WAYMARK_PEERS:-$PWD/../shared/peers}/$repository.tar.gz
  if [[ -e $archive ]]; then
    tar -xzf "$archive" -C "$work"
  else
    GIT_TERMINAL_PROMPT=0 timeout 120 git clone --quiet "https://github.com/k8snetworkplumbingwg/$repository" "$work/$repository"
    git -C "$work/$repository" checkout --quiet "$commit"
  fi
  echo "setup: $repository $commit, by go build" >&2
  mkdir -p "$work/built"
  for program in "${programs[@]}"; do
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="${GOFLAGS:+$GOFLAGS }-mod=mod" nice go build -C "$work/$repository" -trimpath \
      -buildvcs=false -ldflags "-s -w" -o "$work/built/${program%:*}" "./cmd/${program#*:}" >&2
  done
  cp -r "$work/$repository/$kept" "$work/built/"
  touch "$work/built/complete"
  mkdir -p "$(dirname "$cache")"
  cp -r "$work/built" "$cache.$$"
  mv -T "$cache.$$" "$cache" 2>/dev/null || rm -rf "$cache.$$"
fi
mkdir -p .tools
cp -r "$cache" "$folder.$$"
mv -T "$folder.$$" "$folder" 2>/dev/null || rm -rf "$folder.$$"
echo "$folder"
