#!/usr/bin/env bash
# Installs what is missing to build, start and test: npm packages, Debian packages, the reference CNI plugins and cnitool.
# Reports what it does; if nothing is missing, does nothing, silently.
set -euo pipefail
cd "$(dirname "$0")/.."

# The newest releases at the time of writing. The tests compare with them, and the bench measures them.
CNI_VERSION=v1.3.1
PLUGINS_VERSION=v1.9.1
KUSTOMIZE_VERSION=v5.8.2 # the newest that Go 1.26 builds
REFERENCE_PLUGINS="main/bridge main/macvlan main/ptp main/loopback main/vlan main/ipvlan main/dummy main/tap ipam/host-local
  ipam/static meta/tuning meta/sbr meta/vrf"
FLANNEL_VERSION=v0.9.1 # the last release of the reference plugins that has it; its own repository's are not to be had

say() { echo "setup: $*" >&2; }

npm_packages() {
  [[ node_modules/.package-lock.json -nt package-lock.json ]] && return
  say "installing the npm packages of package-lock.json"
  npm ci --no-audit --no-fund --loglevel=error >&2
}

# debian_package <command or file that it provides> <package>
missing_packages=()
debian_package() {
  [[ -e $1 ]] || command -v "$1" >/dev/null 2>&1 || missing_packages+=("$2")
}

# clang's libFuzzer is in a package whose name contains the version.
fuzzer_package() {
  apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p'
}

debian_packages() {
  debian_package ip iproute2
  debian_package ipcalc-ng ipcalc-ng
  debian_package cc gcc
  debian_package /usr/include/stdio.h libc6-dev
  debian_package musl-gcc musl-tools
  command -v go >/dev/null 2>&1 || debian_package /usr/lib/cni/bridge containernetworking-plugins
  install_missing_packages
}

# Programs that the tests call, or that build the image.
test_packages() {
  debian_package strace strace
  debian_package hyperfine hyperfine
  debian_package readelf binutils
  debian_package clang clang
  compgen -G "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a" >/dev/null || missing_packages+=($(fuzzer_package))
  debian_package umoci umoci
  debian_package skopeo skopeo
  install_missing_packages
  # Where they cannot be had, the others still come.
  debian_package buildah buildah
  debian_package mmdebstrap mmdebstrap
  install_missing_packages
}

# Programs for the tests with pods on a real containerd. Installed separately, so that a Debian release without one of
# them still gets the others.
pod_packages() {
  debian_package containerd containerd
  debian_package runc runc
  debian_package umoci umoci
  debian_package busybox busybox-static
  # The tests start their own containerd; this keeps the package from starting one.
  SYSTEMD_OFFLINE=1 install_missing_packages
}

# A kernel of another version, and the programs that boot it.
kernel_packages() {
  [[ $(uname -m) == x86_64 ]] || return 0
  debian_package qemu-system-x86_64 qemu-system-x86
  debian_package depmod kmod
  debian_package busybox busybox-static
  install_missing_packages
  command -v apt-get >/dev/null 2>&1 && command -v qemu-system-x86_64 >/dev/null 2>&1 || return 0
  bash scripts/kernel/fetch.sh 6.1 >/dev/null || say "tests on another kernel will be skipped"
}

