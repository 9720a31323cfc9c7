#!/usr/bin/env bash
# Builds the single-file executable from build/js: build-single.sh <runtime> <addon> <folder>. It starts from a snapshot with the
# plugins loaded, which the runtime makes; for another architecture, with $EMULATOR before it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
runtime=$1 addon=$2 out=$3
plugins=$(node scripts/plugin-names.ts)

# Each bundle is a single CommonJS file, because a snapshot accepts nothing else. So there are no chunks for modules that
# are loaded late, and the package has no type, so that the bundler detects the format of each file.
work=build/single
rm -rf "$work" && mkdir -p "$work" "$out"
cp -r build/js "$work/js"
find "$work/js" -name '*.js' -exec sed -i 's#\bimport(\(["'"'"']\)#import(/* webpackMode: "eager" */ \1#' {} +
echo '{}' >"$work/js/package.json"
printf '%s
' single single-command |
  xargs -I ENTRY -P 2 bash scripts/bundle.sh "$work/js/cli/ENTRY.js" "$work/ENTRY" build/stats/ENTRY.json
# What Node.js has kept of an earlier run would be in the snapshot.
unset NODE_COMPILE_CACHE
# The snapshot builder provides no `module` for the bundle to export to. Modules of Node.js that few calls use are loaded when
# one does: each call would have to read them in the snapshot.
{
  echo 'var module = { exports: {} };'
  echo 'var whenUsed = (name) => new Proxy({}, { get: (_, key) => process.getBuiltinModule(name)[key] });'
  sed -E 's#\brequire\("(node:(child_process|crypto|net|vm))"\)#whenUsed("\1")#g' "$work/single/index.js"
} >"$work/main.js"
grep -qF 'whenUsed("node:crypto")' "$work/main.js" || { echo "build-single: the bundle asks for modules in another way" >&2; exit 1; }
build_id=$(cat "$work/main.js" "$work/single-command/index.js" "$addon" | sha256sum | cut -c1-16)
printf %s "$build_id" >"$work/build-id"

# Without its symbols the runtime has a fifth less.
"${STRIP:-strip}" -o "$work/runtime" "$runtime"

# V8 would let the young generation of an agent grow to 32 MB. With a quarter of that it takes a quarter less memory in all, and a fifth
# more CPU for 10,000 routes. A call ends before code that is compiled for speed has paid; the agent asks for it (cli/agent.ts).
# The snapshot includes its hashes: see docs/decisions/0009-fixed-hashes.md.
cat >"$work/sea.json" <<CONFIG
{
  "main": "$work/main.js",
  "executable": "$work/runtime",
  "output": "$out/waymark",
  "useSnapshot": true,
  "execArgv": ["--max-semi-space-size=8", "--no-sparkplug", "--no-rehash-snapshot"],
  "execArgvExtension": "none",
  "disableExperimentalSEAWarning": true,
  "assets": {
    "waymark.js": "$work/single-command/index.js",
    "socket.node": "$addon",
    "build-id": "$work/build-id"
  }
}
CONFIG
# A snapshot contains its builder's random numbers, process ID and paths. With all of them fixed, two builds are identical.
in_one_place() { # as the first process of a namespace that has this folder at /mnt
  unshare --user --map-root-user --mount --pid --fork sh -c 'mount --bind . /mnt && cd /mnt && exec "$@"' sh "$@"
}
in_one_place true 2>/dev/null || {
  echo "cannot create namespaces: another build of this commit will differ in ${out/build\/dist/dist}" >&2
  in_one_place() { "$@"; }
}
in_one_place ${EMULATOR:-} "${runtime#"$PWD"/}" --random-seed=1 --hash-seed=1 --no-rehash-snapshot --build-sea "$work/sea.json" \
  >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
chmod 755 "$out/waymark"
for plugin in $plugins; do
  ln -f "$out/waymark" "$out/$plugin"
done
echo "built ${out/build\/dist/dist}"
