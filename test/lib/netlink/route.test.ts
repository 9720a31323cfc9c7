import t from 'tap';
import {
  defaultPriority,
  defaultScope,
  describeRoute,
  hasHop,
  isDefaultRoute,
  isSameRoute,
  type NextHop,
  needsNoHop,
  type Route,
  routeKey,
  routeVia,
} from '../../../lib/netlink/route.ts';

const base: Route = {
  family: 4,
  dst: '10.9.0.0/16',
  type: 'unicast',
  table: 254,
  priority: 0,
  protocol: 87,
  scope: 0,
  hops: [{ gw: '10.0.0.1', oif: 2 }],
};
const a: NextHop = { gw: '10.0.0.1', oif: 2 };
const b: NextHop = { gw: '10.0.0.2', oif: 3, weight: 2 };

t.test('routeKey and isSameRoute', async (t) => {
  /** What sets a route apart from `base`: does it have another key (both can be there), is it another route? */
  const changes: [what: string, change: Partial<Route>, otherKey: boolean, other: boolean][] = [
    ['nothing', {}, false, false],
    ['the protocol', { protocol: 3 }, false, false],
    ['when it expires', { expires: 9 }, false, false],
    ['a weight of 1 that is written out', { hops: [{ ...a, weight: 1 }] }, false, false],
    ['the destination', { dst: '10.8.0.0/16' }, true, true],
    ['the length of the destination', { dst: '10.9.0.0/17' }, true, true],
    ['the table', { table: 100 }, true, true],
    ['the priority', { priority: 1 }, true, true],
    ['the type of service', { tos: 8 }, true, true],
    ['the source prefix', { from: '10.0.0.0/8' }, true, true],
    ['the gateway', { hops: [{ gw: '10.0.0.9', oif: 2 }] }, false, true],
    ['the link', { hops: [{ gw: '10.0.0.1', oif: 3 }] }, false, true],
    ['no gateway', { hops: [{ oif: 2 }] }, false, true],
    ['onlink', { hops: [{ ...a, onlink: true }] }, false, true],
    ['a hop more', { hops: [a, b] }, false, true],
    ['no hop', { hops: [] }, false, true],
    ['an attribute of a hop', { hops: [{ ...a, other: [[11, '05000000']] }] }, false, true],
    ['the type', { type: 'blackhole' }, false, true],
    ['the scope', { scope: 253 }, false, true],
    ['the source', { src: '10.0.0.5' }, false, true],
    ['the MTU', { mtu: 1400 }, false, true],
    ['the MSS', { advmss: 1360 }, false, true],
    ['another metric', { metrics: [[11, '05000000']] }, false, true],
    ['the nexthop object', { nexthopId: 7 }, false, true],
    ['another attribute', { other: [[11, '05000000']] }, false, true],
  ];
  for (const [what, change, otherKey, other] of changes) {
    t.test(`${what}: ${otherKey ? 'another' : 'the same'} key, ${other ? 'another' : 'the same'} route`, async (t) => {
      const changed = { ...base, ...change };
      t.equal(routeKey(changed) !== routeKey(base), otherKey);
      t.equal(!isSameRoute(changed, base), other);
      t.equal(!isSameRoute(base, changed), other);
    });
  }

  t.test('the order of the hops does not matter, their weights do', async (t) => {
    t.ok(isSameRoute({ ...base, hops: [a, b] }, { ...base, hops: [b, a] }));
    t.notOk(isSameRoute({ ...base, hops: [a, b] }, { ...base, hops: [a, { ...b, weight: 3 }] }));
    t.notOk(isSameRoute({ ...base, hops: [a, b] }, { ...base, hops: [b, b] }));
  });
  t.test('the order in which the fields were written does not matter', async (t) => {
    const turned = Object.fromEntries(Object.entries(base).reverse()) as Route;
    t.ok(isSameRoute({ ...turned, hops: [{ oif: 2, gw: '10.0.0.1' }] }, base));
  });
});

t.test('hasHop is true for a hop of the route, and false for one of another weight, link or flag', async (t) => {
  const route = { ...base, hops: [a, b] };
  t.ok(hasHop(route, { ...a }));
  t.ok(hasHop(route, { ...a, weight: 1 }));
  t.ok(hasHop(route, { oif: 3, weight: 2, gw: '10.0.0.2' }));
  for (const hop of [{ ...a, weight: 2 }, { ...a, oif: 3 }, { ...a, onlink: true as const }, { oif: 2 }]) {
    t.notOk(hasHop(route, hop));
  }
});

