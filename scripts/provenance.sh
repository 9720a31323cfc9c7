# Sourced by the scripts that build an image or a release: the version, the commit and its time, the plugins' names, and a
# tar that is byte-identical wherever and whenever it is built. Without git, set REVISION and SOURCE_DATE_EPOCH.
VERSION=$(node -p 'require("./package.json").version')
REVISION=${REVISION:-$(git describe --always --dirty --abbrev=40 --exclude='*')}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export VERSION REVISION SOURCE_DATE_EPOCH CREATED
names=$(node scripts/plugin-names.ts)
mapfile -t PLUGINS <<<"$names"

# reproducible_tar <folder> <name>...: writes to stdout, with sorted names and hard links, independent of clock, owner and umask.
reproducible_tar() {
  tar --create --directory "$1" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w -- "${@:2}"
}

# require_build <folder>: exits unless the folder has all results of the build, and lists what is missing.
require_build() {
  local name missing=()
  [[ -e $1/bundled.json ]] || missing+=("$1/bundled.json")
  for name in bin/waymark "${PLUGINS[@]/#/bin/}" "${PLUGINS[@]/#/shim/}"; do
    [[ -x $1/$name ]] || missing+=("$1/$name")
  done
  ((${#missing[@]} == 0)) || { echo "missing: ${missing[*]}; \`npm run build\` builds them" >&2; exit 1; }
}
