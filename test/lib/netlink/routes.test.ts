import t, { type Test } from 'tap';
import type { Family } from '../../../lib/address/address.ts';
import type { Request } from '../../../lib/netlink/message.ts';
import { type Route, routeKey } from '../../../lib/netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route-message.ts';
import { findDefaultRoute, listRoutes } from '../../../lib/netlink/routes.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { buildExampleState, ENCAPSULATED_ROUTES } from '../../support/namespaces/example-state.ts';
import {
  comparable,
  golden,
  type IpObject,
  indexByName,
  nameByIndex,
  printedRoute,
} from '../../support/namespaces/ip-json.ts';
import { noNamespaces, run, type Scratch, scratchNamespace } from '../../support/namespaces/namespace.ts';
import {
  acknowledgement,
  done,
  fakeTransport,
  recordingTransport,
  replay,
  socketIn,
} from '../../support/namespaces/transport.ts';

for (const family of [4, 6] as const) {
  t.test(`the recorded IPv${family} dump is decoded to what ip -j -d route printed of the same routes`, async (t) => {
    const { ip, received } = golden(`routes-ipv${family}`);
    const nameOf = nameByIndex(golden('links').ip);
    const routes = listRoutes(new RouteSocket(replay(received.all ?? [])), family);
    t.equal(routes.length, ip.length);
    for (const [i, printed] of ip.entries()) {
      const route = routes[i];
      t.strictSame(route && printedRoute(route, nameOf), comparable(printed), `${printed.dst}`);
      t.strictSame(JSON.parse(JSON.stringify(route)), route, `${printed.dst} survives JSON`);
    }
  });
}

t.test('a refusal', async (t) => {
  const list = (errno: number, filter: { table?: number }) =>
    listRoutes(new RouteSocket(fakeTransport(([sent]) => (sent ? [done(sent, errno)] : []))), 4, filter);
  t.test('with ENOENT means no routes where one table is asked for, and is thrown where all are', async (t) => {
    t.strictSame(list(2, { table: 4711 }), []);
    t.throws(() => list(2, {}), { name: 'NetlinkError', code: 'ENOENT' });
  });
  t.test('with another errno is thrown, with a table too', async (t) => {
    t.throws(() => list(13, { table: 4711 }), { name: 'NetlinkError', code: 'EACCES' });
  });
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  buildExampleState(pod.ip);
  const socket = socketIn(t, pod);
  const links = pod.ipJson('link show');
  const nameOf = nameByIndex(links);
  const indexOf = indexByName(links);
  const refusalsOf = async (request: Request) => (await socket.change([request], () => 'change')).refusals;

  for (const family of [4, 6] as const) {
    const print = (filter: string) => pod.ipJson(`-d -${family} route show ${filter}`).map(comparable).map(timeless);
    const read = (filter?: { table?: number; oif?: number }) =>
      listRoutes(socket, family, filter).map((route) => timeless(printedRoute(route, nameOf)));

    t.test(`the IPv${family} routes of all tables are what ip -j -d route prints`, async (t) => {
      t.strictSame(read(), print('table all'));
    });

    for (const [number, name] of [
      [254, 'main'],
      [255, 'local'],
      [200, '200'],
      [5000, '5000'],
    ] as const) {
      t.test(`the IPv${family} routes of table ${name} are its own and no others`, async (t) => {
        const all = print('table all').filter(({ table }) => table === name);
        t.ok(all.length > 0);
        t.strictSame(read({ table: number }), all);
      });
    }

    t.test(
      `the IPv${family} routes out of one link are those with a hop on it, of all tables, and no others`,
      async (t) => {
        const uses = ({ dev, nexthops = [] }: IpObject) =>
          [dev, ...(nexthops as IpObject[]).map((hop) => hop.dev)].includes('br0');
        const all = print('table all').filter(uses);
        t.ok(all.length > 2);
        t.strictSame(read({ oif: indexOf('br0') }), all);
      },
    );

    t.test(`a table without IPv${family} routes has none, whether the kernel knows it or not`, async (t) => {
      t.strictSame(read({ table: 4711 }), []);
      t.strictSame(read({ table: 253 }), []);
    });
  }

  for (const family of [4, 6] as const) {
    t.test(
      `every IPv${family} route that is deleted and added again is the same to ip, and no other is touched`,
      async (t) => {
        if (family === 4) for (const command of ENCAPSULATED_ROUTES) pod.ip(command);
        const routes = alone(listRoutes(socket, family));
        t.ok(routes.length > 25);
        for (const route of routes) {
          const name = `${route.dst} of table ${route.table}`;
          const before = linesOf(pod, family);
          t.strictSame(await refusalsOf(deleteRouteRequest(route)), [], `${name} can be deleted`);
          const without = linesOf(pod, family);
          t.equal(without.length, before.length - 1, `${name} is gone, and only it`);
          t.ok(
            without.every((line) => before.includes(line)),
            `nothing else changed with ${name}`,
          );
          const copy = JSON.parse(JSON.stringify(route));
          t.strictSame(await refusalsOf(addRouteRequest(copy)), [], `${name} can be added`);
          t.strictSame(linesOf(pod, family), before, `${name} is back as it was`);
        }
      },
    );
  }
});

