// Configs for route-override and for `static-route` beside it, with only `type` changed.

/** What of a case is not the same: exit code or result of ADD, the kernel's routes after it, the verdict of CHECK. */
export type Aspect = 'answer' | 'routes' | 'CHECK';

export type Case = {
  /** Short, for people. Cases that are made of combinations have none: their config says it. */
  readonly title?: string;
  /** The plugin's keys. */
  readonly keys: object;
  /** Commands of `ip` in the pod, beside those of every pod. */
  readonly commands?: readonly string[];
  /** What `prevResult` has instead of what it has in every case. */
  readonly previous?: object;
  readonly version?: string;
  /** The differences that are wanted, and why. Without it, there are none. */
  readonly different?: { readonly in: readonly Aspect[]; readonly why: string };
};

/** The routes of every pod, beside the connected ones. `prevResult` lists all but the one on the link. */
export const ROUTES = [
  'default via 10.244.1.1',
  '10.1.0.0/16 via 10.244.1.1',
  '10.2.0.0/16 via 10.244.1.2',
  '10.4.0.0/16 dev eth0',
  'default via fd00:244:1::1',
  '2001:db8:1::/48 via fd00:244:1::1',
];

/** The `prevResult` of every case, in the pod at this path. */
export function previousResult(sandbox: string): object {
  return {
    interfaces: [{ name: 'eth0', sandbox }],
    ips: [
      { address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 },
      { address: 'fd00:244:1::5/64', gateway: 'fd00:244:1::1', interface: 0 },
    ],
    routes: [
      { dst: '0.0.0.0/0', gw: '10.244.1.1' },
      { dst: '10.1.0.0/16', gw: '10.244.1.1' },
      { dst: '10.2.0.0/16', gw: '10.244.1.2' },
      { dst: '::/0', gw: 'fd00:244:1::1' },
      { dst: '2001:db8:1::/48', gw: 'fd00:244:1::1' },
    ],
  };
}

const NEW_4 = { dst: '10.9.0.0/16', gw: '10.244.1.3' };
const NEW_6 = { dst: '2001:db8:9::/48', gw: 'fd00:244:1::3' };
const OLD_4 = { dst: '10.1.0.0/16' };
const OLD_6 = { dst: '2001:db8:1::/48' };

const PEER_ERROR = 'route-override prints an error and reports success; `static-route` fails and changes nothing';
const PEER_CHECK = 'route-override’s CHECK fails as long as any route, even the default one, covers what it deleted';
const PEER_CHECK_LINK = 'route-override’s CHECK does not accept a route on the link';
const PEER_KERNEL = 'route-override deletes only what `prevResult` lists';
const PEER_DEFAULT = 'route-override drops it from the result, and leaves it in the kernel';
const PEER_GATEWAY =
  'route-override ignores the `gw` that its README documents, and deletes the route through another gateway';
const PEER_ON_LINK = 'route-override ignores that it could not delete the route';
const PEER_HOPS = 'route-override overlooks routes with several next hops';

const fails = { different: { in: ['answer'], why: PEER_ERROR } } as const;
const failsBeforeChanges = { different: { in: ['answer', 'routes'], why: PEER_ERROR } } as const;
const checkOfDeleted = { different: { in: ['CHECK'], why: PEER_CHECK } } as const;
const checkOnLink = { different: { in: ['CHECK'], why: PEER_CHECK_LINK } } as const;
const onlyInKernel = { different: { in: ['routes', 'CHECK'], why: `${PEER_KERNEL}; ${PEER_CHECK}` } } as const;
const leftDefault = { different: { in: ['routes', 'CHECK'], why: `${PEER_DEFAULT}; ${PEER_CHECK}` } } as const;

const KEYS: readonly [string, unknown][] = [
  ['flushroutes', true],
  ['flushgateway', true],
  ['delroutes', [OLD_4, OLD_6]],
  ['addroutes', [NEW_4, NEW_6]],
];

// Every key, every pair of keys and so on, in the config and in `args.cni`.
const combinations: Case[] = Array.from({ length: 15 }, (_, i) => i + 1).flatMap((bits) => {
  const keys = Object.fromEntries(KEYS.filter((_, place) => (bits & (1 << place)) !== 0));
  const isCovered = 'delroutes' in keys && !('flushroutes' in keys) && !('flushgateway' in keys);
  const different = isCovered ? checkOfDeleted : {};
  return [
    { keys, ...different },
    { keys: { args: { cni: keys } }, ...different },
  ];
});

