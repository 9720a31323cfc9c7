# The first process of a test's own machine: see machine.ts. Runs in new mount, network and process namespaces.
# Usage: machine.sh <folder> <cgroup> <folder to cover>...
# Prints its process ID, as seen from outside, when everything is set up. The machine runs until stdin ends, which happens
# however the test ends.
set -eu
folder=$1 cgroup=$2
shift 2

read -r pid _ </proc/self/stat
mount -t proc proc /proc
for there; do
  mkdir -p "$folder/$there"
  mount --bind "$folder/$there" "/$there"
done
mkdir -p /run/netns
for which in all default; do echo 0 >"/proc/sys/net/ipv6/conf/$which/accept_dad"; done
ip link set lo up
echo "$pid"

cat >/dev/null

kill -KILL -1 2>/dev/null || true
for attempt in $(seq 100); do
  left=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$cgroup")
  [ -n "$left" ] || exit 0
  find $left -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
done
