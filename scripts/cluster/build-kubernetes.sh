#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kubectl from the Go modules that
# scripts/cluster/kubernetes/go.mod pins, into .tools/kubernetes. The result is kept in the user's cache, so that another
# clone on the same machine takes it from there. Ten minutes on two cores the first time; progress goes to stderr.
# Usage: build-kubernetes.sh   (does nothing, silently, where the binaries are in place)
set -euo pipefail
cd "$(dirname "$0")/../.."
module=scripts/cluster/kubernetes
commands=(kubectl kube-scheduler kube-controller-manager kubelet kube-apiserver)
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[^ ]*\).*/\1/p' "$module/go.mod")
# Another pin, compiler or architecture is another set of binaries.
key=$(cat "$module/go.mod" <(go env GOVERSION GOARCH) | sha256sum | cut -c 1-12)
folder=kubernetes-$version-$key
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waymark/$folder
marker=.tools/$folder
[[ -e $marker ]] && exit

say() { echo "setup: $*" >&2; }

# A package is named once it has been compiled; the count tells how far the build is.
progress() {
  local count=0 line
  while read -r line; do
    case $line in
      [a-zA-Z]*/* | [a-z]*) ((++count % 100 == 0)) && say "$1: $count packages compiled" ;;
      *) echo "$line" >&2 ;;
    esac
  done
  true
}

build() { # build <command>: written under another name first, so that what is in the cache is whole
  local major minor
  IFS=. read -r major minor _ <<<"${version#v}"
  local package=k8s.io/component-base/version
  say "$1 $version"
  nice go -C "$module" build -v -trimpath -buildvcs=false -o "$cache/$1.new.$$" -ldflags "-s -w
    -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor
    -X $package.gitTreeState=clean" "k8s.io/kubernetes/cmd/$1" 2> >(progress "$1")
  mv "$cache/$1.new.$$" "$cache/$1"
}

mkdir -p "$cache" .tools/kubernetes
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="${GOFLAGS:+$GOFLAGS }-mod=readonly"
for command in "${commands[@]}"; do
  [[ -x $cache/$command ]] || build "$command"
  ln -f "$cache/$command" ".tools/kubernetes/$command" 2>/dev/null || cp -f "$cache/$command" ".tools/kubernetes/$command"
done
rm -f .tools/kubernetes-v*
touch "$marker"
