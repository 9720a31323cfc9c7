#!/usr/bin/env bash
# Runs tests under conditions that differ between machines and boots: scripts/vary.ts.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/environment.sh
[[ -d dist/bundle && -d dist/shim ]] || bash scripts/build.sh
exec node scripts/vary.ts "$@"
