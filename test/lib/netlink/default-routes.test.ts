import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { Family } from '../../../lib/address/address.ts';
import { findDefaultRoutes } from '../../../lib/netlink/default-routes.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { noNamespaces, run, type Scratch, scratchNamespace, settle } from '../../support/namespaces/namespace.ts';
import { acknowledgement, fakeTransport, recordingTransport, socketIn } from '../../support/namespaces/transport.ts';

/** Commands of `ip route`, and the default route that they lead to, as `gateways metric`. */
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
    const [route, ...others] = findDefaultRoutes(socket, family);
    t.equal(route && printed(route), wanted, `IPv${family}: ${title}`);
    t.strictSame(others, [], `IPv${family}: ${title}, and no other`);
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
    t.match(findDefaultRoutes(socket, family), [{ table: 100, hops: [{ gw }] }]);
  }
});

t.test('a look-up that the kernel refuses is not taken for the absence of a default route', async (t) => {
  const find = (errno: number, text?: string) =>
    findDefaultRoutes(
      new RouteSocket(fakeTransport(([sent]) => (sent ? [acknowledgement(sent, errno, text)] : []))),
      6,
    );
  t.strictSame(find(22), [], 'EINVAL without a message is the answer of a blackhole');
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
    const [route] = findDefaultRoutes(socket, family);
    return { gw: route?.hops[0]?.gw, datagrams: received.length, bytes: received.join('').length };
  };
  pod.ip('route add default via 10.0.0.1');
  pod.ip('-6 route add default via fd00::1');
  const before = [read(4), read(6)];
  t.match(before, [{ gw: '10.0.0.1' }, { gw: 'fd00::1' }]);
  // The look-up, and the addresses of the family in a datagram or two.
  t.ok(before.every(({ datagrams }) => datagrams <= 3));

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

/**
 * Hosts with several uplinks: `eth<n>` has 10.<n>.0.9/24 and fd00:<n>::9/64. Commands of `ip`, all the default routes of
 * the lowest metric, and the link that counts.
 */
const uplinks: [title: string, family: Family, commands: string[], routes: string[], link: string][] = [
  [
    'several routes',
    4,
    ['route add default via 10.2.0.1', 'route append default via 10.1.0.1', 'route append default via 10.3.0.1'],
    ['10.1.0.1 0', '10.2.0.1 0', '10.3.0.1 0'],
    'eth1',
  ],
  [
    'several routes, the other way round',
    4,
    ['route add default via 10.3.0.1', 'route append default via 10.1.0.1', 'route append default via 10.2.0.1'],
    ['10.1.0.1 0', '10.2.0.1 0', '10.3.0.1 0'],
    'eth1',
  ],
  [
    'several next hops',
    4,
    ['route add default nexthop via 10.2.0.1 nexthop via 10.1.0.1 weight 9'],
    ['10.1.0.1,10.2.0.1 0'],
    'eth1',
  ],
  [
    'several next hops, the other way round',
    4,
    ['route add default nexthop via 10.1.0.1 nexthop via 10.2.0.1'],
    ['10.1.0.1,10.2.0.1 0'],
    'eth1',
  ],
  [
    'several next hops',
    6,
    ['route add default via fd00:2::1', 'route append default via fd00:1::1'],
    ['fd00:1::1,fd00:2::1 1024'],
    'eth1',
  ],
  [
    'several next hops, the other way round',
    6,
    ['route add default via fd00:1::1', 'route append default via fd00:2::1'],
    ['fd00:1::1,fd00:2::1 1024'],
    'eth1',
  ],
  [
    'several routes of router advertisements',
    6,
    ['route add default via fd00:2::1 proto ra', 'route append default dev eth3 proto ra'],
    [' 1024', 'fd00:2::1 1024'],
    'eth2',
  ],
  [
    'several routes on the link',
    6,
    ['route add default dev eth3', 'route append default dev eth2', 'route append default dev eth1'],
    [' 1024', ' 1024', ' 1024'],
    'eth1',
  ],
  [
    'routes of several metrics',
    4,
    ['route add default via 10.2.0.1 metric 5', 'route add default via 10.1.0.1 metric 6'],
    ['10.2.0.1 5'],
    'eth2',
  ],
  [
    'routes of several metrics',
    6,
    ['route add default via fd00:2::1 metric 5', 'route add default via fd00:1::1 metric 6'],
    ['fd00:2::1 5'],
    'eth2',
  ],
  [
    'a link without a carrier',
    4,
    ['link set peer1 down', 'route add default nexthop via 10.2.0.1 nexthop via 10.1.0.1'],
    ['10.1.0.1,10.2.0.1 0'],
    'eth2',
  ],
  [
    'a link without a carrier',
    6,
    ['link set peer1 down', 'route add default nexthop via fd00:2::1 nexthop via fd00:1::1'],
    ['fd00:1::1,fd00:2::1 1024'],
    'eth2',
  ],
  [
    'a link that is down',
    4,
    ['route add default nexthop via 10.2.0.1 nexthop via 10.1.0.1', 'link set eth1 down'],
    ['10.1.0.1,10.2.0.1 0'],
    'eth2',
  ],
  [
    'a link without an address',
    4,
    ['address flush dev eth1', 'route add default nexthop via 10.2.0.1 nexthop dev eth1'],
    [',10.2.0.1 0'],
    'eth2',
  ],
  [
    'routes that more specific ones hide',
    6,
    [
      ...['::/1', '8000::/1', '4000::/2'].map((dst) => `route add ${dst} via fd00:3::1`),
      'route add default via fd00:2::1',
      'route append default via fd00:1::1',
    ],
    ['fd00:1::1,fd00:2::1 1024'],
    'eth1',
  ],
];

t.test(
  'of several uplinks the same one counts, whatever the order and the kernel’s hash',
  { skip: noNamespaces },
  async (t) => {
    for (const [title, family, commands, routes, link] of uplinks) {
      const pod = scratchNamespace(t);
      for (const i of [1, 2, 3]) {
        pod.ip(`link add eth${i} type veth peer name peer${i}`);
        pod.ip(`link set peer${i} up`);
        pod.ip(`link set eth${i} up`);
        pod.ip(`address add 10.${i}.0.9/24 dev eth${i}`);
        pod.ip(`address add fd00:${i}::9/64 dev eth${i} nodad`);
      }
      settle(pod);
      for (const command of commands) pod.ip(`-${family} ${command}`);
      const socket = socketIn(t, pod);
      for (const seed of hashSeeds(pod)) {
        seed();
        t.strictSame(findDefaultRoutes(socket, family).map(printed).sort(), routes, `IPv${family}: ${title}`);
        t.equal(Observation.of(socket).defaultLink(family)?.name, link, `IPv${family}: ${title}`);
      }
    }
  },
);

/** What gives the kernel's multipath hash another seed, as a reboot would; since Linux 6.11. */
function hashSeeds(pod: Scratch): (() => void)[] {
  const file = '/proc/sys/net/ipv4/fib_multipath_hash_seed';
  if (!existsSync(file)) return [() => {}];
  return [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => () => {
    run('ip', ['netns', 'exec', pod.name, 'sh', '-c', `echo ${seed} >${file}`]);
  });
}

/** As `gateways metric`, the gateways in order: the kernel's depends on its hash. */
function printed({ hops, priority }: Route): string {
  const gateways = hops.map(({ gw }) => gw ?? '').sort();
  return `${gateways.join()} ${priority}`;
}

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
  settle(host);
  return host;
}
