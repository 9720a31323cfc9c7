#!/bin/sh
# A CNI plugin that makes what the reference has no plugin for, by the name that it is called: a bond or a tun. It takes the
# addresses from its config, as the reference's `static` does.
set -e
config=$(cat)
inside() { nsenter --net="$CNI_NETNS" ip "$@"; }
kind=${0##*-}

make() {
  if [ "$kind" = tun ]; then
    inside tuntap add "$CNI_IFNAME" mode tun
  else
    inside link add "$CNI_IFNAME" type bond mode active-backup
    inside link add port type veth peer name far
    inside link set far up
    inside link set port master "$CNI_IFNAME"
    inside link set port up
  fi
}

case $CNI_COMMAND in
  ADD)
    make
    ips=
    for address in $(echo "$config" | grep -o '"address":"[^"]*"' | cut -d '"' -f 4); do
      inside address add "$address" dev "$CNI_IFNAME" nodad
      ips="$ips${ips:+,}{\"interface\":0,\"address\":\"$address\"}"
    done
    inside link set "$CNI_IFNAME" up
    interface="{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}"
    echo "{\"cniVersion\":\"1.0.0\",\"interfaces\":[$interface],\"ips\":[$ips]}"
    ;;
  CHECK) inside link show "$CNI_IFNAME" >/dev/null ;;
  DEL)
    inside link del "$CNI_IFNAME"
    [ "$kind" = tun ] || inside link del port
    ;;
esac
