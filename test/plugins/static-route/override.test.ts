import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Route } from '../../../lib/netlink/route.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { removedRoutes, withoutRemoved } from '../../../plugins/static-route/override.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { observed } from '../../support/plugins/observed.ts';

// A route-override config with its type changed, without the faults of that plugin.

const ROUTES = [
  'default via 10.244.1.1',
  '10.1.0.0/16 via 10.244.1.1 metric 50',
  '10.2.0.0/16 via 10.244.1.2 mtu lock 1300',
  'default via fd00:244:1::1',
  '2001:db8:1::/48 via fd00:244:1::1',
  '10.3.0.0/16 dev peer',
  '10.4.0.0/16 dev eth0',
];

type Pod = Scratch & {
  before: string;
  prevResult: object;
  verb(command: string, keys: object): ReturnType<typeof call>;
};

function podWithRoutes(t: Test): Pod {
  const pod = scratchPod(t);
  for (const route of ROUTES) pod.ip(`route add ${route}`);
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 }],
    // The earlier plugins list only two of the routes.
    routes: [
      { dst: '0.0.0.0/0', gw: '10.244.1.1' },
      { dst: '10.1.0.0/16', gw: '10.244.1.1' },
    ],
  };
  const config = {
    cniVersion: '1.0.0',
    name: 'net',
    type: 'static-route',
    dataDir: join(scratchFolder(t), 'data'),
    prevResult,
  };
  return {
    ...pod,
    before: pod.routes(),
    prevResult,
    verb: (command, keys) => call(staticRoute, variables(command, pod.path), { ...config, ...keys }),
  };
}

function destinations(pod: Scratch): unknown[] {
  return ['-4', '-6'].flatMap((family) => pod.ipJson(`${family} route show dev eth0`).map(({ dst }) => dst));
}

const ON_LINK = ['10.244.1.0/24', '10.4.0.0/16', 'fd00:244:1::/64', 'fe80::/64'];

