#!/usr/bin/env bash
# Takes away the control groups of a cluster, or of one of its nodes, when their processes have ended.
# Usage: remove-cgroups.sh <cluster>[/<node>]
set -uo pipefail

# A group can be removed only when the kernel has reaped its last process, which takes a moment.
for ((attempt = 0; attempt < 100; attempt++)); do
  left=0
  for group in /sys/fs/cgroup/*/"$1"; do
    [[ -d $group ]] || continue
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    [[ ! -d $group ]] || left=1
  done
  ((left)) || exit 0
  sleep 0.1
done
echo "cluster: control groups of $1 are still in use" >&2
exit 1
