#!/usr/bin/env bash
# Puts etcd into .tools/etcd: the program of Debian's package, which is unpacked and not installed, so that no service of
# it is started. Does nothing, silently, where etcd is in place.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -x .tools/etcd/etcd ]] && exit
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "setup: etcd needs apt-get" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "setup: etcd, of Debian's package etcd-server, into .tools/etcd" >&2
# apt's own user cannot write here.
fetch() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download etcd-server); }
fetch 2>"$work/log" || { apt-get -qq update && fetch; } >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
dpkg-deb --extract "$work"/etcd-server_*.deb "$work/root"
mkdir -p .tools/etcd
cp "$work/root/usr/bin/etcd" .tools/etcd/etcd.new
mv .tools/etcd/etcd.new .tools/etcd/etcd