/** What is there: commands of `ip route`, and the default route that they lead to, as `gateway metric`. */
const defaults: [title: string, family: Family, commands: string[], wanted: string | undefined][] = [
  ['none, for no routes', 4, [], undefined],
  ['none, for no routes', 6, [], undefined],
  ['none, for routes that are no default', 4, ['add 10.1.0.0/16 via 10.0.0.1'], undefined],
  ['none, for routes that are no default', 6, ['add fd01::/16 via fd00::1'], undefined],
  ['the only one', 4, ['add default via 10.0.0.1'], '10.0.0.1 0'],
  ['the only one', 6, ['add default via fd00::1'], 'fd00::1 1024'],
  [
    'the one with the lowest metric',
    4,
    [
      'add default via 10.0.0.1 metric 200',
      'add default via 10.0.0.2 metric 100',
      'add default via 10.0.0.3 metric 300',
    ],
    '10.0.0.2 100',
  ],
  [
    'the one with the lowest metric',
    6,
    ['add default via fd00::1 metric 200', 'add default via fd00::2 metric 100', 'add default via fd00::3 metric 300'],
    'fd00::2 100',
  ],
  [
    'the kernel’s first of one metric',
    4,
    ['add default via 10.0.0.1', 'append default via 10.0.0.2', 'prepend default via 10.0.0.3'],
    '10.0.0.3 0',
  ],
  ['both of one metric as hops', 6, ['add default via fd00::1', 'append default via fd00::2'], 'fd00::1,fd00::2 1024'],
  ['its next hops', 4, ['add default nexthop via 10.0.0.1 nexthop via 10.0.0.2 weight 3'], '10.0.0.1,10.0.0.2 0'],
  ['its next hops', 6, ['add default nexthop via fd00::1 nexthop via fd00::2'], 'fd00::1,fd00::2 1024'],
  ['one without a gateway', 4, ['add default dev eth0'], ' 0'],
  ['one without a gateway', 6, ['add default dev eth0'], ' 1024'],
  [
    'the one behind a pair that covers everything',
    4,
    ['add default via 10.0.0.1 metric 7', 'add 0.0.0.0/1 via 10.0.0.2', 'add 128.0.0.0/1 via 10.0.0.2'],
    '10.0.0.1 7',
  ],
  [
    'the one behind a pair that covers everything',
    6,
    [
      'add default via fd00::1 metric 7',
      'add ::/1 via fd00::2',
      'add 8000::/1 via fd00::2',
      'add 4000::/2 via fd00::2',
    ],
    'fd00::1 7',
  ],
  [
    'the lowest metric behind a pair that covers everything',
    4,
    [
      'add default via 10.0.0.1 metric 7',
      'add default via 10.0.0.3 metric 5',
      'add 0.0.0.0/1 via 10.0.0.2',
      'add 128.0.0.0/1 via 10.0.0.2',
    ],
    '10.0.0.3 5',
  ],
  [
    'none behind a pair that covers everything',
    4,
    ['add 0.0.0.0/1 via 10.0.0.2', 'add 128.0.0.0/1 via 10.0.0.2'],
    undefined,
  ],
  ['none behind a pair that covers everything', 6, ['add ::/1 via fd00::2', 'add 8000::/1 via fd00::2'], undefined],
  [
    'the one behind routes to reserved addresses',
    4,
    ['add default via 10.0.0.1', 'add 240.0.0.0/4 via 10.0.0.2'],
    '10.0.0.1 0',
  ],
  ...(['unreachable', 'blackhole', 'prohibit', 'throw'] as const).flatMap((type): (typeof defaults)[number][] => [
    [`none, for one of type ${type}`, 4, [`add ${type} default`], undefined],
    [`none, for one of type ${type}`, 6, [`add ${type} default`], undefined],
    [
      `the one behind a filter of type ${type}`,
      4,
      ['add default via 10.0.0.1', `add ${type} 240.0.0.0/4`],
      '10.0.0.1 0',
    ],
    [`the one behind a filter of type ${type}`, 6, ['add default via fd00::1', `add ${type} 4000::/3`], 'fd00::1 1024'],
  ]),
  [
    'the one before another of type unreachable',
    6,
    ['add default via fd00::1', 'add unreachable default metric 4294967295'],
    'fd00::1 1024',
  ],
  ['not one of a table that no rule leads to', 4, ['add default via 10.0.0.1 table 100'], undefined],
  ['not one of a table that no rule leads to', 6, ['add default via fd00::1 table 100'], undefined],
  ['not one for some type of service only', 4, ['add default via 10.0.0.1 tos 0x10'], undefined],
  [
    'not one from some source only',
    6,
    ['add default from fd00:9::/64 via fd00::1', 'add default via fd00::2 metric 2000'],
    'fd00::2 2000',
  ],
];

