#!/usr/bin/env bash
# Makes .tools/kernels/<series>: a kernel of Debian's (vmlinuz), its modules, and an initramfs that mounts this machine's
# root (initramfs.gz). Nothing is installed. What the package has is kept in the user's cache, for other clones. Prints the folder.
#
#   scripts/kernel/fetch.sh <6.1 or 6.12>
set -euo pipefail
cd "$(dirname "$0")/../.."

# The newest of each series at the time of writing. Debian's archive keeps a few older ones, and then drops them.
declare -A PINNED=([6.1]=6.1.0-57-amd64 [6.12]=6.12.117+deb12-amd64)
# What mounts the root; the tests' own modules are loaded by the kernel when it needs them.
MODULES="virtio_pci 9pnet_virtio 9p overlay"

say() { echo "kernel: $*" >&2; }

series=$1
release=${PINNED[$series]:-}
[[ -n $release ]] || { say "there is no kernel $series; there are: ${!PINNED[*]}"; exit 1; }
folder=.tools/kernels/$series
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waymark/kernel-$release
init=scripts/kernel/init.sh

# The newest image of the series, neither of another flavour nor without a signature.
newest() { apt-cache pkgnames "linux-image-$series." | grep -E '[0-9]-amd64$|deb12-amd64$' | sort -V | tail -n 1; }

download() { # download <package>: into the current folder
  apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20 download "$1" >&2
}

unpack() {
  local work=$1 package=linux-image-$release
  say "fetching Debian's $package"
  if ! (cd "$work" && download "$package"); then
    apt-get -qq update >&2 || true
    if ! (cd "$work" && download "$package"); then
      package=$(newest)
      [[ -n $package ]] || { say "Debian's archive has no linux-image-$series here"; return 1; }
      say "Debian's archive has linux-image-$release no longer: taking $package"
      (cd "$work" && download "$package") || { say "cannot fetch $package"; return 1; }
    fi
  fi
  dpkg-deb --extract "$work"/linux-image-*.deb "$work/image"
  mkdir "$work/kernel"
  mv "$work"/image/boot/vmlinuz-* "$work/kernel/vmlinuz"
  mv "$work/image/lib/modules" "$work/kernel/modules"
  # depmod(8) wants them where they are in a root.
  mkdir "$work/root" "$work/root/lib" && ln -s "$work/kernel/modules" "$work/root/lib/modules"
  depmod -b "$work/root" "$(ls "$work/kernel/modules")"
}

initramfs() { # initramfs <kernel's folder>
  local root release module file number=10
  root=$(mktemp -d)
  release=$(ls "$1/modules")
  mkdir -p "$root"/{bin,lib/modules,proc,dev,sys,modules,machine,change,root}
  cp /bin/busybox "$root/bin/busybox"
  install -m 755 "$init" "$root/init"
  ln -s "$(realpath "$1/modules/$release")" "$root/lib/modules/$release"
  # In the order in which they need one another.
  for module in $MODULES; do
    for file in $(modprobe -d "$root" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'); do
      compgen -G "$root/modules/*-$(basename "$file" .xz)" >/dev/null && continue
      case $file in
        *.xz) xz --decompress --stdout "$file" >"$root/modules/$number-$(basename "$file" .xz)" ;;
        *) cp "$file" "$root/modules/$number-$(basename "$file")" ;;
      esac
      number=$((number + 1))
    done
  done
  rm -r "$root/lib"
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip --fast) >"$1/initramfs.gz.new"
  mv "$1/initramfs.gz.new" "$1/initramfs.gz"
  rm -r "$root"
}

mkdir -p "$folder" "$(dirname "$cache")"
exec 9>"$cache.lock"
flock 9
if [[ ! -e $cache ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  unpack "$work"
  rm -rf "$cache.new" && mv "$work/kernel" "$cache.new" && mv "$cache.new" "$cache"
fi
for part in vmlinuz modules; do
  [[ $(readlink "$folder/$part") == "$cache/$part" ]] || { rm -rf "${folder:?}/$part" "$folder/initramfs.gz" && ln -s "$cache/$part" "$folder/$part"; }
done
[[ $folder/initramfs.gz -nt $init && $folder/initramfs.gz -nt $0 ]] || initramfs "$folder"
echo "$folder"