const families: Case[] = [
  { title: 'a route of IPv4', keys: { addroutes: [NEW_4] } },
  { title: 'a route of IPv6', keys: { addroutes: [NEW_6] } },
  { title: 'a route of IPv4 without a gateway', keys: { addroutes: [{ dst: NEW_4.dst }] }, ...checkOnLink },
  { title: 'a route of IPv6 without a gateway', keys: { addroutes: [{ dst: NEW_6.dst }] }, ...checkOnLink },
  {
    title: 'both without a gateway, by args',
    keys: { args: { cni: { addroutes: [{ dst: NEW_4.dst }, { dst: NEW_6.dst }] } } },
    ...checkOnLink,
  },
  {
    title: 'a route to one host without a gateway, and one through it',
    keys: { addroutes: [{ dst: '10.8.0.1/32' }, { dst: NEW_4.dst, gw: '10.8.0.1' }] },
    ...failsBeforeChanges,
  },
  {
    title: 'another default route of IPv4',
    keys: { flushgateway: true, addroutes: [{ dst: '0.0.0.0/0', gw: '10.244.1.3' }] },
  },
  {
    title: 'another default route of IPv6',
    keys: { flushgateway: true, addroutes: [{ dst: '::/0', gw: 'fd00:244:1::3' }] },
  },
  {
    title: 'default routes on the link',
    keys: { flushgateway: true, addroutes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
    ...checkOnLink,
  },
  {
    title: 'a default route beside the old one',
    keys: { addroutes: [{ dst: '0.0.0.0/0', gw: '10.244.1.3' }] },
    ...fails,
  },
  { title: 'the default route that is there', keys: { addroutes: [{ dst: '0.0.0.0/0', gw: '10.244.1.1' }] } },
  { title: 'a route that is there', keys: { addroutes: [{ dst: '10.1.0.0/16', gw: '10.244.1.1' }] } },
  {
    title: 'another route to a destination that is there',
    keys: { addroutes: [{ dst: '10.1.0.0/16', gw: '10.244.1.3' }] },
    ...fails,
  },
  { title: 'a route of IPv6 that is there', keys: { addroutes: [{ dst: '2001:db8:1::/48', gw: 'fd00:244:1::1' }] } },
  {
    title: 'the same route twice',
    keys: { addroutes: [NEW_4, NEW_4] },
    different: { in: ['answer', 'routes', 'CHECK'], why: PEER_ERROR },
  },
  {
    title: 'a gateway that cannot be reached',
    keys: { addroutes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }] },
    ...fails,
  },
  {
    title: 'a gateway of IPv6 that cannot be reached',
    keys: { addroutes: [{ dst: '2001:db8:9::/48', gw: '2001:db8:ffff::1' }] },
    ...fails,
  },
  {
    title: 'a gateway that cannot be reached, after a flush',
    keys: { flushroutes: true, addroutes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }] },
    ...failsBeforeChanges,
  },
  {
    title: 'a gateway of the other family',
    keys: { addroutes: [{ dst: '10.9.0.0/16', gw: 'fd00:244:1::3' }] },
    ...fails,
  },
  { title: 'a destination with host bits', keys: { addroutes: [{ dst: '10.9.0.5/16', gw: '10.244.1.3' }] }, ...fails },
];

const deletions: Case[] = [
  { title: 'a route of IPv4 is deleted', keys: { delroutes: [OLD_4] }, ...checkOfDeleted },
  { title: 'a route of IPv6 is deleted', keys: { delroutes: [OLD_6] }, ...checkOfDeleted },
  {
    title: 'a route is deleted and added again',
    keys: { delroutes: [OLD_4], addroutes: [{ ...OLD_4, gw: '10.244.1.3' }] },
    ...checkOfDeleted,
  },
  { title: 'the default route of IPv4 is deleted', keys: { delroutes: [{ dst: '0.0.0.0/0' }] }, ...leftDefault },
  { title: 'the default route of IPv6 is deleted', keys: { delroutes: [{ dst: '::/0' }] }, ...leftDefault },
  { title: 'a route that nobody has is deleted', keys: { delroutes: [{ dst: '10.77.0.0/16' }] }, ...checkOfDeleted },
  {
    title: 'a route is deleted that only the kernel has',
    keys: { delroutes: [{ dst: '10.5.0.0/16' }] },
    commands: ['route add 10.5.0.0/16 via 10.244.1.1'],
    ...onlyInKernel,
  },
  {
    title: 'a route is deleted that only prevResult has',
    keys: { delroutes: [OLD_4] },
    commands: ['route del 10.1.0.0/16'],
    ...checkOfDeleted,
  },
  {
    title: 'a route is deleted with its gateway',
    keys: { delroutes: [{ ...OLD_4, gw: '10.244.1.1' }] },
    ...checkOfDeleted,
  },
  {
    title: 'a route is deleted with another gateway',
    keys: { delroutes: [{ ...OLD_4, gw: '10.244.1.9' }] },
    different: { in: ['answer', 'routes', 'CHECK'], why: `${PEER_GATEWAY}; ${PEER_CHECK}` },
  },
  { title: 'a part of a route is deleted', keys: { delroutes: [{ dst: '10.1.0.0/24' }] }, ...checkOfDeleted },
  { title: 'a route on the link is deleted', keys: { delroutes: [{ dst: '10.4.0.0/16' }] }, ...onlyInKernel },
  {
    title: 'routes with a metric are deleted',
    keys: { delroutes: [OLD_4] },
    commands: ['route add 10.1.0.0/16 via 10.244.1.2 metric 50'],
    ...checkOfDeleted,
  },
];

