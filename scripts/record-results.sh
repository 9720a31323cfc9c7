#!/usr/bin/env bash
# Records how the reference implementation (libcni, at the version in test/golden/convert-results/go.mod) converts results
# and validates names: test/golden/results.json and test/golden/names.json, with which the tests of lib/cni compare.
set -euo pipefail
cd "$(dirname "$0")/../test/golden/convert-results"
command -v go >/dev/null || { echo "record-results: needs Go" >&2; exit 1; }

for what in names results; do
  go run . "$what" <"$what.json" >"../$what.json.new"
  mv "../$what.json.new" "../$what.json"
  echo "recorded test/golden/$what.json"
done
