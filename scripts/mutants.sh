#!/usr/bin/env bash
# Asks the tests whether they would see a fault: scripts/mutants.ts. Needs what `npm test` installs and builds.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/environment.sh
[[ -d dist/bundle ]] || bash scripts/build.sh
exec node scripts/mutants.ts "$@"
