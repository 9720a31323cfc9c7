#!/usr/bin/env bash
# Installs what is missing, builds, lints, and runs every test (or those named: npm test -- test/lib/address/*.ts).
# The last line is `N passed, N failed, N skipped`, counted in assertions.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh
. scripts/environment.sh
bash scripts/build.sh
bash scripts/lint.sh

# Node.js keeps what it has compiled: most of the time that a test's processes take is that of reading TypeScript.
export NODE_COMPILE_CACHE=${NODE_COMPILE_CACHE:-$PWD/build/compiled}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
failed=0
export PATH="$PWD/.tools/bin:/usr/sbin:/sbin:$PATH"
# By its path, since one of the CNI plugins in .tools/bin has its name.
run() {
  node_modules/.bin/tap run --reporter=tap "$@" >>"$report" || { failed=$?; echo "test: tap ended with $failed: $*" >&2; }
}
files=1
if (($# > 0)); then
  run "$@"
else
  files=$(find test -name '*.test.ts' | wc -l)
  # Tests on a cluster mostly wait: four of them keep two cores busy.
  run --jobs=4 test/cluster/*.test.ts
  run --exclude='test/cluster/**'
fi
node scripts/summary.ts "$report" "$files" || failed=$?
exit "$failed"
