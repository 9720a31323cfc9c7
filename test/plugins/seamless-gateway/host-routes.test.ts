import t from 'tap';
import { noNamespaces } from '../../support/namespaces/namespace.ts';
import { success } from '../../support/plugins/call.ts';
import {
  address,
  BOTH,
  DEFAULT_4,
  DEFAULT_6,
  FOUR,
  ROUTE_4,
  ROUTE_6,
  SIX,
  USUAL,
  USUAL_6,
  via,
  world,
} from '../../support/plugins/gateway-world.ts';

type Case = { title: string; node: string[]; pod?: string[]; keys?: object; routes: string[] };

const via6 = (host: string) => `${host} via fd00:131::1 dev eth0 metric 1024 pref medium`;
// Two more subnets, and an address in each, on the second uplink.
const SECOND = ['address add 10.0.33.2/24 dev uplink1', 'address add fd00:33::2/64 dev uplink1'];
const onSecond = (more = '') => `route add default via 10.0.33.1 dev uplink1${more}`;
const onSecond6 = (more = '') => `-6 route add default via fd00:33::1 dev uplink1${more}`;

const cases: Case[] = [
  { title: 'both families', node: [...USUAL, ...USUAL_6], pod: BOTH, routes: [ROUTE_4, ROUTE_6] },
  {
    title: 'only those of "families"',
    node: [...USUAL, ...USUAL_6],
    pod: BOTH,
    keys: { families: ['ipv6'] },
    routes: [ROUTE_6],
  },
  { title: 'only the family that the pod has', node: [...USUAL, ...USUAL_6], pod: [SIX.pod], routes: [ROUTE_6] },
  { title: 'an IPv6-only default route', node: USUAL_6, pod: BOTH, routes: [ROUTE_6] },
  {
    title: 'an IPv6-only default route out of an interface with IPv4 too',
    node: [address(FOUR.uplink), ...USUAL_6],
    pod: BOTH,
    routes: [ROUTE_4, ROUTE_6],
  },
  {
    title: 'the lowest metric of several default routes',
    node: [address(FOUR.uplink), ...SECOND, `${DEFAULT_4} metric 200`, onSecond(' metric 100')],
    routes: [via('10.0.33.2')],
  },
  {
    title: 'the lowest metric of several IPv6 default routes',
    node: [address(SIX.uplink), ...SECOND, `${DEFAULT_6} metric 200`, onSecond6(' metric 100')],
    pod: [SIX.pod],
    routes: [via6('fd00:33::2')],
  },
  {
    title: 'no metric before any',
    node: [address(FOUR.uplink), ...SECOND, onSecond(' metric 1'), DEFAULT_4],
    routes: [via('10.0.32.2')],
  },
  {
    title: 'the interface whose name is first, of two default routes with one metric',
    node: [address(FOUR.uplink), ...SECOND, DEFAULT_4, onSecond().replace('add', 'append')],
    routes: [via('10.0.32.2')],
  },
  {
    title: 'the interface whose name is first, of two default routes with one metric, whichever is the kernel’s first',
    node: [address(FOUR.uplink), ...SECOND, DEFAULT_4, onSecond().replace('add', 'prepend')],
    routes: [via('10.0.32.2')],
  },
  {
    title: 'the interface whose name is first, of two next hops in any order',
    node: [
      address(FOUR.uplink),
      ...SECOND,
      'route add default nexthop via 10.0.33.1 dev uplink1 nexthop via 10.0.32.1 dev uplink0',
    ],
    routes: [via('10.0.32.2')],
  },
  {
    title: 'the interface that has a carrier, of two next hops',
    node: [
      address(FOUR.uplink),
      ...SECOND,
      'route add default nexthop via 10.0.32.1 dev uplink0 nexthop via 10.0.33.1 dev uplink1',
      'link set wire0 down',
    ],
    routes: [via('10.0.33.2')],
  },
  {
    title: 'the IPv4 default route where both families have one elsewhere',
    node: [address(FOUR.uplink), ...SECOND, DEFAULT_4, onSecond6()],
    pod: BOTH,
    routes: [via('10.0.32.2')],
  },
  {
    title: 'the primary address of several, not a secondary one',
    node: [address(FOUR.uplink), address('10.0.32.1/24'), DEFAULT_4.replace('.1 ', '.9 ')],
    routes: [via('10.0.32.2')],
  },
  {
    title: 'an address that is preferred, not a deprecated one before it',
    node: [
      address('10.0.31.2/24', ' valid_lft 1000 preferred_lft 0'),
      address(FOUR.uplink),
      address('fd00:31::2/64', ' preferred_lft 0'),
      address('fd00:32::2/64'),
      DEFAULT_4,
    ],
    pod: BOTH,
    routes: [ROUTE_4, ROUTE_6],
  },
  {
    title: 'a global address, not one of the link or the host',
    node: [address('10.0.30.2/24', ' scope link'), address('10.0.31.2/24', ' scope host'), ...USUAL],
    routes: [ROUTE_4],
  },
  {
    title: 'the interface of "hostInterface"',
    node: [...USUAL, ...SECOND],
    pod: BOTH,
    keys: { hostInterface: 'uplink1' },
    routes: [via('10.0.33.2'), via6('fd00:33::2')],
  },
  {
    title: 'the interface of "hostInterface" by its altname, without a default route',
    node: [...SECOND, 'link property add dev uplink1 altname uplink-b'],
    keys: { hostInterface: 'uplink-b' },
    routes: [via('10.0.33.2')],
  },
  {
    title: 'the addresses of "hostAddresses"',
    node: [],
    pod: BOTH,
    keys: { hostAddresses: ['192.0.2.1', '2001:DB8::0001', '192.0.2.2'] },
    routes: [via('192.0.2.1'), via('192.0.2.2'), via6('2001:db8::1')],
  },
  {
    title: 'the last address of the pod’s subnet',
    node: USUAL,
    keys: { gateway: 'last' },
    routes: ['10.0.32.2 via 10.131.1.254 dev eth0 '],
  },
];

for (const { title, node, pod = [FOUR.pod], keys = {}, routes } of cases) {
  t.test(`the routes are to ${title}`, { skip: noNamespaces }, async (t) => {
    const scene = world(t, node, pod);
    const before = scene.pod.routes();
    success(await scene.ask('ADD', keys));
    t.strictSame(scene.ours(), routes);
    success(await scene.ask('CHECK', keys));
    success(await scene.ask('DEL', keys));
    t.equal(scene.pod.routes(), before);
    t.strictSame(scene.journals(), []);
  });
}
