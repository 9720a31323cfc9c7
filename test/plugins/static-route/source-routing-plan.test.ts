import t from 'tap';
import { type Change, describe } from '../../../lib/change/change.ts';
import type { Result } from '../../../lib/cni/result.ts';
import { type Route, RT_SCOPE_LINK } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import type { Recorded } from '../../../lib/plugin/plan.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { planStaticRoutes } from '../../../plugins/static-route/plan.ts';
import { outlineSourceRouting } from '../../../plugins/static-route/source-routing.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

// What `sourceRouting` plans, on namespaces made of data. What the kernel makes of it is in source-routing.test.ts.

const NETNS = '/run/netns/pod';

function route(dst: string, hops: Route['hops'], more: Partial<Route> = {}): Route {
  const family = dst.includes(':') ? 6 : 4;
  const priority = family === 4 ? 0 : 1024;
  const scope = family === 4 && hops.every(({ gw }) => gw === undefined) ? RT_SCOPE_LINK : 0;
  return { family, dst, type: 'unicast', table: 254, priority, protocol: 3, scope, hops, ...more };
}

function rule(from: string, table: number, more: Partial<Rule> = {}): Rule {
  return { family: from.includes(':') ? 6 : 4, priority: 30_000, action: 'lookup', table, protocol: 87, from, ...more };
}

type World = {
  addresses?: string[];
  routes?: Route[];
  rules?: Rule[];
  ips?: { address: string; gateway?: string }[];
  keys?: object;
  journal?: Partial<Recorded>;
};

/** The changes for net1, the third link, in short. */
function planned({
  addresses = ['10.7.0.5/16'],
  routes = [],
  rules = [],
  ips,
  keys = {},
  journal,
}: World = {}): string[] {
  const data = observed({ lo: [], eth0: ['10.244.1.5/24'], net1: addresses });
  const links = data.links();
  const pod = Observation.ofData({
    links,
    addresses: links.flatMap(({ index }) => data.addresses(index)),
    routes,
    rules,
  });
  const document = { name: 'net', cniVersion: '1.1.0', sourceRouting: true, ...keys };
  const previous: Result | undefined = ips && {
    interfaces: [{ name: 'net1', sandbox: NETNS }],
    ips: ips.map((ip) => ({ ...ip, interface: 0 })),
  };
  const plan = planStaticRoutes({
    request: planRequest(document, NETNS, 'net1'),
    config: parseStaticRouteConfig(document).config,
    previous,
    observed: pod,
    host: () => pod,
    ...(journal && { journal: { changesFrom: () => [], claimsOfOthers: () => [], ...journal } }),
  });
  return plan.changes.map(({ change }) => describe(change, pod).replace('add ', ''));
}

const TABLE = 87_003;
const via = (gw: string, table = TABLE) => `route 0.0.0.0/0 via ${gw} dev net1 table ${table}`;
const from = (address: string, table = TABLE) => `rule priority 30000 from ${address} lookup ${table}`;

t.test('a rule for each address that is of use beyond the link and lasts', async (t) => {
  const addresses = [
    ...['10.7.0.5/16', '10.7.0.6/16 secondary', '169.254.0.5/16 link'],
    ...['fe80::5/64 link', 'fd07::5/64', 'fd07::6/64 secondary'],
  ];
  t.strictSame(
    planned({ addresses }).filter((line) => line.startsWith('rule')),
    [from('10.7.0.5/32'), from('10.7.0.6/32'), from('169.254.0.5/32', TABLE + 100_000), from('fd07::5/128')],
  );
  t.throws(() => planned({ addresses: ['fe80::5/64 link'] }), {
    code: 101,
    message: /interface "net1" has no address/,
  });
});

t.test('the gateway of an address is', async (t) => {
  const gateway = (world: World) => planned(world).find((line) => line.includes('0.0.0.0/0'));
  const ips = [
    { address: '10.8.0.5/16', gateway: '10.8.0.1' },
    { address: '10.7.0.5/16', gateway: '10.7.0.8' },
  ];
  t.equal(gateway({ ips }), via('10.7.0.8'), 'what the result names for it');
  t.equal(gateway({ ips: ips.slice(0, 1) }), via('10.8.0.1'), 'else for its family');
  const main = route('0.0.0.0/0', [{ gw: '10.7.0.9', oif: 3 }]);
  t.equal(gateway({ ips: [{ address: '10.7.0.5/16', gateway: '0.0.0.0' }], routes: [main] }), via('10.7.0.9'));
  t.equal(
    gateway({ routes: [route('0.0.0.0/0', [{ gw: '10.244.1.1', oif: 2 }]), main] }),
    via('10.7.0.9'),
    'out of it',
  );
  t.equal(gateway({ routes: [route('10.0.0.0/8', [{ gw: '10.7.0.9', oif: 3 }])] }), via('10.7.0.1'), 'else computed');
  t.equal(gateway({ routes: [route('0.0.0.0/0', [{ oif: 3 }])] }), via('10.7.0.1'));
  const six = planned({ addresses: ['fd07::5/64'], routes: [main] });
  t.ok(six.includes(`route ::/0 via fd07::1 dev net1 table ${TABLE}`), 'not of the other family');
  t.throws(() => planned({ addresses: ['10.7.0.1/16'] }), {
    code: 102,
    message: /^sourceRouting: .*list a default route$/,
  });
});