const cases: [title: string, keys: object, left: string[], result: string[]][] = [
  ['flushroutes deletes all but routes on the link and link-local ones', { flushroutes: true }, ON_LINK, []],
  [
    'flushgateway deletes the default routes of both families',
    { flushgateway: true },
    ['10.1.0.0/16', '10.2.0.0/16', ...ON_LINK, '2001:db8:1::/48'],
    ['10.1.0.0/16'],
  ],
  [
    'delroutes deletes routes that prevResult does not list',
    { delroutes: [{ dst: '10.2.0.0/16' }, { dst: '2001:db8:1::/48' }] },
    ['default', '10.1.0.0/16', ...ON_LINK, 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
  [
    'delroutes with a gateway deletes routes through it only',
    {
      delroutes: [
        { dst: '10.1.0.0/16', gw: '10.244.1.9' },
        { dst: '10.2.0.0/16', gw: '10.244.1.2' },
      ],
    },
    ['default', '10.1.0.0/16', ...ON_LINK, '2001:db8:1::/48', 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
  [
    'delroutes of a route that is not there does nothing',
    { delroutes: [{ dst: '10.77.0.0/16' }] },
    ['default', '10.1.0.0/16', '10.2.0.0/16', ...ON_LINK, '2001:db8:1::/48', 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
];

const KEEPS = { flushroutes: false, flushgateway: false, delroutes: [] };

t.test('what is taken out of a result: routes, and by flushgateway alone the gateways of addresses', async (t) => {
  const ips = [
    { address: '10.244.1.5/24', gateway: '10.244.1.1' },
    { address: 'fd00::5/64', gateway: 'fd00::1' },
  ];
  const result = {
    ips,
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.1.0.0/16', gw: '10.244.1.9' }, { dst: '10.2.0.0/16' }],
  };
  const left = (keys: object) => {
    const { ips, routes = [] } = withoutRemoved({ ...KEEPS, ...keys }, result);
    return { ips, routes: routes.map(({ dst }) => dst) };
  };
  t.equal(withoutRemoved(KEEPS, result), result, 'the same one if nothing is asked for');
  t.strictSame(left({ flushroutes: true }), { ips, routes: [] });
  const without = [
    { ...ips[0], gateway: '0.0.0.0' },
    { ...ips[1], gateway: '::' },
  ];
  t.strictSame(left({ flushgateway: true }), { ips: without, routes: ['10.1.0.0/16', '10.2.0.0/16'] });
  t.strictSame(withoutRemoved({ ...KEEPS, flushgateway: true }, {}), { routes: [] });
  const all = ['0.0.0.0/0', '::/0', '10.1.0.0/16', '10.2.0.0/16'];
  const withoutOne = (dst: string) => ({ ips, routes: all.filter((other) => other !== dst) });
  const deleted = (dst: string, gw?: string) => left({ delroutes: [{ dst, gw }] });
  t.strictSame(deleted('10.1.0.0/16'), withoutOne('10.1.0.0/16'));
  t.strictSame(deleted('10.1.0.0/16', '10.244.1.9'), withoutOne('10.1.0.0/16'));
  t.strictSame(deleted('10.1.0.0/16', '10.244.1.1'), { ips, routes: all }, 'through another gateway');
  t.strictSame(
    deleted('10.2.0.0/16', '10.244.1.1'),
    withoutOne('10.2.0.0/16'),
    'that of the address, where none is named',
  );
  t.strictSame(deleted('::/0', 'fd00::1'), withoutOne('::/0'));
  t.strictSame(deleted('::/0', '10.244.1.1'), { ips, routes: all });
});

t.test('what is deleted of the kernel’s routes out of some links, and because of which key', async (t) => {
  const route = (dst: string, hops: Route['hops'], more: Partial<Route> = {}): Route => {
    const family = dst.includes(':') ? 6 : 4;
    return { family, dst, type: 'unicast', table: 254, priority: 0, protocol: 3, scope: 0, hops, ...more };
  };
  const ROUTES = [
    route('0.0.0.0/0', [{ gw: '10.244.1.1', oif: 2 }]),
    route('10.1.0.0/16', [{ gw: '10.244.1.1', oif: 2 }]),
    route('10.2.0.0/16', [{ oif: 2 }]),
    route('10.244.1.0/24', [{ oif: 2 }], { scope: 253 }),
    route('10.3.0.0/16', [{ gw: '10.9.0.1', oif: 3 }]),
    route('10.4.0.0/16', [
      { gw: '10.9.0.1', oif: 3 },
      { gw: '10.244.1.1', oif: 2 },
    ]),
    route('169.254.7.0/24', [{ gw: '10.244.1.1', oif: 2 }]),
    route('10.5.0.0/16', [{ gw: '10.244.1.1', oif: 2 }], { table: 7 }),
    route('::/0', [{ oif: 2 }], { priority: 1024 }),
    route('fe80::/64', [{ gw: 'fe80::9', oif: 2 }], { priority: 256 }),
    route('2001:db8::/32', [{ gw: 'fe80::9', oif: 2 }], { priority: 1024 }),
  ];
  const pod = observed({ lo: [], eth0: ['10.244.1.5/24'], net1: ['10.9.0.5/16'] }, ROUTES);
  const links = pod.links().filter(({ name }) => name === 'eth0');
  const removed = (keys: object, wanted: readonly Route[] = []) =>
    removedRoutes(
      { ...KEEPS, ...keys },
      links,
      pod,
      wanted.map((each) => ({ route: each, source: 'routes[0]' })),
    ).map(({ route, source }) => `${route.dst} ${source}`);
  const unread = new Proxy(pod, { get: (_, name) => t.fail(`reads ${String(name)}`) });
  t.strictSame(removedRoutes(KEEPS, links, unread, []), [], 'what deletes nothing reads no table');
  t.strictSame(removed({ flushgateway: true }), ['0.0.0.0/0 flushgateway', '::/0 flushgateway']);
  const flushed = ['0.0.0.0/0', '10.1.0.0/16', '10.4.0.0/16', '::/0', '2001:db8::/32'];
  t.strictSame(
    removed({ flushroutes: true }),
    flushed.map((dst) => `${dst} flushroutes`),
    'not what is on the link, nor link-local, nor of other links and tables',
  );
  const listed = ROUTES.slice(1, 2);
  t.notOk(
    removed({ flushroutes: true }, listed).some((line) => line.startsWith('10.1.0.0/16')),
    'nor what is wanted',
  );
  const other = route('10.1.0.0/16', [{ gw: '10.244.1.2', oif: 2 }]);
  t.ok(removed({ flushroutes: true }, [other]).includes('10.1.0.0/16 flushroutes'), 'which is another route there');
  const dsts = (...delroutes: object[]) => removed({ delroutes, flushgateway: true });
  t.strictSame(dsts({ dst: '10.9.9.0/24' }, { dst: '0.0.0.0/0' }), ['0.0.0.0/0 delroutes[1]', '::/0 flushgateway']);
  t.strictSame(removed({ delroutes: [{ dst: '10.4.0.0/16', gw: '10.244.1.1' }] }), ['10.4.0.0/16 delroutes[0]']);
  t.strictSame(removed({ delroutes: [{ dst: '10.4.0.0/16', gw: '10.244.1.2' }] }), []);
  t.strictSame(removed({ delroutes: [{ dst: '10.244.1.0/24' }] }), ['10.244.1.0/24 delroutes[0]'], 'also on the link');
});

t.test('of the routes on the interface', { skip: noNamespaces }, async (t) => {
  for (const [title, keys, left, result] of cases) {
    t.test(title, async (t) => {
      const pod = podWithRoutes(t);
      const answer = success(await pod.verb('ADD', keys));
      t.strictSame(destinations(pod).sort(), [...left].sort());
      t.strictSame(
        answer.routes?.map(({ dst }) => dst),
        result,
        'the result has what is left of prevResult',
      );
      t.match(
        pod.ipJson('route show 10.3.0.0/16'),
        [{ dev: 'peer' }],
        'interfaces that prevResult does not list keep theirs',
      );
      t.strictSame(success(await pod.verb('ADD', keys)), answer, 'ADD twice gives the same');
      success(await pod.verb('CHECK', keys));
      success(await pod.verb('DEL', keys));
      t.equal(pod.routes(), pod.before, 'DEL restores all of them');
    });
  }
});

t.test('addroutes', { skip: noNamespaces }, async (t) => {
  t.test('come after the flush, in the place of what it took', async (t) => {
    const pod = podWithRoutes(t);
    const keys = {
      flushgateway: true,
      addroutes: [
        { dst: '0.0.0.0/0', gw: '10.244.1.7' },
        { dst: '2001:db8:9::/48', gw: 'fd00:244:1::7' },
      ],
    };
    const answer = success(await pod.verb('ADD', keys));
    t.match(pod.ipJson('route show default'), [{ gateway: '10.244.1.7' }]);
    t.strictSame(
      answer.routes?.map(({ dst, gw }) => [dst, gw]),
      [
        ['10.1.0.0/16', '10.244.1.1'],
        ['0.0.0.0/0', '10.244.1.7'],
        ['2001:db8:9::/48', 'fd00:244:1::7'],
      ],
    );
    t.strictSame(success(await pod.verb('ADD', keys)), answer);
    success(await pod.verb('CHECK', keys));
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), pod.before);
  });

  t.test('that the kernel refuses fail ADD, and what was flushed comes back', async (t) => {
    const pod = podWithRoutes(t);
    const { document } = await pod.verb('ADD', {
      flushroutes: true,
      addroutes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }],
    });
    t.match(document, { code: 104, msg: /^addroutes\[0\]: .*ENETUNREACH/ });
    t.equal(pod.routes(), pod.before);
  });

  t.test('work in args.cni, as an attachment’s own', async (t) => {
    const pod = podWithRoutes(t);
    const keys = { args: { cni: { flushroutes: true, addroutes: [{ dst: '10.9.0.0/16', gw: '10.244.1.3' }] } } };
    success(await pod.verb('ADD', keys));
    t.strictSame(destinations(pod).sort(), ['10.9.0.0/16', ...ON_LINK].sort());
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), pod.before);
  });
});