install_missing_packages() {
  local packages=("${missing_packages[@]}")
  missing_packages=()
  ((${#packages[@]} == 0)) && return
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null 2>&1; then
    say "please install: ${packages[*]}"
    return
  fi
  say "installing Debian packages: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "${packages[@]}" >/tmp/waymark-apt.log 2>&1 ||
    { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >/tmp/waymark-apt.log 2>&1 ||
    { tail -n 20 /tmp/waymark-apt.log >&2; say "apt-get failed; tests that need these packages will be skipped"; }
  rm -f /tmp/waymark-apt.log
}

go_tools() {
  command -v go >/dev/null 2>&1 || return 0
  local marker
  marker=.tools/go-$(cksum <<<"$CNI_VERSION $PLUGINS_VERSION $REFERENCE_PLUGINS $FLANNEL_VERSION" | cut -d' ' -f1)
  [[ -e $marker ]] && return
  say "installing cnitool $CNI_VERSION and the reference CNI plugins $PLUGINS_VERSION into .tools/bin"
  mkdir -p .tools/bin
  local packages=()
  for plugin in $REFERENCE_PLUGINS; do
    packages+=("github.com/containernetworking/plugins/plugins/$plugin@$PLUGINS_VERSION")
  done
  if GOBIN="$PWD/.tools/bin" CGO_ENABLED=0 go install "github.com/containernetworking/cni/cnitool@$CNI_VERSION" &&
    GOBIN="$PWD/.tools/bin" CGO_ENABLED=0 go install "${packages[@]}" &&
    GOBIN="$PWD/.tools/bin" CGO_ENABLED=0 go install \
      "github.com/containernetworking/plugins/plugins/meta/flannel@$FLANNEL_VERSION"; then
    touch "$marker"
  else
    say "go install failed; tests that need these tools will be skipped"
  fi
}

# Kubernetes for the cluster's tests and `npm run cluster`. What cannot be had is left out, with a word.
cluster_programs() {
  [[ $(id -u) == 0 ]] && command -v go >/dev/null 2>&1 || return 0
  debian_package openssl openssl
  install_missing_packages
  bash scripts/cluster/fetch-etcd.sh || say "etcd cannot be had; what needs a cluster will be skipped"
  bash scripts/cluster/build-kubernetes.sh || say "Kubernetes cannot be built; what needs a cluster will be skipped"
  bash scripts/cluster/build-peer.sh multus >/dev/null || say "Multus cannot be built; what needs it will be skipped"
}

# The peer of `static-route`: a test runs both on the same configs, and the bench measures both. Built from its archive in
# $WAYMARK_PEERS, else in ../shared/peers.
route_override() {
  command -v go >/dev/null 2>&1 || return 0
  [[ -e .tools/bin/route-override ]] && return
  local archive="${WAYMARK_PEERS:-$PWD/../shared/peers}/route-override.tar.gz"
  if [[ ! -e $archive ]]; then
    say "there is no $archive; tests beside route-override will be skipped"
    return
  fi
  say "building route-override into .tools/bin"
  local source target="$PWD/.tools/bin"
  source=$(mktemp -d)
  mkdir -p "$target"
  tar -xzf "$archive" -C "$source" --strip-components=1 &&
    (cd "$source" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -ldflags "-s -w" -o "$target" ./cmd/route-override) ||
    say "route-override cannot be built; tests beside it will be skipped"
  rm -rf "$source"
}

# kubectl contains an older one, which the tests use if this one is missing.
go_kustomize() {
  command -v go >/dev/null 2>&1 || return 0
  local marker=".tools/kustomize-$KUSTOMIZE_VERSION"
  [[ -e $marker ]] && return
  say "installing kustomize $KUSTOMIZE_VERSION into .tools/bin"
  mkdir -p .tools/bin
  if GOBIN="$PWD/.tools/bin" CGO_ENABLED=0 go install "sigs.k8s.io/kustomize/kustomize/v5@$KUSTOMIZE_VERSION"; then
    touch "$marker"
  else
    say "go install failed; using kubectl's kustomize, if it is installed"
  fi
}

# Checks the alerts and runs their tests. Taken out of Debian's package, so that no Prometheus is started.
promtool_program() {
  [[ -e .tools/bin/promtool ]] || command -v promtool >/dev/null 2>&1 && return
  command -v apt-get >/dev/null 2>&1 || return 0
  say "taking promtool out of Debian's prometheus into .tools/bin"
  local folder
  folder=$(mktemp -d)
  chmod 755 "$folder"
  mkdir -p .tools/bin
  (cd "$folder" && apt-get download prometheus && dpkg -x prometheus_*.deb .) >/dev/null 2>&1 &&
    cp "$folder/usr/bin/promtool" .tools/bin/ || say "promtool cannot be had; the tests of the alerts will be skipped"
  rm -rf "$folder"
}

# tap's test class is generated from its plugins (.taprc) once.
test_class() {
  [[ node_modules/.tap-is-built -nt .taprc ]] && return
  . scripts/environment.sh
  say "generating tap's test class"
  tap build >/dev/null && touch node_modules/.tap-is-built
}

npm_packages
debian_packages
go_tools
[[ ${1:-} == start ]] && exit
[[ ${1:-} != kernel ]] || { kernel_packages; test_class; exit; }
[[ ${1:-} == cluster ]] || test_packages
[[ ${1:-} == cluster || ${WAYMARK_KERNEL:-} == 0 ]] || kernel_packages
pod_packages
cluster_programs
[[ ${1:-} == cluster ]] && exit
go_kustomize
promtool_program
test_class
route_override
