#!/usr/bin/env bash
# Boots a node: namespaces, control groups and a file system of its own. Runs among the cluster's processes, with the
# machine's files; what is on the node's disk is in <folder>/disk, and stays when the node loses power.
# Usage: boot.sh <folder of the node> <cluster> <node> <folder to show, read-only>
set -eu
folder=$1 cluster=$2 node=$3 tree=$4
here=$(cd "$(dirname "$0")" && pwd)

# The hierarchies of cgroup v1, as /proc/self/cgroup names them: memory, name=systemd.
mapfile -t hierarchies < <(sed -n 's/^[1-9][0-9]*:\([^:]\+\):.*/\1/p' /proc/self/cgroup)

if [[ ${5:-} != inside ]]; then
  for hierarchy in "${hierarchies[@]}"; do
    top=/sys/fs/cgroup/${hierarchy#name=}
    for group in "$top/$cluster" "$top/$cluster/$node"; do
      mkdir -p "$group"
      [[ $hierarchy != *cpuset* ]] || for file in cpuset.cpus cpuset.mems; do cat "$group/../$file" >"$group/$file"; done
    done
    echo $$ >"$top/$cluster/$node/cgroup.procs"
  done
  exec unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child bash "$here/boot.sh" "$@" inside
fi

read -r pid _ </proc/self/stat
exec 3>"$folder/pid"
root=$folder/disk
mount --bind "$root" "$root"
cd "$root"

mkdir -p dev proc sys run tmp root opt/cni/bin etc/cni/net.d usr var/lib var/log var/tmp ".$tree" .old
chmod 1777 tmp var/tmp
[[ -e var/run ]] || ln -s /run var/run
for name in bin sbin lib lib32 lib64 libx32; do
  if [[ -L /$name ]]; then cp -P "/$name" . 2>/dev/null || true; elif [[ -d /$name ]]; then mkdir -p "$name" && mount --bind -o ro "/$name" "$name"; fi
done
mount --bind -o ro /usr usr
mount --bind -o ro "$tree" ".$tree"
for file in passwd group nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d alternatives os-release iproute2 services; do
  [[ ! -e /etc/$file || -e etc/$file ]] || cp -aL "/etc/$file" etc/
done
[[ -e etc/machine-id ]] || tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
echo "$node" >etc/hostname
echo "127.0.0.1 localhost $node" >etc/hosts
: >etc/resolv.conf
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for hierarchy in "${hierarchies[@]}"; do
  mkdir "sys/fs/cgroup/${hierarchy#name=}"
  mount -t cgroup -o "$hierarchy" cgroup "sys/fs/cgroup/${hierarchy#name=}"
done

# What the kubelet would set for the whole machine, it finds set.
mkdir run/sysctl
kernel_setting() { [[ ! -e proc/sys/$1 ]] || { echo "$2" >"run/sysctl/${1//\//.}"; mount --bind "run/sysctl/${1//\//.}" "proc/sys/$1"; }; }
kernel_setting vm/overcommit_memory 1
kernel_setting vm/panic_on_oom 0
kernel_setting kernel/panic 10
kernel_setting kernel/panic_on_oops 1
kernel_setting kernel/keys/root_maxkeys 1000000
kernel_setting kernel/keys/root_maxbytes 25000000

pivot_root . .old
umount -l /.old
cd /
mount --make-rshared /
mkdir -p /run/netns
hostname "$node"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
for which in all default; do echo 0 >"/proc/sys/net/ipv6/conf/$which/accept_dad"; done

echo "$pid" >&3
exec 3>&-
tail -f /dev/null &
wait $!
