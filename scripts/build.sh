#!/usr/bin/env bash
# Builds dist/: compiles the TypeScript and the native addon, bundles each executable, builds the single-file executables,
# the agent's client, and the JSON Schemas of the configs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
# The snapshot in the executables depends on what its process has compiled itself.
unset NODE_COMPILE_CACHE
[[ -x $WAYMARK_RUNTIME ]] || { echo "build: the npm packages are missing; \`npm ci\` installs them" >&2; exit 1; }

bash scripts/build-native.sh
rm -rf build
tsc -p tsconfig.build.json
node scripts/build-schema.ts build/dist/schema
mkdir build/stats

# A bundle is `index.js` with the addon beside it. The launcher runs it on the pinned runtime, under the name by which a
# network configuration list calls it.
bundle() { # bundle <name> <entry>
  local out=build/dist/bundle/$1
  bash scripts/bundle.sh "build/js/$2" "$out" "build/stats/$1.json"
  cp native/build/socket.node "$out/"
  cat >"$out/$1" <<LAUNCHER
#!/usr/bin/env bash
here=\$(dirname "\$(readlink -f "\${BASH_SOURCE[0]}")")
# Loading it fills a young generation of V8's usual size several times.
exec "\${WAYMARK_NODE:-\$here/../../../node_modules/.bin/node}" --min-semi-space-size=16 "\$here/index.js" "\$@"
LAUNCHER
  chmod 755 "$out/$1"
  echo "built dist/bundle/$1"
}
export -f bundle
plugins=$(node scripts/plugin-names.ts)
{ for plugin in $plugins; do echo "$plugin plugins/$plugin/process.js"; done; echo waymark cli/process.js; } |
  xargs -L 1 -P "$(nproc)" bash -euc 'bundle "$@"' bundle

bash scripts/build-single.sh "$WAYMARK_RUNTIME" native/build/socket.node build/dist/bin
bash scripts/build-shim.sh build/dist/shim
echo "built dist/shim"

# The third-party packages in them, for the licenses and the bill of materials.
node scripts/bundled-packages.ts build/stats >build/dist/bundled.json

# Atomically, so that nobody who uses the old one meanwhile finds half of the new one.
rm -rf build/old && { [[ ! -e dist ]] || mv dist build/old; } && mv build/dist dist
