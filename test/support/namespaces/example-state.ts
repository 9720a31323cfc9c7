/** Commands of `ip` that create every kind of link, address, route and neighbour that we read. */

export const LINKS = [
  'link add eth0 address 02:00:00:00:00:10 type veth peer name peer address 02:00:00:00:00:11',
  'link add br0 address 02:00:00:00:00:12 type bridge',
  'link add port address 02:00:00:00:00:13 mtu 1400 type veth peer name other address 02:00:00:00:00:14',
  'link set port master br0',
  'link add mv0 link eth0 address 02:00:00:00:00:15 type macvlan mode bridge',
  'link add vx0 address 02:00:00:00:00:16 type vxlan id 42 dstport 4789 local 10.0.0.1',
  'link add ifb0 address 02:00:00:00:00:17 type ifb',
  'link property add dev eth0 altname net1 altname an-altname-that-is-longer-than-fifteen-bytes altname änders',
  'link property add dev br0 altname bridge',
  ...['eth0', 'peer', 'br0', 'port', 'other', 'vx0'].map((name) => `link set ${name} up`),
];

export const ADDRESSES = [
  'address add 10.0.0.1/24 broadcast + dev eth0',
  'address add 10.0.0.3/24 dev eth0',
  'address add 10.0.0.4/24 dev eth0 valid_lft 100000 preferred_lft 0',
  'address add 10.9.0.1 peer 10.9.0.2/32 dev eth0 label eth0:x',
  'address add 10.9.1.1/24 dev eth0 scope link',
  'address add 192.168.7.1/24 dev br0',
  '-6 address add fd00::1/64 dev eth0 nodad',
  '-6 address add fd00::3/64 dev eth0 nodad valid_lft 200000 preferred_lft 0',
  '-6 address add fd00:9::1 peer fd00:9::2/64 dev eth0 nodad',
  '-6 address add fd00:7::1/64 dev br0 nodad',
];

/** One route each; all of them can coexist. */
export const ROUTES = [
  'route add default via 10.0.0.2 dev eth0',
  'route add default via 10.0.0.5 dev eth0 metric 50',
  'route add 10.1.0.0/16 via 10.0.0.2 dev eth0 metric 7 src 10.0.0.3 proto 87',
  'route add 10.1.0.0/16 via 10.0.0.5 dev eth0 metric 8 proto static',
  'route add 10.1.0.0/16 via 10.0.0.2 dev eth0 table 5000',
  'route add 10.1.0.0/16 via 10.0.0.2 dev eth0 table 100 scope site',
  'route add 10.2.0.0/16 dev eth0',
  'route add 10.2.1.1 dev br0 scope 77 proto bgp',
  'route add 10.3.0.0/16 via 192.168.77.1 dev eth0 onlink',
  'route add 10.4.0.0/16 via inet6 fd00::2 dev eth0',
  'route add 10.5.0.0/16 via 10.0.0.2 tos 0x10',
  'route add 10.5.0.0/16 via 10.0.0.5',
  'route add 10.6.0.0/16 via 10.0.0.2 mtu 1400 advmss 1300',
  'route add 10.6.1.0/24 via 10.0.0.2 mtu lock 1400',
  'route add 10.6.2.0/24 via 10.0.0.2 advmss 1200 initcwnd 20 initrwnd 30 window 10000 rto_min 100ms congctl cubic quickack 1 features ecn hoplimit 9',
  'route add 10.7.0.0/16 nexthop via 10.0.0.2 dev eth0 weight 3 nexthop via 192.168.7.2 dev br0 weight 256',
  'route add 10.7.1.0/24 mtu 1300 nexthop via 192.168.77.1 dev eth0 onlink nexthop via inet6 fd00::2 dev eth0 weight 7 nexthop dev br0',
  'route add 10.7.2.0/24 src 10.0.0.1 nexthop via 10.0.0.2 realm 9 nexthop via 10.0.0.5 weight 2',
  'route add 10.8.0.0/16 via 10.0.0.2 realm 5',
  'route add 10.8.1.0/24 via 10.0.0.2 ttl-propagate disabled',
  'route add blackhole 10.10.0.0/16',
  'route add unreachable 10.11.0.0/16 metric 4278198272',
  'route add prohibit 10.12.0.0/16 table 200',
  'route add throw 10.13.0.0/16',
  'route add local 10.14.0.0/24 dev lo',
  'route add broadcast 10.14.1.255 dev eth0',
  'route add multicast 239.0.0.0/8 dev eth0',
  'route add 10.15.0.0/16 nhid 7',
  'route add 10.15.1.0/24 nhid 9',
  '-6 route add default via fd00::2 dev eth0',
  '-6 route add fd01::/64 via fd00::2 dev eth0 metric 7 src fd00::3 proto 87',
  '-6 route add fd01::/64 via fd00::4 dev eth0 metric 8',
  '-6 route add fd01::/64 via fd00::2 dev eth0 table 5000',
  '-6 route add fd02::/64 dev eth0',
  '-6 route add fd02::1 dev br0',
  '-6 route add fd03::/64 via fe80::99 dev eth0',
  '-6 route add fd03:1::/64 via fd77::1 dev eth0 onlink',
  '-6 route add fd04::/64 via fd00::2 expires 100000',
  '-6 route add fd05::/64 via fd00::2 pref high',
  '-6 route add fd05:1::/64 via fd00::2 pref low',
  '-6 route add fd06::/64 via fd00::2 mtu 1400 advmss 1300',
  '-6 route add fd06:1::/64 via fd00::2 mtu lock 1400 hoplimit 9 congctl cubic',
  '-6 route add fd07::/64 nexthop via fd00::2 dev eth0 nexthop via fd00:7::2 dev br0 weight 3',
  '-6 route add fd07:1::/64 metric 9 src fd00::1 nexthop via fe80::99 dev eth0 nexthop via fe80::99 dev br0 nexthop via fd77::1 dev eth0 onlink weight 200',
  '-6 route add fd08::/64 from fd00::/64 via fd00::2',
  '-6 route add default from fd00:9::/64 via fd00::4',
  '-6 route add blackhole fd10::/64',
  '-6 route add unreachable fd11::/64 metric 7',
  '-6 route add prohibit fd12::/64 table 200',
  '-6 route add throw fd13::/64',
  '-6 route add local fd14::/64 dev lo table local',
  '-6 route add anycast fd14:1::1 dev eth0',
  '-6 route add fd15::/64 nhid 8',
];

