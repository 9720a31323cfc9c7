#!/usr/bin/env bash
# Bundles a script and the packages that it imports into one: bundle.sh <script> <folder> <statistics>
set -euo pipefail
cd "$(dirname "$0")/.."
ncc build "$1" --out "$2" --minify --quiet --stats-out "$3"
# One character beyond ASCII makes V8 keep all of the text in two bytes a character, in the snapshot and in the agent.
node - "$2/index.js" <<'SCRIPT'
const { readFileSync, writeFileSync } = require('node:fs');
const [, , path] = process.argv;
const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
writeFileSync(path, readFileSync(path, 'utf8').replace(/[^\0-\x7f]/g, escaped));
SCRIPT