t.test('what an earlier ADD has recorded is kept to', async (t) => {
  const recorded: Change[] = [
    { op: 'add-rule', rule: rule('10.7.0.5/32', 500) },
    { op: 'add-route', route: route('0.0.0.0/0', [{ gw: '10.7.0.77', oif: 3 }], { table: 501 }) },
    { op: 'add-route', route: route('0.0.0.0/0', [{ gw: '10.7.0.78', oif: 3 }], { table: 500 }) },
  ];
  const connected: Change[] = [
    { op: 'add-route', route: route('10.20.0.0/16', [{ oif: 3 }], { table: 500 }) },
    { op: 'add-route', route: route('10.21.0.0/16', [{ oif: 3 }], { table: 501 }) },
    { op: 'add-route', route: route('2001:db8::/32', [{ oif: 3 }], { table: 500 }) },
  ];
  const changesFrom = (source: string) => (source === 'sourceRouting' ? recorded : connected);
  const routes = [route('10.22.0.0/16', [{ oif: 3 }])];
  t.strictSame(planned({ routes, journal: { changesFrom } }), [
    'route 10.20.0.0/16 dev net1 table 500',
    via('10.7.0.78', 500),
    from('10.7.0.5/32', 500),
  ]);
  t.strictSame(planned({ routes, journal: { changesFrom, looksAgain: true } }), [
    'route 10.22.0.0/16 dev net1 table 500',
    via('10.7.0.78', 500),
    from('10.7.0.5/32', 500),
  ]);
  const listed = planned({ keys: { routes: [{ dst: '10.20.0.0/16' }] }, journal: { changesFrom } });
  t.equal(listed.filter((line) => line.startsWith('route 10.20.0.0/16') && line.includes('table 500')).length, 1);
});

t.test('the table is the one that is asked for, that has been, or that nobody has', async (t) => {
  const tables = (world: World) =>
    planned(world).flatMap((line) => (line.startsWith('rule') ? line.split(' ').at(-1) : []));
  t.strictSame(tables({ keys: { sourceRouting: { table: 700 } } }), ['700']);
  const two = ['10.7.0.5/16', '10.8.0.5/16', 'fd07::5/64'];
  t.strictSame(tables({ addresses: two, keys: { sourceRouting: { table: 700 } } }), ['700', '701', '700']);
  t.strictSame(tables({ addresses: two }), [TABLE, TABLE + 100_000, TABLE].map(String));
  t.strictSame(tables({ rules: [rule('10.7.0.5/32', 900)] }), ['900'], 'by the rule that is there');
  t.strictSame(tables({ addresses: two, rules: [rule('fd07::5/128', 900)] })[0], '900', 'of either family');
  for (const others of [{ protocol: 3 }, { priority: 29_999 }])
    t.ok(planned({ rules: [rule('10.7.0.5/32', 900, others)] }).includes(via('10.7.0.1')), 'not by somebody else’s');
  t.strictSame(tables({ rules: [rule('10.7.0.6/32', 900)] }), [`${TABLE}`], 'nor of another address');
  const next = [`${TABLE + 100_000}`];
  t.strictSame(tables({ routes: [route('2001:db8::/32', [{ oif: 2 }], { table: TABLE })] }), next);
  t.strictSame(tables({ rules: [rule('10.99.0.1/32', TABLE)] }), next);
  t.strictSame(tables({ rules: [rule('fd99::1/128', TABLE)] }), next);
  const listed = { dst: '10.60.0.0/16', table: TABLE };
  for (const keys of [{ routes: [listed] }, { addroutes: [listed] }, { rules: [{ from: '10.0.0.0/8', table: TABLE }] }])
    t.strictSame(tables({ keys }).at(-1), next[0]);
  const claims: Change[] = [
    { op: 'add-rule', rule: rule('10.9.0.5/32', TABLE) },
    { op: 'add-route', route: route('0.0.0.0/0', [{ oif: 2 }], { table: TABLE + 100_000 }) },
  ];
  t.strictSame(tables({ journal: { claimsOfOthers: () => claims } }), [`${TABLE + 200_000}`]);
});

