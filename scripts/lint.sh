#!/usr/bin/env bash
# Checks types, style and the rules of biome.json. Changes nothing; `npm run format` fixes the style.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
tsc -p tsconfig.json
biome check --error-on-warnings .
