#!/usr/bin/env bash
# Prints the path of a tar file with this machine's Debian as far as apt, with the machine's package sources, so that whatever
# is installed into it has the versions that the machine finds. Fetches the packages once, into .tools/images.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. /etc/os-release

mapfile -t sources < <(find /etc/apt/sources.list /etc/apt/sources.list.d -type f -size +0 2>/dev/null | sort)
tar=.tools/images/debian-$VERSION_CODENAME-$(cat "$0" "${sources[@]}" | sha256sum | cut -c 1-12).tar
if [[ ! -e $tar ]]; then
  mkdir -p .tools/images
  # Docker's image has these two settings too.
  mmdebstrap --quiet --variant=apt --include=ca-certificates --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Languages "none"' "$VERSION_CODENAME" "$tar.$$.tar" "${sources[@]}"
  mv "$tar.$$.tar" "$tar"
fi
echo "$tar"
