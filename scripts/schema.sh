#!/usr/bin/env bash
# Regenerates conf/schema/ from the zod schemas. The build writes the same files into dist/; a test compares the two.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
node scripts/build-schema.ts conf/schema
