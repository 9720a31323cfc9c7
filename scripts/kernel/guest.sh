#!/usr/bin/env bash
# The emulated machine once it has its root: runs the tests that `waymark.tests=<a,b>` of the kernel's command line names,
# and writes their TAP to the second serial line, and the exit code last.
exec <>/dev/ttyS1 >&0 2>/dev/console
stty -F /dev/ttyS1 raw -echo

value() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
finish() {
  echo "exit $1"
  stty -F /dev/ttyS1 sane # waits until all of it is sent
  echo o >/proc/sysrq-trigger
  sleep 60
}

mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
ln -sfn /proc/self/fd /dev/fd
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp /var/lib /var/log; do mount -t tmpfs tmpfs "$folder"; done
chmod 1777 /tmp
ip link set lo up

cd "$(dirname "$0")/../.." || finish 1
. scripts/environment.sh
export PATH="$(dirname "$WAYMARK_RUNTIME"):$PWD/.tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export WAYMARK_STRIPPED=$(value waymark.stripped) WAYMARK_KERNEL_BRIEF=$(value waymark.brief)
export HOME=/root TAP_TIMEOUT=$(value waymark.seconds) NODE_OPTIONS="--import=$PWD/scripts/kernel/stripped.mjs"
node --import=./test/support/warnings.ts scripts/kernel/run-tests.ts $(value waymark.tests | tr , ' ') </dev/null
finish $?