t.test('copied is what leads out of the link and lasts, the routes through a gateway last', async (t) => {
  const net1 = { oif: 3 };
  const routes = [
    route('10.20.0.0/16', [{ gw: '10.7.0.7', ...net1 }]),
    route('10.7.0.0/16', [net1], { scope: 253, protocol: 2 }),
    route('10.30.0.0/16', [{ oif: 2 }]),
    route('10.31.0.0/16', [net1, { oif: 2 }]),
    route('10.32.0.0/16', [net1], { protocol: 1 }),
    route('10.33.0.0/16', [net1], { protocol: 9 }),
    route('10.34.0.0/16', [], { type: 'blackhole' }),
    route('10.35.0.0/16', [net1], { nexthopId: 5 }),
    route('10.36.0.0/16', [], {}),
    route('10.37.0.0/16', [net1], { table: 7 }),
    route('0.0.0.0/0', [{ gw: '10.7.0.9', ...net1 }]),
  ];
  t.strictSame(planned({ routes }), [
    `route 10.7.0.0/16 dev net1 table ${TABLE}`,
    `route 10.20.0.0/16 via 10.7.0.7 dev net1 table ${TABLE}`,
    via('10.7.0.9'),
    from('10.7.0.5/32'),
  ]);
  const deleted = planned({ routes, keys: { delroutes: [{ dst: '10.20.0.0/16' }] } });
  t.notOk(
    deleted.some((line) => line.startsWith('route 10.20.0.0/16')),
    'not what the config deletes',
  );
});

t.test('IPv6 has the link-local subnet too, also before the kernel has made it', async (t) => {
  const lines = planned({ addresses: ['fd07::5/64'] });
  t.strictSame(lines, [
    `route fe80::/64 dev net1 table ${TABLE} metric 256`,
    `route ::/0 via fd07::1 dev net1 table ${TABLE}`,
    from('fd07::5/128'),
  ]);
  const there = route('fe80::/64', [{ oif: 3 }], { priority: 256, protocol: 2, expires: 9 });
  t.strictSame(planned({ addresses: ['fd07::5/64'], routes: [there] }), lines);
});

t.test(
  'listed routes that name no table and lead out of the link are copied, a default one for the gateway',
  async (t) => {
    const routes = [
      { dst: '10.31.0.0/16', gw: '10.7.0.3' },
      { dst: '10.32.0.0/16', gw: '10.7.0.3', table: 254 },
      { dst: '10.33.0.0/16', dev: 'eth0', gw: '10.244.1.1' },
      { dst: '10.34.0.0/16', type: 'blackhole' },
    ];
    const inTable = (world: World) =>
      planned(world).filter((line) => line.startsWith('route') && line.includes(`table ${TABLE}`));
    t.strictSame(inTable({ keys: { routes, addroutes: [{ dst: '10.35.0.0/16', table: 9 }] } }), [
      `route 10.31.0.0/16 via 10.7.0.3 dev net1 table ${TABLE}`,
      `route blackhole 10.34.0.0/16 table ${TABLE}`,
      via('10.7.0.1'),
    ]);
    const own = [{ dst: 'default', gw: '10.7.0.3', priority: 70 }];
    t.strictSame(inTable({ addresses: ['10.7.0.1/16'], keys: { routes: own } }), [
      `route 0.0.0.0/0 via 10.7.0.3 dev net1 table ${TABLE} metric 70`,
    ]);
    const both = inTable({ addresses: ['10.7.0.5/16', 'fd07::5/64'], keys: { routes: own } });
    t.ok(
      both.includes(`route ::/0 via fd07::1 dev net1 table ${TABLE}`),
      'of the family that has none listed, the computed one',
    );
  },
);

t.test('explain tells of it without a pod, and of nothing without the key', async (t) => {
  t.strictSame(outlineSourceRouting({ sourceRouting: undefined }), []);
  t.match(outlineSourceRouting({ sourceRouting: { table: undefined, priority: 30_000 } }), [
    /^add to a table of its own what/,
    /rule priority 30000 that looks up a table of its own$/,
  ]);
  t.match(outlineSourceRouting({ sourceRouting: { table: 5, priority: 7 } }), [
    /^add to table 5 what/,
    /priority 7 .*table 5$/,
  ]);
});
