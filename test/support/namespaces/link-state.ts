import type { Test } from 'tap';
import { run, type Scratch, type ScratchPod, scratchNamespace, settle } from './namespace.ts';

// Pods with everything that a link can have, and their state, to test whether a rename preserves it.

/**
 * Creates links, addresses, routes, neighbours and sysctls of many kinds. Everything is fixed, including MAC addresses, so
 * that two such pods are identical.
 */
const COMMANDS = [
  'link add eth0 address 02:00:00:00:00:10 mtu 1400 txqueuelen 500 type veth peer name peer address 02:00:00:00:00:11',
  'link add side address 02:00:00:00:00:20 type veth peer name otherside address 02:00:00:00:00:21',
  'link set peer up',
  'link set otherside up',
  'link set side up',
  'link set eth0 up',
  'link set eth0 allmulticast on',
  'link property add dev eth0 altname a-long-altname-of-the-first-link',
  'address add 10.0.0.1/24 broadcast + dev eth0',
  'address add 192.168.7.1/24 dev side',
  'address add fd00:7::1/64 dev side nodad',
  'address add fd00::1/64 dev eth0 nodad',
  'address add fd00::3/64 dev eth0 nodad valid_lft 200000 preferred_lft 0',
  'address add fd00::2/64 dev eth0 metric 77',
  'address add fd00:9::1 peer fd00:9::2/64 dev eth0 nodad',
  'address add fd00:8::1/64 dev eth0 nodad noprefixroute',
];

/** More IPv4 addresses: the kernel renumbers their labels whenever the link's name changes. */
const MORE_ADDRESSES = [
  'address add 10.0.0.3/24 dev eth0',
  'address add 10.0.0.4/24 dev eth0 valid_lft 100000 preferred_lft 0',
  'address add 10.9.0.1 peer 10.9.0.2/32 dev eth0 label eth0:x',
  'address add 10.9.1.1/24 dev eth0 metric 33',
];

const ROUTES = [
  'route add default via 10.0.0.2 dev eth0',
  'route add 10.1.0.0/16 via 10.0.0.2 dev eth0 metric 7 src 10.0.0.1 proto 87',
  'route add 10.1.0.0/16 via 10.0.0.5 dev eth0 metric 8 proto static',
  'route add 10.1.0.0/16 via 10.0.0.2 dev eth0 table 5000',
  'route add 10.2.0.0/16 dev eth0',
  'route add 10.3.0.0/16 via 192.168.77.1 dev eth0 onlink',
  'route add 10.4.0.0/16 via inet6 fd00::22 dev eth0',
  'route add 10.6.0.0/16 via 10.0.0.2 mtu lock 1300 advmss 1200 initcwnd 20',
  'route add 10.7.0.0/16 nexthop via 10.0.0.2 dev eth0 weight 3 nexthop via 192.168.7.2 dev side weight 7',
  'route add 10.7.1.0/24 nexthop via 10.0.0.2 dev eth0 weight 3 nexthop via 10.0.0.5 dev eth0',
  'route add 10.8.0.0/16 via 10.2.0.9 onlink dev eth0',
  'route add blackhole 10.10.0.0/16',
  'route add local 10.14.0.0/24 dev eth0 table local proto static',
  'route add 192.168.99.0/24 via 192.168.7.2 dev side',
  'route add default via fd00::22 dev eth0',
  'route add fd01::/64 via fd00::22 dev eth0 metric 7 src fd00::1 proto 87',
  'route add fd01::/64 via fd00::22 dev eth0 table 5000',
  'route add fd02::/64 dev eth0',
  'route add fd03::/64 via fe80::99 dev eth0',
  'route add fd05::/64 via fd00::22 pref high',
  'route add fd06::/64 via fd00::22 mtu 1300 advmss 1200',
  'route add fd07::/64 nexthop via fd00::22 dev eth0 nexthop via fd00:7::2 dev side weight 3',
  'route add fd07:1::/64 nexthop via fd00::22 dev eth0 nexthop via fd00::23 dev eth0',
  'route add fd99::/64 via fd00:7::2 dev side',
];

