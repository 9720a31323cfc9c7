#!/usr/bin/env bash
# What `docker build` does with the Dockerfile, by buildah, into a new OCI layout. The base image is a stand-in for Docker's
# `node:…-bookworm-slim`: a tar file of Debian, the pinned Node.js, the machine's npm, and the user `node`.
# Run it in a mount namespace of its own (`unshare --mount`): where there is enough memory, everything is built in it.
# Usage: docker-build.sh <tar file> <new layout>:<tag> <build argument>...
set -euo pipefail
cd "$(dirname "$0")/../../.."
tar=$1 image=$2
. scripts/environment.sh

work=$(mktemp -d)
trap 'umount "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) < 6 << 20)) || mount -t tmpfs -o size=4G tmpfs "$work"
buildah() { command buildah --root "$work/root" --runroot "$work/run" "$@"; }

npm=$(dirname "$(dirname "$(realpath "$(PATH=/usr/local/bin:/usr/bin:/bin command -v npm)")")")
base=$work/base
mkdir -p "$base"/{usr/local/bin,usr/local/lib/node_modules,etc/ssl/certs}
cp "$WAYMARK_RUNTIME" "$base/usr/local/bin/node"
cp -r "$npm" "$base/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
# The machine may reach the registries through a proxy whose authority only it knows.
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"

container=$(buildah from scratch)
buildah add --quiet "$container" "$tar" / >&2
buildah add --quiet "$container" "$base" / >&2
root=$(buildah mount "$container")
echo 'node:x:1000:1000::/home/node:/bin/bash' >>"$root/etc/passwd"
echo 'node:x:1000:' >>"$root/etc/group"
install -d -o 1000 -g 1000 "$root/home/node"
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
buildah commit --quiet --rm "$container" "docker.io/library/$(sed -n 's/^FROM \(node:.*\) AS build$/\1/p' Dockerfile)" >&2

buildah bud --isolation chroot --pull-never --quiet --tag waymark "${@:3}" . >&2
buildah push --quiet waymark "oci:$image"