/** A route whose `ip -j` output has the key `dst` twice, so that only its text can be compared. */
export const ENCAPSULATED_ROUTES = [
  'route add 10.16.0.0/16 encap ip id 5 dst 10.0.0.9 ttl 7 dev vx0',
  'route add 10.16.1.0/24 nexthop encap ip id 6 dst 10.0.0.9 dev vx0 nexthop via 10.0.0.2 dev eth0',
];

export const NEXTHOPS = [
  'nexthop add id 7 via 10.0.0.2 dev eth0',
  'nexthop add id 8 via fd00::2 dev eth0',
  'nexthop add id 10 via 10.0.0.5 dev eth0',
  'nexthop add id 9 group 7/10,3',
];

/** Rules of either family; `ADDRESS` and `PREFIX` stand for one of the family. The links are those above. */
const RULES = [
  'from ADDRESS table 100 pref 100 proto 87',
  'from PREFIX to PREFIX table 5000 pref 101',
  'not to PREFIX lookup main pref 102 proto static',
  'iif eth0 fwmark 0x5/0xff table 7 pref 103',
  'iif gone oif br0 table 7 pref 104',
  'fwmark 9 ipproto tcp sport 5-6 dport 80 blackhole pref 105',
  'ipproto 99 unreachable pref 106',
  'tos 0x10 prohibit pref 107',
  'uidrange 5-6 table 9 pref 108',
  'from ADDRESS table main suppress_prefixlength 0 pref 109',
  'goto 200 pref 110',
  'nop pref 111',
  'tun_id 7 table 9 pref 112',
  'fwmark 0/0xff iif lo table 9 pref 113',
  'table 9 suppress_ifgroup 5 pref 114',
  'from ADDRESS table 9 pref 4294967295 proto 255',
];

/** Commands that create every kind of rule that we read. */
export function exampleRules(family: 4 | 6): string[] {
  const [address, prefix] = family === 4 ? ['10.0.0.1', '10.9.0.0/16'] : ['fd00::1', 'fd09::/32'];
  return RULES.map((rule) => `-${family} rule add ${rule.replaceAll('ADDRESS', address).replaceAll('PREFIX', prefix)}`);
}

export const NEIGHBOURS = [
  'neighbour add 10.0.0.77 lladdr 02:00:00:00:01:01 dev eth0',
  'neighbour add 10.0.0.78 lladdr 02:00:00:00:01:02 dev eth0 nud stale',
  'neighbour add 10.0.0.79 lladdr 02:00:00:00:01:03 dev eth0 nud noarp',
  'neighbour add fd00::77 lladdr 02:00:00:00:01:04 dev eth0 nud reachable router',
  'neighbour add fd00::78 lladdr 02:00:00:00:01:05 dev br0 extern_learn',
  'neighbour add proxy 10.0.0.80 dev eth0',
];

/** Creates all of it in an empty namespace whose `lo` is up. */
export function buildExampleState(ip: (command: string) => string): void {
  for (const command of [...LINKS, ...ADDRESSES]) ip(command);
  settle(ip);
  for (const command of [...NEXTHOPS, ...ROUTES, ...NEIGHBOURS]) ip(command);
}

/** Waits until the kernel has given every link that is up its link-local address, and every address its route. */
function settle(ip: (command: string) => string): void {
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    const addresses = ip('-6 address show');
    const routes = ip('-6 route show table local');
    const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;
    const all = count(addresses, /^ *inet6 /gm);
    const isWhole = count(addresses, /^ *inet6 fe80/gm) === 6 && count(routes, /^local /gm) === all;
    if (isWhole && !addresses.includes('tentative')) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
  throw new Error(`the links have no link-local addresses:\n${ip('-6 address show')}`);
}
