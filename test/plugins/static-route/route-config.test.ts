import t from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

const read = (keys: object) => parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', ...keys }).config;
const GATEWAY = { dst: '10.0.0.0/8', gw: '10.1.1.1' };

function problems(keys: object): string[] {
  try {
    read(keys);
    return [];
  } catch (error) {
    if (error instanceof CniError && error.code === 7) return problemsIn(error);
    throw error;
  }
}

t.test('what is not given', async (t) => {
  t.match(read({}), {
    ...{ routes: [], addroutes: [], delroutes: [], rules: [], flushroutes: false, flushgateway: false },
    ...{ missingFamily: 'fail', onConflict: 'fail', protocol: 87, reconcile: 'update' },
  });
  t.strictSame(read({ routes: [GATEWAY] }).routes, [{ ...GATEWAY, type: 'unicast', family: 4 }]);
});

const FAMILIES: [route: object, family: 4 | 6, dst: string][] = [
  [{ dst: 'default' }, 4, '0.0.0.0/0'],
  [{ dst: 'default', gw: 'auto' }, 4, '0.0.0.0/0'],
  [{ dst: 'default', gw: 'fd00::1' }, 6, '::/0'],
  [{ dst: 'default', gw: 'auto', src: 'fd00::5' }, 6, '::/0'],
  [{ dst: 'default', nexthops: [{ dev: 'net1' }, { gw: 'fd00::1' }] }, 6, '::/0'],
  [{ dst: 'default', nexthops: [{ gw: '10.0.0.1' }] }, 4, '0.0.0.0/0'],
  [{ dst: '2001:DB8::/32' }, 6, '2001:db8::/32'],
];

t.test('the family of "default" follows from the addresses beside it', async (t) => {
  for (const [route, family, dst] of FAMILIES)
    t.match(read({ routes: [route] }).routes, [{ family, dst }], JSON.stringify(route));
});

t.test('the only next hop has no weight, one of several keeps it', async (t) => {
  const hops = (...nexthops: object[]) => read({ routes: [{ dst: '10.0.0.0/8', nexthops }] }).routes[0]?.nexthops;
  t.strictSame(hops({ gw: '10.1.1.1', weight: 7 }), [{ gw: '10.1.1.1' }]);
  const two = [{ gw: '10.1.1.1', weight: 7 }, { gw: '10.1.1.2' }];
  t.strictSame(hops(...two), two);
});

