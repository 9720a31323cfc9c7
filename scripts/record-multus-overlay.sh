#!/usr/bin/env bash
# Records what Multus' thick daemon makes of the config of a hot-plugged network of a single plugin, by the daemon's own
# function and the config of its own manifest: test/golden/multus-overlay.json.
#
#   scripts/record-multus-overlay.sh /path/to/multus-cni
set -euo pipefail
multus=${1:?usage: record-multus-overlay.sh /path/to/multus-cni}
command -v go >/dev/null || { echo "record-multus-overlay: needs Go" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

{
  cat <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	merged, err := overrideCNIConfigWithServerConfig([]byte(os.Args[1]), []byte(os.Args[2]), false)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(merged))
}

GO
  sed -n '/^func overrideCNIConfigWithServerConfig(/,/^}/p' "$multus/pkg/server/server.go"
} >"$folder/main.go"

daemon=$(sed -n '/daemon-config.json: |/,/^---/p' "$multus/deployments/multus-daemonset-thick.yml" | sed '1d;/^---/d')
request='{"cniVersion":"1.0.0","name":"routes","type":"static-route","interface":"eth0",
  "routes":[{"dst":"10.9.0.0/16","gw":"10.244.1.1"}]}'
out="$(dirname "$0")/../test/golden/multus-overlay.json"
go run "$folder/main.go" "$request" "$daemon" >"$folder/overlay.json"
biome format --stdin-file-path=overlay.json <"$folder/overlay.json" >"$out"
echo "recorded test/golden/multus-overlay.json"
