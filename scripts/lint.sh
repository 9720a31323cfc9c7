#!/usr/bin/env bash
# Types, style and the rules of biome.json. Changes nothing; `npm run format` does.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
tsc -p tsconfig.json
biome check --error-on-warnings .
