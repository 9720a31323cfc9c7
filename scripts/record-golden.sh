#!/usr/bin/env bash
# Records test/golden/: this kernel's answers to our dumps of a namespace with every kind of link, address, route and
# neighbour that we read (test/support/namespaces/example-state.ts), and the output of `ip -j -d` for it. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

name=waymark-golden-$$
ip netns add "$name"
trap 'ip netns del "$name"' EXIT
ip netns exec "$name" sh -c 'for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done'
ip -n "$name" link set lo up
mkdir -p test/golden
node scripts/record-golden.ts "$name" test/golden
ls -l test/golden