t.test('flushgateway leaves no gateway in the result', { skip: noNamespaces }, async (t) => {
  const pod = podWithRoutes(t);
  const ips = [
    { address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 },
    { address: 'fd00:244:1::5/64', interface: 0 },
  ];
  const prevResult = { ...pod.prevResult, ips };
  const answer = success(await pod.verb('ADD', { prevResult, flushgateway: true }));
  t.strictSame(
    answer.ips?.map(({ gateway }) => gateway),
    ['0.0.0.0', '::'],
    'but the unspecified address, in an address without one too',
  );

  t.test('and a later plugin takes that for none', async (t) => {
    const keys = { prevResult: answer, routes: [{ dst: '10.9.0.0/16' }, { dst: '2001:db8:9::/48', gw: 'auto' }] };
    success(await pod.verb('ADD', keys));
    t.strictSame(
      [...pod.ipJson('route show proto 87'), ...pod.ipJson('-6 route show proto 87')].map(({ dst, gateway }) => [
        dst,
        gateway,
      ]),
      [
        ['10.9.0.0/16', undefined],
        ['2001:db8:9::/48', 'fd00:244:1::1'],
      ],
    );
  });
});

t.test('addroutes without "gw"', { skip: noNamespaces }, async (t) => {
  const addroutes = [{ dst: '10.9.0.0/16' }, { dst: '2001:db8:9::/48' }];
  for (const [title, keys] of [
    ['is on the link, though prevResult names a gateway', { addroutes }],
    ['is on the link by args.cni too', { args: { cni: { addroutes } } }],
  ] as const) {
    t.test(title, async (t) => {
      const pod = podWithRoutes(t);
      const answer = success(await pod.verb('ADD', keys));
      for (const { dst } of addroutes) {
        t.match(pod.ipJson(`${dst.includes(':') ? '-6' : '-4'} route show ${dst}`), [
          { dst, dev: 'eth0', gateway: undefined, scope: undefined },
        ]);
      }
      t.strictSame(answer.routes?.slice(2), addroutes);
      success(await pod.verb('CHECK', keys));
      success(await pod.verb('DEL', keys));
      t.equal(pod.routes(), pod.before);
    });
  }

  t.test('goes through a gateway by "auto", and gets a scope by "scope"', async (t) => {
    const pod = podWithRoutes(t);
    const keys = {
      addroutes: [
        { dst: '10.9.0.0/16', gw: 'auto' },
        { dst: '10.8.0.0/16', scope: 253 },
      ],
    };
    success(await pod.verb('ADD', keys));
    t.match(pod.ipJson('route show 10.9.0.0/16'), [{ gateway: '10.244.1.1' }]);
    t.match(pod.ipJson('route show 10.8.0.0/16'), [{ scope: 'link' }]);
  });
});

