#!/usr/bin/env bash
# Starts a cluster's namespaces and waits until they are gone; then removes what is left of it on the machine: its
# control groups and its folder. Everything else goes with the namespaces.
# Usage: begin.sh <folder> <name> stdin|forever   (until stdin ends, or until SIGTERM)
set -uo pipefail
folder=$1 name=$2 hold=$3
here=$(cd "$(dirname "$0")" && pwd)

unshare --mount --net --pid --ipc --fork --kill-child bash "$here/init.sh" "$folder" "$hold"

bash "$here/remove-cgroups.sh" "$name"
rm -rf "$folder"