const flushes: Case[] = [
  {
    title: 'default routes with metrics are flushed',
    keys: { flushgateway: true },
    commands: ['route add default via 10.244.1.2 metric 50', '-6 route add default via fd00:244:1::2 metric 50'],
  },
  {
    title: 'a default route on the link is flushed',
    keys: { flushgateway: true },
    commands: ['route del default', 'route add default dev eth0'],
    different: { in: ['routes'], why: PEER_ON_LINK },
  },
  {
    title: 'routes are flushed beside default routes on the link',
    keys: { flushroutes: true },
    commands: [
      'route del default',
      'route add default dev eth0',
      '-6 route del default',
      '-6 route add default dev eth0',
    ],
    different: { in: ['routes'], why: PEER_ON_LINK },
  },
  {
    title: 'routes are flushed beside link-local ones',
    keys: { flushroutes: true },
    commands: ['route add 169.254.9.0/24 via 10.244.1.1', '-6 route add fe80:9::/64 via fd00:244:1::1'],
  },
  {
    title: 'routes are flushed beside those of IPv6 on the link',
    keys: { flushroutes: true },
    commands: ['-6 route add 2001:db8:4::/48 dev eth0'],
  },
  {
    title: 'routes are flushed beside those of other tables',
    keys: { flushroutes: true, flushgateway: true },
    commands: ['route add 10.6.0.0/16 via 10.244.1.1 table 100'],
  },
  {
    title: 'routes are flushed beside those of another interface',
    keys: { flushroutes: true, flushgateway: true },
    commands: ['address add 10.245.0.1/24 dev peer', 'route add 10.7.0.0/16 via 10.245.0.9 dev peer'],
  },
  {
    title: 'routes with several next hops are flushed',
    keys: { flushroutes: true },
    commands: ['route add 10.6.0.0/16 nexthop via 10.244.1.1 nexthop via 10.244.1.2'],
    different: { in: ['routes'], why: PEER_HOPS },
  },
  {
    title: 'a default route with several next hops is flushed',
    keys: { flushgateway: true },
    commands: ['route del default', 'route add default nexthop via 10.244.1.1 nexthop via 10.244.1.2'],
    different: { in: ['routes'], why: PEER_HOPS },
  },
];

const results: Case[] = [
  {
    title: 'addresses without a gateway',
    keys: { flushgateway: true },
    previous: {
      ips: [
        { address: '10.244.1.5/24', interface: 0 },
        { address: 'fd00:244:1::5/64', interface: 0 },
      ],
    },
  },
  { title: 'no routes in prevResult', keys: { delroutes: [OLD_4] }, previous: { routes: [] }, ...onlyInKernel },
  {
    title: 'two interfaces in the pod',
    keys: { flushroutes: true, addroutes: [NEW_4] },
    commands: ['address add 10.245.0.1/24 dev peer', 'route add 10.7.0.0/16 via 10.245.0.9 dev peer'],
    previous: {
      interfaces: [
        { name: 'eth0', sandbox: '{pod}' },
        { name: 'peer', sandbox: '{pod}' },
      ],
    },
  },
  {
    title: 'an interface of the node in front',
    keys: { delroutes: [OLD_4], addroutes: [NEW_4] },
    previous: {
      interfaces: [
        { name: 'br0', mac: '02:00:00:00:00:01' },
        { name: 'eth0', sandbox: '{pod}' },
      ],
      ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 1 }],
    },
    ...checkOfDeleted,
  },
  {
    title: 'a result of 0.4.0',
    keys: { flushgateway: true, addroutes: [NEW_4, { dst: NEW_6.dst }] },
    version: '0.4.0',
    ...checkOnLink,
  },
  {
    title: 'a result of 0.3.1',
    keys: { flushgateway: true, delroutes: [OLD_4], addroutes: [NEW_4] },
    version: '0.3.1',
  },
];

const switches: Case[] = [
  { title: 'args override the config', keys: { flushroutes: true, args: { cni: { flushroutes: false } } } },
  { title: 'args replace a list of the config', keys: { addroutes: [NEW_4], args: { cni: { addroutes: [NEW_6] } } } },
  { title: 'args empty a list of the config', keys: { addroutes: [NEW_4], args: { cni: { addroutes: [] } } } },
  { title: 'no keys', keys: {} },
  { title: 'everything switched off', keys: { flushroutes: false, flushgateway: false, delroutes: [], addroutes: [] } },
  { title: 'skipcheck', keys: { delroutes: [OLD_4], skipcheck: true } },
  { title: 'skipcheck by args', keys: { delroutes: [OLD_4], args: { cni: { skipcheck: true } } } },
];

/** Every case, in the order of the page. */
export const CASES: readonly Case[] = [...combinations, ...families, ...deletions, ...flushes, ...results, ...switches];
