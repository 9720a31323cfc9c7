#!/bin/busybox sh
# The first process of an emulated kernel: this machine's root, read-only by 9p, with all changes in memory. The kernel's
# command line has waymark.checkout=<path> and waymark.modules=<path>.
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
fail() { echo "init: $*" >/dev/console; poweroff -f; }

for module in /modules/*; do insmod "$module" || fail "cannot load $module"; done
value() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 machine /machine || fail "there is no root"
mount -t tmpfs tmpfs /change
mkdir /change/upper /change/work
mount -t overlay -o lowerdir=/machine,upperdir=/change/upper,workdir=/change/work overlay /root || fail "no overlay"
mkdir -p /root/lib/modules
mount -o bind "/root$(value waymark.modules)" /root/lib/modules
guest="$(value waymark.checkout)/scripts/kernel/guest.sh"
mount -o move /proc /root/proc
mount -o move /dev /root/dev
exec switch_root /root /bin/bash "$guest"
