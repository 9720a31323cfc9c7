#!/usr/bin/env bash
# Writes conf/schema/ anew from the zod schemas. The build does the same into dist/; a test holds the two together.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
node scripts/build-schema.ts conf/schema
