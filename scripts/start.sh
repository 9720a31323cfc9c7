#!/usr/bin/env bash
# Shows the main job on something real: a network list with the reference plugins and ours, run on a scratch pod that
# stands in a scratch node; the pod's routes before and after; CHECK; and that nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh start
. scripts/environment.sh
[[ -x dist/bundle/waymark/waymark ]] || bash scripts/build.sh
exec node scripts/demonstrate.ts "$@"