t.test('routes of every interface that prevResult lists', { skip: noNamespaces }, async (t) => {
  const pod = podWithRoutes(t);
  pod.ip('address add 10.245.0.1/24 dev peer');
  pod.ip('route add 10.7.0.0/16 via 10.245.0.9 dev peer');
  const before = pod.routes();
  const interfaces = [
    { name: 'eth0', sandbox: pod.path },
    { name: 'peer', sandbox: pod.path },
    { name: 'br0', mac: '02:00:00:00:00:01' },
  ];
  const prevResult = { ...pod.prevResult, interfaces };
  const keys = { prevResult, flushroutes: true };
  success(await pod.verb('ADD', keys));
  t.strictSame(pod.ipJson('route show 10.7.0.0/16'), [], 'are deleted, as in route-override');
  success(await pod.verb('DEL', keys));
  t.equal(pod.routes(), before);
  success(await pod.verb('ADD', { ...keys, interface: 'eth0' }));
  t.strictSame(pod.ipJson('route show 10.7.0.0/16').length, 1, 'but with "interface", of that one only');
});

t.test(
  'a route of ours in another table does not spare the one in the main table',
  { skip: noNamespaces },
  async (t) => {
    const pod = podWithRoutes(t);
    const keys = {
      delroutes: [{ dst: '10.2.0.0/16' }],
      addroutes: [{ dst: '10.2.0.0/16', gw: '10.244.1.1', table: 100 }],
    };
    pod.ip('route add 10.2.0.0/16 via 10.244.1.1 table 100');
    const before = pod.routes();
    success(await pod.verb('ADD', keys));
    t.strictSame(pod.ipJson('route show 10.2.0.0/16'), []);
    t.match(pod.ipJson('route show table 100'), [{ dst: '10.2.0.0/16', gateway: '10.244.1.1' }]);
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), before);
  },
);

t.test('CHECK looks at our routes only', { skip: noNamespaces }, async (t) => {
  const pod = podWithRoutes(t);
  const keys = { flushroutes: true, addroutes: [{ dst: '10.9.0.0/16', gw: '10.244.1.3' }] };
  success(await pod.verb('ADD', keys));
  pod.ip('route add default via 10.244.1.8');
  success(await pod.verb('CHECK', keys));
  pod.ip('route del 10.9.0.0/16');
  t.match((await pod.verb('CHECK', keys)).document, { code: 106, msg: /addroutes\[0\]/ });
  success(await pod.verb('CHECK', { ...keys, skipcheck: true }));
});
