#!/usr/bin/env bash
# Records the titles of Multus' unit tests by file, and its e2e tests: test/golden/multus-tests.json. A title that a file has
# twice is there twice.
#
#   scripts/record-multus-tests.sh /path/to/multus-cni
set -euo pipefail
multus=${1:?usage: record-multus-tests.sh /path/to/multus-cni}
out="$(dirname "$0")/../test/golden/multus-tests.json"
cd "$multus"
{
  grep -roP '\b(It|Entry)\("\K(\\.|[^"\\])*' --include=*_test.go pkg
  ls e2e/test-*.sh | sed 's/$/:/'
} | sort | sed -E 's/^([^:]*):(.*)$/  ["\1", "\2"],/' | { echo '['; sed '$ s/,$//'; echo ']'; } |
  biome format --stdin-file-path=tests.json >"$OLDPWD/$out"
echo "recorded test/golden/multus-tests.json"