const NEIGHBOURS = [
  'neighbour add 10.0.0.77 lladdr 02:00:00:00:01:01 dev eth0',
  'neighbour add 10.0.0.78 lladdr 02:00:00:00:01:02 dev eth0 nud stale',
  'neighbour add fd00::77 lladdr 02:00:00:00:01:04 dev eth0',
  'neighbour add 192.168.7.77 lladdr 02:00:00:00:01:05 dev side',
];

const SYSCTLS = [
  'ipv4/conf/eth0/rp_filter=2',
  'ipv4/conf/eth0/forwarding=1',
  'ipv4/conf/eth0/arp_ignore=1',
  'ipv4/neigh/eth0/gc_stale_time=7777',
  'ipv6/conf/eth0/accept_ra=0',
  'ipv6/conf/eth0/hop_limit=33',
  'ipv6/neigh/eth0/base_reachable_time_ms=12345',
];

/** A pod with all of it on `eth0`, which has one IPv4 address or several, with duplicate address detection on. */
export function richPod(t: Test, { addresses }: { addresses: 'one' | 'several' }): ScratchPod {
  const pod = scratchNamespace(t);
  const more = addresses === 'several' ? MORE_ADDRESSES : [];
  inOneProcess(pod, [...COMMANDS, ...more]);
  const writes = SYSCTLS.map((setting) => setting.split('=')).map(([key, value]) => `echo ${value} >${key}`);
  inSysctls(pod, [...writes, 'echo 1 >ipv6/conf/eth0/accept_dad'].join(' && '));
  settle(pod);
  inOneProcess(pod, [...ROUTES, ...NEIGHBOURS]);
  // The other end of the pair came before it.
  return { ...pod, eth0: 3 };
}

function inOneProcess(pod: Scratch, commands: readonly string[]): void {
  run('ip', ['-n', pod.name, '-batch', '-'], commands.join('\n'));
}

export type LinkStates = { [table: string]: string };

/** The visible state of the pod's links, table by table, without values that count down. */
export function statesOf(pod: Scratch): LinkStates {
  settle(pod);
  const show = (command: string) =>
    pod
      .ipJson(command)
      .map((entry) => JSON.stringify(entry).replace(/"(valid|preferred)_life_time":(\d+)/g, roundedLifetime));
  const name = String(pod.ipJson('link show').find(({ ifindex }) => ifindex === ETH0)?.ifname);
  return {
    links: show('-d link show').join('\n'),
    addresses: show('-d address show').join('\n'),
    'IPv4 routes': show('-4 -d route show table all').join('\n'),
    // The kernel lists the links of a multipath route in no particular order.
    'IPv6 routes': show('-6 -d route show table all').sort().join('\n'),
    neighbours: show('neighbour show').sort().join('\n'),
    sysctls: inSysctls(
      pod,
      `grep -rs . ipv4/conf/${name} ipv6/conf/${name} ipv4/neigh/${name} ipv6/neigh/${name} | sort`,
    ),
  };
}

/** The same with the labels of IPv4 addresses left out. */
export function withoutLabels(states: LinkStates): LinkStates {
  return { ...states, addresses: (states.addresses ?? '').replace(/"label":"[^"]*",/g, '') };
}

/** The index of `eth0`: `lo` is 1, and the kernel creates the other end of a pair first. */
const ETH0 = 3;

function inSysctls(pod: Scratch, script: string): string {
  return run('ip', ['netns', 'exec', pod.name, 'sh', '-c', `cd /proc/sys/net && ${script}`]);
}

function roundedLifetime(text: string, kind: string, seconds: string): string {
  const isForEver = seconds === '4294967295';
  return isForEver ? text : `"${kind}_life_time":${Math.ceil(Number(seconds) / 1000) * 1000}`;
}
