import t from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import { lastingAddress } from '../../../lib/netlink/address.ts';
import { plainLink } from '../../../lib/netlink/link.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation, type Reader } from '../../../lib/observation/observation.ts';

const via = (gw: string, dst = '0.0.0.0/0', link = 2): Route =>
  routeVia(gw, { dst, family: gw.includes(':') ? 6 : 4, link, protocol: 87 });
const ROUTE = via('10.0.0.1');
const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87 };
const ETH0 = { ...plainLink('eth0', 2), altnames: ['first'], master: 4 };
const LINKS = [
  plainLink('lo', 1),
  ETH0,
  { ...plainLink('net1', 3), master: 1 },
  { ...plainLink('red', 4), vrfTable: 10 },
];
const ADDRESSES = [lastingAddress(parsePrefix('10.0.0.5/24'), 2), lastingAddress(parsePrefix('fd00::5/64'), 3)];
const data = (routes: Route[], rules?: Rule[]) =>
  Observation.ofData({ links: LINKS, addresses: ADDRESSES, routes, ...(rules && { rules }) });

t.test('each thing is read once, when it is first asked for', async (t) => {
  const reads: string[] = [];
  const read = <T>(what: string, value: T): T => {
    reads.push(what);
    return value;
  };
  const reader: Reader = {
    links: () => read('links', LINKS),
    addresses: (link) => read(`addresses ${link}`, []),
    routes: (family, table) => read(`routes ${family} ${table}`, []),
    defaultRoutes: () => [],
    rules: (family) => read(`rules ${family}`, family === 4 ? [RULE] : undefined),
  };
  const observation = new Observation(reader);
  t.strictSame(reads, []);
  for (let time = 0; time < 2; time++) {
    t.equal(observation.linkAt(2), ETH0);
    observation.addresses(2);
    observation.addresses(3);
    observation.routesIn(4, 254);
    observation.routesIn(4, 7);
    t.strictSame(observation.routesLike({ ...ROUTE, table: 7 }), []);
    observation.routesIn(6, 254);
    t.strictSame([observation.rulesIn(4), observation.hasRules(4)], [[RULE], true]);
    t.strictSame([observation.rulesIn(6), observation.hasRules(6)], [[], false], 'a kernel without IPv6');
  }
  const tables = ['routes 4 254', 'routes 4 7', 'routes 6 254'];
  t.strictSame(reads, ['links', 'addresses 2', 'addresses 3', ...tables, 'rules 4', 'rules 6']);
});

t.test('links are found by index, name and altname', async (t) => {
  const pod = data([]);
  t.equal(pod.linkNamed('eth0'), ETH0);
  t.equal(pod.linkNamed('first'), ETH0);
  t.equal(pod.linkNamed('second'), undefined);
  t.equal(pod.linkAt(9), undefined);
  t.strictSame([2, 9].map(pod.linkName), ['eth0', '#9']);
});

t.test('what arrives on a link is looked up in the table of its VRF', async (t) => {
  const pod = data([]);
  t.strictSame(
    LINKS.map((link) => pod.tableOf(link)),
    [254, 10, 254, 254],
    'another master is no VRF',
  );
});

t.test('addresses are those of the link, rules those of the family', async (t) => {
  const pod = data([], [RULE, { ...RULE, family: 6 }]);
  t.strictSame(
    pod.addresses(2).map(({ prefix }) => prefix.address),
    ['10.0.0.5'],
  );
  t.strictSame([pod.rulesIn(4), pod.rulesIn(6)], [[RULE], [{ ...RULE, family: 6 }]]);
  t.strictSame([data([]).rulesIn(4), data([]).hasRules(4)], [[], true]);
});

t.test('routes are those of the table and family, and those with one key are told from the rest', async (t) => {
  const [other, third] = [via('10.0.0.2', '10.1.0.0/16'), { ...ROUTE, table: 7 }];
  const v6 = [via('fd00::1', '2001:db8::/32'), via('fd00::2', '2001:db8::/32', 3)];
  const worse = { ...ROUTE, priority: 9 };
  const pod = data([ROUTE, other, third, worse, ...v6]);
  t.strictSame(pod.routesIn(4, 254), [ROUTE, worse, other]);
  t.strictSame(pod.routesIn(4, 7), [third]);
  t.strictSame(pod.routesLike(via('10.0.0.9')), [ROUTE], 'whatever its gateway');
  t.strictSame(pod.routesLike(via('fd00::9', '2001:db8::/32')), v6);
  t.strictSame(pod.routesLike(worse), [worse]);
  t.strictSame(pod.routesLike({ ...ROUTE, priority: 1 }), []);
});

t.test(
  'default routes are those with the lowest metric of the main table, and their link is the one by name',
  async (t) => {
    const others = [
      { ...via('10.0.0.3'), priority: 9 },
      { ...via('10.0.0.4'), table: 7 },
    ];
    const [net1, red] = [via('10.0.0.1', '0.0.0.0/0', 3), via('10.0.0.2', '0.0.0.0/0', 4)];
    t.strictSame(data([net1, ...others]).defaultRoutes(4), [net1]);
    t.equal(data([red, net1]).defaultLink(4)?.name, 'net1');
    t.equal(data([red, net1]).defaultLink(6), undefined);
  },
);