t.test('describeRoute says it in the words of ip route', async (t) => {
  const nameOf = (index: number) => `eth${index}`;
  const table: [words: string, route: Partial<Route>][] = [
    ['10.9.0.0/16 via 10.0.0.1 dev eth2', {}],
    ['10.9.0.0/16 dev eth2', { hops: [{ oif: 2 }], scope: 253 }],
    ['10.9.0.0/16 dev eth2 scope 0', { hops: [{ oif: 2 }] }],
    ['10.9.0.0/16 via 10.0.0.1 dev eth2 onlink', { hops: [{ ...a, onlink: true }] }],
    ['10.9.0.0/16 nexthop via 10.0.0.1 dev eth2 weight 1 nexthop via 10.0.0.2 dev eth3 weight 2', { hops: [a, b] }],
    ['blackhole 10.9.0.0/16', { type: 'blackhole', hops: [] }],
    ['throw 10.9.0.0/16 table 5000 metric 7', { type: 'throw', hops: [], table: 5000, priority: 7 }],
    [
      '10.9.0.0/16 via 10.0.0.1 dev eth2 src 10.0.0.5 mtu 1400 advmss 1360',
      { src: '10.0.0.5', mtu: 1400, advmss: 1360 },
    ],
    ['10.9.0.0/16 via 10.0.0.1 dev eth2 nhid 7', { nexthopId: 7 }],
    [
      '::/0 from fd00::/64 via fd00::1 dev eth2',
      { family: 6, dst: '::/0', from: 'fd00::/64', priority: 1024, hops: [{ gw: 'fd00::1', oif: 2 }] },
    ],
    ['fd09::/64 dev eth2 metric 0', { family: 6, dst: 'fd09::/64', hops: [{ oif: 2 }] }],
  ];
  for (const [words, route] of table) t.equal(describeRoute({ ...base, ...route }, nameOf), words);
});

t.test('needsNoHop is true for the four types that answer themselves, false for the others', async (t) => {
  for (const type of ['blackhole', 'unreachable', 'prohibit', 'throw'] as const) t.ok(needsNoHop(type), type);
  for (const type of ['unicast', 'local', 'broadcast', 'anycast', 'multicast', 'nat', 'unspec'] as const)
    t.notOk(needsNoHop(type), type);
});

t.test('defaultScope is link for an IPv4 route without a gateway, and universe for every other', async (t) => {
  t.equal(defaultScope({ family: 4, type: 'unicast', hops: [{ oif: 2 }] }), 253);
  t.equal(defaultScope({ family: 4, type: 'unicast', hops: [{ oif: 2 }, { oif: 3 }] }), 253);
  t.equal(defaultScope({ family: 4, type: 'unicast', hops: [a] }), 0);
  t.equal(defaultScope({ family: 4, type: 'unicast', hops: [{ oif: 2 }, a] }), 0);
  t.equal(defaultScope({ family: 4, type: 'blackhole', hops: [] }), 0);
  t.equal(defaultScope({ family: 6, type: 'unicast', hops: [{ oif: 2 }] }), 0);
});

t.test('a default route is for every packet, and leads somewhere', async (t) => {
  for (const dst of ['0.0.0.0/0', '::/0']) {
    t.ok(isDefaultRoute({ ...base, dst }));
    for (const other of [{ type: 'blackhole' }, { from: 'fd00::/64' }, { tos: 8 }, { dst: '10.0.0.0/10' }] as const)
      t.notOk(isDefaultRoute({ ...base, dst, ...other }), JSON.stringify(other));
  }
});

t.test('routeVia is an ordinary route, of the main table unless it says another', async (t) => {
  const about = { dst: '10.9.0.0/16', family: 4, link: 2, protocol: 87 } as const;
  t.strictSame(routeVia('10.0.0.1', about), base);
  t.strictSame(routeVia('10.0.0.1', { ...about, table: 7 }), { ...base, table: 7 });
  const v6 = routeVia('fd00::1', { ...about, dst: 'fd09::/64', family: 6 });
  t.match(v6, { family: 6, priority: 1024, scope: 0, hops: [{ gw: 'fd00::1', oif: 2 }] });
});

t.test('defaultPriority is 0 for IPv4 and 1024 for IPv6', async (t) => {
  t.strictSame([defaultPriority(4), defaultPriority(6)], [0, 1024]);
});
