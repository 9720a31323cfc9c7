#!/usr/bin/env bash
# Creates the image's file system in a new folder: the executables, the shared libraries that they need, the libraries'
# copyright and license files, and nothing else. The Dockerfile and build-image.sh both call it.
# Usage: image-root.sh <build's folder> <new folder>
set -euo pipefail
umask 022
dist=$(realpath "$1") root=$(realpath -m "$2")
cd "$(dirname "$0")/.."
. scripts/environment.sh
. scripts/provenance.sh
require_build "$dist"

PACKAGES=(libc6 libgcc-s1 libstdc++6 libatomic1)
LIBRARIES=(libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libstdc++.so.6 libatomic.so.1)
case "$(uname -m)" in
  x86_64) triplet=x86_64-linux-gnu loader=/lib64/ld-linux-x86-64.so.2 ;;
  aarch64) triplet=aarch64-linux-gnu loader=/lib/ld-linux-aarch64.so.1 ;;
esac

say() { echo "image: $*" >&2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The packages that the distribution currently offers, fetched once into .tools/debian, by one build at a time; without a
# network or apt, those that are installed here.
fetch() { # fetch <package>...
  local cache=$PWD/.tools/debian uris
  mkdir -p "$cache" "$work/empty"
  uris=$(cd "$work/empty" && apt-get download --print-uris "$@") || return 1
  (flock 9 && cd "$cache" && apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o APT::Sandbox::User=root \
    download "$@") 9>"$cache/.lock" >&2 || return 1
  local file
  for file in $(awk '{ print $2 }' <<<"$uris"); do
    dpkg-deb --extract "$cache/$file" "$work/debian" && dpkg-deb --field "$cache/$file" >"$work/status/${file%%_*}" ||
      return 1
  done
}

mkdir -p "$work/status"
# The license of GCC's libraries is in a separate package, to which their documentation folders link.
if fetch "${PACKAGES[@]}" && fetch "$(readlink "$work/debian/usr/share/doc/libgcc-s1" || echo libgcc-s1)"; then
  source=$work/debian
else
  say "cannot fetch the Debian packages: using the libraries that are installed here"
  source=/
  for package in "${PACKAGES[@]}"; do dpkg-query --status "$package" >"$work/status/$package"; done
fi

copy() { # copy <file> <destination>
  mkdir -p "$(dirname "$root$2")"
  cp -L "$1" "$root$2"
}

[[ ! -e $root ]] || { say "$root exists"; exit 1; }
for library in "${LIBRARIES[@]}"; do
  for folder in "$source/lib/$triplet" "$source/usr/lib/$triplet"; do
    [[ -e $folder/$library ]] && { copy "$folder/$library" "/lib/$triplet/$library"; break; }
  done || { say "$library is not in ${PACKAGES[*]}"; exit 1; }
done
copy "$source/lib/$triplet/$(basename "$loader")" "$loader"
for package in "${PACKAGES[@]}"; do
  copy "$source/usr/share/doc/$package/copyright" "/usr/share/doc/$package/copyright"
done

# Scanners read these files to find the libraries' packages and distribution release.
copy /etc/os-release /etc/os-release
for status in "$work/status"/*; do copy "$status" "/var/lib/dpkg/status.d/$(basename "$status")"; done

printf '%s\n' 'root:x:0:0:root:/:/none' 'nobody:x:65534:65534:nobody:/:/none' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$root/etc/group"

copy LICENSE /usr/share/doc/waymark/LICENSE
node scripts/third-party-licenses.ts "$dist" >"$root/usr/share/doc/waymark/THIRD-PARTY-LICENSES"

# A single copy command for all names, so that hard links stay hard links.
mkdir -p "$root/opt/waymark"
(cd "$dist" && cp --parents --preserve=links,mode -t "$root/opt/waymark" \
  bin/waymark "${PLUGINS[@]/#/bin/}" "${PLUGINS[@]/#/shim/}")
