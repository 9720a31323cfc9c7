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
# What is opened by its device, and not asked for by its name, the kernel loads only where udev has made that device.
/sbin/modprobe tun

cd "$(dirname "$0")/../.." || finish 1
. scripts/environment.sh
export PATH="$(dirname "$WAYMARK_RUNTIME"):$PWD/.tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export WAYMARK_STRIPPED=$(value waymark.stripped) WAYMARK_KERNEL_BRIEF=$(value waymark.brief)
export HOME=/root TAP_TIMEOUT=$(value waymark.seconds) NODE_OPTIONS="--import=$PWD/scripts/kernel/stripped.mjs"

# Loading tap takes ten seconds, so one process runs several files; where there are two processors, there are two processes.
shares=("" "")
for file in $(value waymark.tests | tr , ' '); do
  if (($(nproc) == 1)); then shares[1]+=" $file"; else shares=("${shares[1]}" "${shares[0]} $file"); fi
done
share() { # share <number> <file>...: their TAP, as a subtest
  echo "# Subtest: ${*:2}"
  node --import=./test/support/warnings.ts scripts/kernel/run-tests.ts "${@:2}" </dev/null | sed -u '/^TAP version\|^# { total/d; s/^/    /'
  local code=${PIPESTATUS[0]}
  if ((code == 0)); then echo "ok $1 - ${*:2}"; else echo "not ok $1 - ${*:2}"; fi
  return "$code"
}
echo "TAP version 14"
[[ -n ${shares[0]} ]] || { share 1 ${shares[1]}; code=$?; echo "1..1"; finish "$code"; }
share 2 ${shares[0]} >/run/second.tap &
share 1 ${shares[1]}
first=$?
wait $!
second=$?
cat /run/second.tap
echo "1..2"
finish $((first || second))
