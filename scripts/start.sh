#!/usr/bin/env bash
# Demonstrates the plugins: runs a network configuration list with the reference plugins and ours on a scratch pod of a
# scratch node, shows the pod's routes before and after, runs CHECK, and shows that DEL leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh start
. scripts/environment.sh
[[ -x dist/bundle/waymark/waymark ]] || bash scripts/build.sh
exec node scripts/demonstrate.ts "$@"
