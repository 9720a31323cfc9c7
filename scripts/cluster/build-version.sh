#!/usr/bin/env bash
# Builds another version of Waymark from its commit: `image`, the layout of its image, and `manifests`. It has this checkout's
# npm packages. The result is kept in the user's cache.
# Usage: build-version.sh <commit>   (prints the folder; fails, and says why, where it cannot be built)
set -euo pipefail
cd "$(dirname "$0")/../.."
commit=$(git rev-parse --quiet --verify "$1^{commit}") ||
  { echo "there is no commit $1 here; a shallow clone lacks those of earlier versions" >&2; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waymark/version-${commit:0:12}
[[ -e $cache/complete ]] && { echo "$cache"; exit; }

# In here, so that the packages can be hard links.
mkdir -p .tools
work=$(mktemp -d "$PWD/.tools/version-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/built"
git archive "$commit" | tar -x -C "$work/tree"
cp -al node_modules "$work/tree/"
ln -s "$PWD/.tools" "$work/tree/.tools"
echo "building version $commit" >&2
export REVISION=$commit SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
unset NODE_OPTIONS
(cd "$work/tree" && bash scripts/build.sh && bash scripts/build-image.sh "$work/built/image") >"$work/log" 2>&1 ||
  { tail -n 20 "$work/log" >&2; exit 1; }
cp -r "$work/tree/manifests" "$work/built/"
touch "$work/built/complete"
mkdir -p "$(dirname "$cache")"
mv -T "$work/built" "$cache" 2>/dev/null || cp -rT "$work/built" "$cache"
echo "$cache"