t.test('the default route is', { skip: noNamespaces }, async (t) => {
  const pod = hostNamespace(t);
  const socket = socketIn(t, pod);
  for (const [title, family, commands, wanted] of defaults) {
    for (const command of commands) pod.ip(`-${family} route ${command}`);
    const route = findDefaultRoute(socket, family);
    const found = route && `${route.hops.map(({ gw }) => gw).join()} ${route.priority}`;
    t.equal(found, wanted, `IPv${family}: ${title}`);
    if (route !== undefined) t.match(route, { family, type: 'unicast', table: 254 });
    for (const command of commands.toReversed()) pod.ip(`-${family} route ${command.replace(/^\w+/, 'del')}`);
  }
});

t.test('the default route of another table is found where a rule leads there', { skip: noNamespaces }, async (t) => {
  const pod = hostNamespace(t);
  const socket = socketIn(t, pod);
  for (const [family, gw] of [
    [4, '10.0.0.1'],
    [6, 'fd00::1'],
  ] as const) {
    pod.ip(`-${family} rule add pref 100 table 100`);
    pod.ip(`-${family} route add default via ${gw} table 100`);
    t.match(findDefaultRoute(socket, family), { table: 100, hops: [{ gw }] });
  }
});

t.test('a look-up that the kernel refuses is not taken for the absence of a default route', async (t) => {
  const find = (errno: number, text?: string) =>
    findDefaultRoute(new RouteSocket(fakeTransport(([sent]) => (sent ? [acknowledgement(sent, errno, text)] : []))), 6);
  t.equal(find(22), undefined, 'EINVAL without a word is the answer of a blackhole');
  t.throws(() => find(22, 'ipv6: Invalid flags for get route request'), { name: 'NetlinkError', code: 'EINVAL' });
  t.throws(() => find(1), { name: 'NetlinkError', code: 'EPERM' });
});

t.test('finding the default route reads no more with 100,000 routes', { skip: noNamespaces }, async (t) => {
  const pod = hostNamespace(t);
  const received: string[] = [];
  const namespace = openNamespace(pod.path);
  const transport = recordingTransport(namespace, received);
  namespace.close();
  t.teardown(() => transport.close());
  const socket = new RouteSocket(transport);
  const read = (family: Family) => {
    received.length = 0;
    const route = findDefaultRoute(socket, family);
    return { gw: route?.hops[0]?.gw, datagrams: received.length, bytes: received.join('').length };
  };
  pod.ip('route add default via 10.0.0.1');
  pod.ip('-6 route add default via fd00::1');
  const before = [read(4), read(6)];
  t.match(before, [
    { gw: '10.0.0.1', datagrams: 1 },
    { gw: 'fd00::1', datagrams: 1 },
  ]);

  const count = 100_000;
  const numbers = [...Array(count).keys()];
  const four = numbers.map((i) => `route add 20.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32 via 10.0.0.2`);
  const six = numbers.map(
    (i) => `route add 2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::/64 via fd00::2`,
  );
  run('ip', ['-n', pod.name, '-batch', '-'], four.join('\n'));
  run('ip', ['-n', pod.name, '-6', '-batch', '-'], six.join('\n'));
  t.ok(listRoutes(socket, 4, { table: 254 }).length > count);
  t.strictSame([read(4), read(6)], before);
});

/** A namespace with 10.0.0.9/24 and fd00::9/64 on `eth0`, and no other routes. */
function hostNamespace(t: Test): Scratch {
  const host = scratchNamespace(t);
  for (const command of [
    'link add eth0 type veth peer name peer',
    'link set peer up',
    'link set eth0 up',
    'address add 10.0.0.9/24 dev eth0',
    'address add fd00::9/64 dev eth0 nodad',
  ]) {
    host.ip(command);
  }
  return host;
}

/**
 * Without the routes that only the kernel can make: several IPv6 ones with one key (`fe80::/64` of each link), and those
 * of metric 0 in the table local (one that is added gets 1024).
 */
function alone(routes: Route[]): Route[] {
  const keys = routes.map(routeKey);
  return routes.filter(
    ({ family, priority }, i) =>
      family === 4 || (priority !== 0 && keys.indexOf(keys[i] ?? '') === keys.lastIndexOf(keys[i] ?? '')),
  );
}

/** Without what counts down between two readings, but with the fact that it does. */
function timeless({ expires, ...route }: IpObject): IpObject {
  return expires === undefined ? route : { ...route, expires: (expires as number) > 99_000 };
}

/** The routes of all tables as text, which says more than JSON (`mtu lock`): one line each, in a fixed order. */
function linesOf(pod: Scratch, family: Family): string[] {
  const text = pod.ip(`-d -${family} route show table all`).replaceAll(/expires \d+sec/g, 'expires');
  return text.replaceAll('\n\t', ' | ').split('\n').filter(Boolean).sort();
}
