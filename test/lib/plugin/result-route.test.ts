import t from 'tap';
import type { Route } from '../../../lib/netlink/route.ts';
import { resultRoute } from '../../../lib/plugin/result-route.ts';

// linux/rtnetlink.h: the main table is 254, RT_SCOPE_UNIVERSE 0, RT_SCOPE_LINK 253. The kernel gives IPv6 routes the metric 1024.
const V4: Route = {
  ...{ family: 4, dst: '10.1.0.0/16', type: 'unicast', table: 254, priority: 0, protocol: 87, scope: 0 },
  hops: [{ gw: '10.0.0.1', oif: 2 }],
};
const V6: Route = { ...V4, family: 6, dst: '2001:db8::/32', priority: 1024, hops: [{ gw: 'fd00::1', oif: 2 }] };

const CASES: [what: string, route: Route, expected: object][] = [
  ['what is usual is not said', V4, { dst: '10.1.0.0/16', gw: '10.0.0.1' }],
  ['nor that of IPv6', V6, { dst: '2001:db8::/32', gw: 'fd00::1' }],
  [
    'all that a result can say is',
    { ...V4, mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 200 },
    { dst: '10.1.0.0/16', gw: '10.0.0.1', mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 200 },
  ],
  ['without a gateway its scope is the link', { ...V4, scope: 253, hops: [{ oif: 2 }] }, { dst: '10.1.0.0/16' }],
  [
    'of several next hops none is named',
    { ...V4, hops: [...V4.hops, { gw: '10.0.0.2', oif: 2 }] },
    { dst: '10.1.0.0/16' },
  ],
];

for (const [what, route, expected] of CASES) t.test(what, async (t) => t.strictSame(resultRoute(route), expected));

t.test('a route that leads nowhere has no place in a result', async (t) => {
  t.strictSame(resultRoute({ ...V4, type: 'blackhole', hops: [] }), []);
});