t.test('a route of addroutes without a gateway is on the link, with the scope of one through a gateway', async (t) => {
  const added = (route: object) => read({ addroutes: [route] }).addroutes[0];
  t.match(added({ dst: '10.0.0.0/8' }), { isOnLink: true, scope: 0 });
  t.match(added({ dst: '10.0.0.0/8', scope: 200 }), { isOnLink: true, scope: 200 });
  t.match(added({ dst: '2001:db8::/32' }), { isOnLink: true, scope: undefined });
  for (const route of [
    GATEWAY,
    { dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1' }] },
    { dst: '10.0.0.0/8', type: 'throw' },
  ])
    t.notOk('isOnLink' in (added(route) ?? {}), JSON.stringify(route));
});

const WRONG: [routes: object[], problems: string[]][] = [
  [
    [{ dst: '10.0.0.1/8' }],
    ['routes[0].dst: 10.0.0.1/8 has bits set beyond its prefix length; the network is 10.0.0.0/8'],
  ],
  [[{ dst: '10.0.0.0/8', gw: 'fd00::1' }], ['routes[0].gw: fd00::1 is an IPv6 address, but the destination is IPv4']],
  [[{ dst: '::/0', src: '10.0.0.1' }], ['routes[0].src: 10.0.0.1 is an IPv4 address, but the destination is IPv6']],
  [
    [{ dst: '10.0.0.0/8', nexthops: [{ gw: '10.0.0.1' }, { gw: '0.0.0.0' }] }],
    ['routes[0].nexthops[1].gw: 0.0.0.0 stands for no address; leave it out'],
  ],
  [[{ ...GATEWAY, nexthops: [{ gw: '10.0.0.1' }] }], ['routes[0].gw: goes into "nexthops", or without them']],
  [
    [{ dst: '10.0.0.0/8', dev: 'net1', nexthops: [{ gw: '10.0.0.1' }] }],
    ['routes[0].dev: goes into "nexthops", or without them'],
  ],
  [[{ dst: '10.0.0.0/8', onlink: true }], ['routes[0].onlink: needs a "gw"']],
  [
    [{ dst: '10.0.0.0/8', onlink: true, nexthops: [{ gw: '10.0.0.1' }, { dev: 'net1' }] }],
    ['routes[0].onlink: needs a "gw"'],
  ],
  [[{ dst: '10.0.0.0/8', onlink: true, nexthops: [{ gw: '10.0.0.1' }] }], []],
  [[{ dst: '10.0.0.0/8', onlink: false }], []],
  [[{ ...GATEWAY, type: 'throw' }], ['routes[0].gw: a route of type "throw" has no next hop']],
  [[{ dst: '::/0', scope: 253 }], ['routes[0].scope: IPv6 routes have no scope; leave it out']],
  [
    [
      { dst: '::/0', scope: 0 },
      { dst: '10.0.0.0/8', scope: 253 },
    ],
    [],
  ],
  [
    [GATEWAY, { dst: '11.0.0.0/8' }, { ...GATEWAY, gw: '10.1.1.2' }],
    ['routes[2]: has the destination, table and priority of routes[0]; use "nexthops" for several gateways'],
  ],
  [
    [GATEWAY, { ...GATEWAY, table: 254, priority: 0 }],
    ['routes[1]: has the destination, table and priority of routes[0]; use "nexthops" for several gateways'],
  ],
  [
    [{ dst: '::/0' }, { dst: '::/0', priority: 1024 }],
    ['routes[1]: has the destination, table and priority of routes[0]; use "nexthops" for several gateways'],
  ],
  [
    [GATEWAY, { ...GATEWAY, table: 100 }, { ...GATEWAY, priority: 1 }, { dst: '::/0' }, { dst: '::/0', priority: 1 }],
    [],
  ],
];

for (const [routes, expected] of WRONG) {
  t.test(`${JSON.stringify(routes)} ${expected.length > 0 ? 'is wrong' : 'is right'}`, async (t) => {
    t.strictSame(problems({ routes }), expected);
  });
}

// Of the kernel: a metric and a table have 32 bits, MTU and MSS lose their headers (net/ipv4/metrics.c).
const BOUNDS: [key: string, lowest: number, highest: number][] = [
  ['priority', 0, 4_294_967_295],
  ['table', 1, 4_294_967_295],
  ['scope', 0, 255],
  ['mtu', 1, 65_520],
  ['advmss', 1, 65_495],
];

t.test('numbers have bounds', async (t) => {
  for (const [key, lowest, highest] of BOUNDS) {
    for (const value of [lowest, highest]) t.strictSame(problems({ routes: [{ ...GATEWAY, [key]: value }] }), []);
    for (const value of [lowest - 1, highest + 1])
      t.strictSame(problems({ routes: [{ ...GATEWAY, [key]: value }] }), [
        `routes[0].${key}: a whole number from ${lowest} to ${highest} is needed`,
      ]);
  }
  const weight = (value: number) =>
    problems({ routes: [{ dst: '10.0.0.0/8', nexthops: [{ gw: '10.0.0.1', weight: value }] }] });
  t.strictSame([weight(1), weight(256)], [[], []]);
  for (const value of [0, 257])
    t.strictSame(weight(value), ['routes[0].nexthops[0].weight: a whole number from 1 to 256 is needed']);
});

t.test('what is to be deleted is the network of what is written', async (t) => {
  const removed = (route: object) => read({ delroutes: [route] }).delroutes[0];
  t.strictSame(removed({ dst: '10.1.2.3/8' }), { dst: '10.0.0.0/8', gw: undefined });
  t.strictSame(removed({ dst: 'default', mtu: 7 }), { dst: '0.0.0.0/0', gw: undefined });
  t.strictSame(removed({ dst: 'default', gw: 'FD00::1' }), { dst: '::/0', gw: 'fd00::1' });
});
