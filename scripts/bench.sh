#!/usr/bin/env bash
# Measures beside real peers, in one run, and prints medians and ratios. See docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh bench
. scripts/environment.sh
bash scripts/build.sh >&2
exec node scripts/bench.ts "$@"
