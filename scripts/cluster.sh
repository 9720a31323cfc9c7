#!/usr/bin/env bash
# A Kubernetes cluster of namespaces on this machine: docs/cluster.md. The first call builds Kubernetes, which takes ten
# minutes or more.
# Usage: cluster.sh [up|kubectl|shell|demo|down] ...
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-up} in
  up | demo | --*) bash scripts/setup.sh cluster ;;
esac
. scripts/environment.sh
PATH="$PWD/.tools/bin:/usr/sbin:/sbin:$PATH" exec node scripts/cluster/main.ts "$@"
