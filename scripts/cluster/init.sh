# The first process of a cluster, in new mount, network, process and IPC namespaces: when it ends, however it ends, the
# kernel ends all that runs in the cluster. See begin.sh.
# Usage: init.sh <folder> stdin|forever
set -eu
folder=$1 hold=$2

# As the machine sees it: /proc is still the machine's.
read -r pid _ </proc/self/stat
mount -t proc proc /proc
mkdir -p "$folder/run"
mount -t tmpfs -o mode=755 tmpfs "$folder/run"

ip link set lo up
# The service address is the API server's own: no proxy is needed in front of it.
ip address add 10.96.0.1/32 dev lo
# br0: the nodes' network. br1: a second one, for networks of pods.
for bridge in br0 br1; do ip link add "$bridge" type bridge forward_delay 0 && ip link set "$bridge" up; done
ip address add 10.0.32.1/24 dev br0
echo 1 >/proc/sys/net/ipv4/ip_forward
# The nodes send to each other's pods through here, and need no shorter way.
for which in all default; do echo 0 >"/proc/sys/net/ipv4/conf/$which/send_redirects"; done
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

trap 'exit 0' TERM
echo "$pid" >"$folder/pid.new"
mv "$folder/pid.new" "$folder/pid"
case $hold in
  stdin) cat >/dev/null <&0 & ;;
  forever) tail -f /dev/null & ;;
esac
# The shell also buries the processes whose parents are gone.
wait $!
