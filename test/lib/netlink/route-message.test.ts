import t from 'tap';
import type { Route } from '../../../lib/netlink/route.ts';
import {
  addRouteRequest,
  decodeRoute,
  deleteRouteRequest,
  dumpRoutesRequest,
  encodeRoute,
  lookUpRouteRequest,
} from '../../../lib/netlink/route-message.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
import { type IpObject, indexByName } from '../../support/namespaces/ip-json.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { attribute, socketIn } from '../../support/namespaces/transport.ts';

/** In the place of a link's index, which is known only when the link is there. */
const LINK = 0;

/** Requests as bytes, derived by hand from linux/rtnetlink.h (struct rtmsg, rtattr, rtnexthop), little endian. */
const requests: [what: string, route: Route, bytes: string[]][] = [
  [
    'a multipath route',
    {
      family: 4,
      dst: '10.9.0.0/16',
      type: 'unicast',
      table: 254,
      priority: 5,
      protocol: 87,
      scope: 0,
      src: '10.0.0.1',
      mtu: 1400,
      hops: [
        { gw: '10.0.0.2', oif: 3, weight: 2 },
        { gw: 'fd00::2', oif: 4, onlink: true },
      ],
    },
    [
      '02 10 00 00 00 57 00 01 00000000', // AF_INET, /16, no source, no tos, table below, protocol, universe, unicast
      '0800 0100 0a090000', // RTA_DST
      '0800 0f00 fe000000', // RTA_TABLE
      '0800 0600 05000000', // RTA_PRIORITY
      '0800 0700 0a000001', // RTA_PREFSRC
      '3400 0900', // RTA_MULTIPATH: 4 + 16 + 32
      '1000 00 01 03000000', // rtnexthop: 16 bytes, no flags, weight less one, link
      '0800 0500 0a000002', // RTA_GATEWAY
      '1e00 04 00 04000000', // rtnexthop: 30 bytes, RTNH_F_ONLINK
      '1600 1200 0a00 fd000000000000000000000000000002 0000', // RTA_VIA: AF_INET6, address; padding
      '0c00 0800 0800 0200 78050000', // RTA_METRICS: RTAX_MTU
    ],
  ],
  [
    'an IPv6 default route from a source prefix that expires',
    {
      family: 6,
      dst: '::/0',
      from: 'fd00::/64',
      type: 'unicast',
      table: 5000,
      priority: 1024,
      protocol: 3,
      scope: 0,
      hops: [{ gw: 'fe80::1', oif: 2 }],
      expires: 600,
    },
    [
      '0a 00 40 00 00 03 00 01 00000000',
      '1400 0200 fd000000000000000000000000000000', // RTA_SRC
      '0800 0f00 88130000',
      '0800 0600 00040000',
      '1400 0500 fe800000000000000000000000000001', // RTA_GATEWAY
      '0800 0400 02000000', // RTA_OIF
      '0800 1700 58020000', // RTA_EXPIRES
    ],
  ],
  [
    'an onlink route through a gateway of the other family',
    {
      family: 4,
      dst: '10.0.0.9/32',
      type: 'unicast',
      table: 254,
      priority: 0,
      protocol: 87,
      scope: 0,
      tos: 0x10,
      hops: [{ gw: 'fe80::1', oif: 2, onlink: true }],
    },
    [
      '02 20 00 10 00 57 00 01 04000000', // RTNH_F_ONLINK
      '0800 0100 0a000009',
      '0800 0f00 fe000000',
      '0800 0600 00000000',
      '1600 1200 0a00 fe800000000000000000000000000001 0000',
      '0800 0400 02000000',
    ],
  ],
  [
    'a blackhole',
    { family: 4, dst: '10.0.0.0/8', type: 'blackhole', table: 254, priority: 7, protocol: 87, scope: 0, hops: [] },
    ['02 08 00 00 00 57 00 06 00000000', '0800 0100 0a000000', '0800 0f00 fe000000', '0800 0600 07000000'],
  ],
  [
    'a route through a nexthop object, whose hops are left out',
    {
      family: 4,
      dst: '10.0.0.0/8',
      type: 'unicast',
      table: 254,
      priority: 0,
      protocol: 4,
      scope: 0,
      nexthopId: 7,
      hops: [{ gw: '10.0.0.2', oif: 3 }],
    },
    [
      '02 08 00 00 00 04 00 01 00000000',
      '0800 0100 0a000000',
      '0800 0f00 fe000000',
      '0800 0600 00000000',
      '0800 1e00 07000000',
    ],
  ],
  [
    'attributes that are only carried along',
    {
      family: 4,
      dst: '10.0.0.0/8',
      type: 'local',
      table: 255,
      priority: 0,
      protocol: 4,
      scope: 254,
      hops: [{ oif: 1 }],
      metrics: [[11, '14000000']],
      other: [[11, '05000000']],
    },
    [
      '02 08 00 00 00 04 fe 02 00000000',
      '0800 0100 0a000000',
      '0800 0f00 ff000000',
      '0800 0600 00000000',
      '0800 0400 01000000',
      '0c00 0800 0800 0b00 14000000', // RTA_METRICS: RTAX_INITCWND
      '0800 0b00 05000000', // RTA_FLOW
    ],
  ],
];

t.test('encodeRoute', async (t) => {
  for (const [what, route, bytes] of requests) {
    t.test(`writes ${what} byte for byte as rtnetlink.h has it`, async (t) => {
      // The last attribute may go without its padding; the message is padded as a whole.
      const written = Buffer.from(encodeRoute(route));
      t.equal(Buffer.concat([written, Buffer.alloc(-written.length & 3)]).toString('hex'), hexOf(bytes));
    });
    t.test(`decodeRoute reads ${what} from these bytes`, async (t) => {
      // Requests say when a route expires in an attribute of their own, dumps in RTA_CACHEINFO.
      const { expires, ...wanted } = route;
      const other = expires === undefined ? {} : { other: [[23, '58020000']] };
      const hops = route.nexthopId === undefined ? route.hops : [];
      t.strictSame(decode(Buffer.from(hexOf(bytes), 'hex')), { ...wanted, hops, ...other });
    });
  }

  t.test('refuses a destination that is not in CIDR notation', async (t) => {
    t.throws(() => encodeRoute(plain({ dst: 'default' })), { name: 'AddressError' });
  });
});

t.test('the requests', async (t) => {
  // linux/netlink.h: NLM_F_EXCL 0x200, NLM_F_CREATE 0x400; linux/rtnetlink.h: 24, 25, 26.
  t.test('of an addition create, and never replace or append', async (t) => {
    const { type, flags } = addRouteRequest(plain());
    t.strictSame({ type, flags }, { type: 24, flags: 0x600 });
  });
  t.test('of a deletion have no flags and the same payload', async (t) => {
    const { type, flags, payload } = deleteRouteRequest(plain());
    t.strictSame({ type, flags }, { type: 25, flags: 0 });
    t.strictSame(payload, addRouteRequest(plain()).payload);
  });
  t.test('of a dump filter by table and link where asked, and by nothing else', async (t) => {
    const dump = (...args: Parameters<typeof dumpRoutesRequest>) =>
      Buffer.from(dumpRoutesRequest(...args).payload).toString('hex');
    t.equal(dumpRoutesRequest(4).type, 26);
    t.equal(dump(4), hexOf(['02 00 00 00 00 00 00 00 00000000']));
    t.equal(dump(6, { table: 5000 }), hexOf(['0a 00 00 00 00 00 00 00 00000000', '0800 0f00 88130000']));
    t.equal(dump(6, { oif: 3 }), hexOf(['0a 00 00 00 00 00 00 00 00000000', '0800 0400 03000000']));
  });
  t.test('of a look-up ask for the route as it stands (0x2000), and of IPv4 for its table too (0x1000)', async (t) => {
    const lookUp = (...args: Parameters<typeof lookUpRouteRequest>) =>
      Buffer.from(lookUpRouteRequest(...args).payload).toString('hex');
    t.equal(lookUp(4, '240.0.0.1'), hexOf(['02 20 00 00 00 00 00 00 00300000', '0800 0100 f0000001']));
    t.equal(
      lookUp(6, '4000::1'),
      hexOf(['0a 80 00 00 00 00 00 00 00200000', '1400 0100 40000000000000000000000000000001']),
    );
  });
});

t.test('decodeRoute', async (t) => {
  t.test('keeps the number of every protocol and scope, named or not', async (t) => {
    for (let number = 0; number < 256; number++) {
      const route = decode(Buffer.from(hexOf(['02 08 00 00 fe 00 00 01 00000000']), 'hex').fill(number, 5, 7));
      if (route?.protocol !== number || route.scope !== number) t.fail(`${number}`, { found: route });
    }
    t.pass('0 to 255');
  });

  // linux/rtnetlink.h, RTN_*
  const types = [
    'unspec',
    'unicast',
    'local',
    'broadcast',
    'anycast',
    'multicast',
    'blackhole',
    'unreachable',
    'prohibit',
    'throw',
    'nat',
  ];
  for (const [number, type] of types.entries()) {
    t.test(`reads rtm_type ${number} as ${type}`, async (t) => {
      t.equal(decode(Buffer.of(2, 8, 0, 0, 254, 3, 0, number, 0, 0, 0, 0))?.type, type);
    });
  }

  t.test('takes the table of the header where there is no RTA_TABLE', async (t) => {
    t.equal(decode(Buffer.of(2, 8, 0, 0, 100, 3, 0, 1, 0, 0, 0, 0))?.table, 100);
  });

  t.test('leaves out what is only the state of a link: dead, linkdown', async (t) => {
    const route = decode(
      Buffer.concat([Buffer.of(2, 8, 0, 0, 254, 3, 0, 1, 0x11, 0, 0, 0), attribute(4, Buffer.of(3, 0, 0, 0))]),
    );
    t.strictSame(route?.hops, [{ oif: 3 }]);
  });

  // struct rta_cacheinfo: clntref, lastuse, expires, error, used, id, ts, tsage; expires is signed, in 1/100 s.
  const expiring: [expires: number, seconds: number | undefined][] = [
    [0, undefined],
    [60_000, 600],
    [59_999, 599],
    [50, 1],
    [1, 1],
    [-300, 1],
  ];
  for (const [ticks, seconds] of expiring) {
    t.test(
      `says ${seconds ?? 'nothing'} when rta_expires is ${ticks}: a route that expires stays one that does`,
      async (t) => {
        const cacheinfo = Buffer.alloc(32);
        cacheinfo.writeInt32LE(ticks, 8);
        t.equal(
          decode(Buffer.concat([Buffer.from([10, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]), attribute(12, cacheinfo)]))
            ?.expires,
          seconds,
        );
      },
    );
  }

  t.test('is undefined for other messages and for other families', async (t) => {
    const data = Buffer.of(28, 20, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0);
    t.equal(decode(data), undefined);
    t.equal(decodeRoute({ type: 25, flags: 0, seq: 1, port: 0, data: Buffer.from(data).fill(2, 0, 1) }), undefined);
  });
});

/** Routes that we make, with what `ip -j -d route` must print of them. LINK stands for the index of eth0. */
const additions: [what: string, route: Route, printed: IpObject][] = [
  ['a gateway', plain(), { gateway: '10.244.1.1', dev: 'eth0' }],
  ['only a link', plain({ hops: [{ oif: LINK }], scope: 253 }), { dev: 'eth0', scope: 'link' }],
  ['a default route', plain({ dst: '0.0.0.0/0' }), { dst: 'default', gateway: '10.244.1.1', dev: 'eth0' }],
  ['a host route', plain({ dst: '10.0.32.2/32' }), { dst: '10.0.32.2', gateway: '10.244.1.1', dev: 'eth0' }],
  [
    'a table and a priority',
    plain({ table: 4_294_967_294, priority: 4_294_967_295 }),
    { gateway: '10.244.1.1', dev: 'eth0', table: '4294967294', metric: 4_294_967_295 },
  ],
  ['a source', plain({ src: '10.244.1.5' }), { gateway: '10.244.1.1', dev: 'eth0', prefsrc: '10.244.1.5' }],
  [
    'mtu and advmss',
    plain({ mtu: 1400, advmss: 1360 }),
    { gateway: '10.244.1.1', dev: 'eth0', metrics: [{ mtu: 1400, advmss: 1360 }] },
  ],
  [
    'onlink',
    plain({ hops: [{ gw: '192.0.2.1', oif: LINK, onlink: true }] }),
    { gateway: '192.0.2.1', dev: 'eth0', flags: ['onlink'] },
  ],
  [
    'an IPv6 gateway',
    plain({ hops: [{ gw: 'fe80::1', oif: LINK }] }),
    { via: { family: 'inet6', host: 'fe80::1' }, dev: 'eth0' },
  ],
  ['a type of service', plain({ tos: 8 }), { tos: '0x08', gateway: '10.244.1.1', dev: 'eth0' }],
  [
    'two next hops',
    plain({
      hops: [
        { gw: '10.244.1.1', oif: LINK, weight: 256 },
        { gw: '192.0.2.1', oif: LINK, onlink: true },
      ],
    }),
    {
      nexthops: [
        { gateway: '10.244.1.1', dev: 'eth0', weight: 256, flags: [] },
        { gateway: '192.0.2.1', dev: 'eth0', weight: 1, flags: ['onlink'] },
      ],
    },
  ],
  ...(['blackhole', 'unreachable', 'prohibit', 'throw'] as const).map((type): [string, Route, IpObject] => [
    type,
    plain({ type, hops: [] }),
    { type },
  ]),
  ['IPv6: a gateway', plain6(), { gateway: 'fd00:244:1::1', dev: 'eth0' }],
  ['IPv6: only a link', plain6({ hops: [{ oif: LINK }] }), { dev: 'eth0' }],
  ['IPv6: a default route', plain6({ dst: '::/0' }), { dst: 'default', gateway: 'fd00:244:1::1', dev: 'eth0' }],
  [
    'IPv6: everything',
    plain6({ dst: 'fd99::7/128', table: 77, priority: 3, src: 'fd00:244:1::5', mtu: 1400, advmss: 1340 }),
    {
      dst: 'fd99::7',
      gateway: 'fd00:244:1::1',
      dev: 'eth0',
      table: '77',
      metric: 3,
      prefsrc: 'fd00:244:1::5',
      metrics: [{ mtu: 1400, advmss: 1340 }],
    },
  ],
  [
    'IPv6: onlink',
    plain6({ hops: [{ gw: '2001:db8::1', oif: LINK, onlink: true }] }),
    { gateway: '2001:db8::1', dev: 'eth0', flags: ['onlink'] },
  ],
  [
    'IPv6: two next hops',
    plain6({
      hops: [
        { gw: 'fe80::1', oif: LINK, weight: 4 },
        { gw: 'fe80::2', oif: LINK },
      ],
    }),
    {
      nexthops: [
        { gateway: 'fe80::1', dev: 'eth0', weight: 4, flags: [] },
        { gateway: 'fe80::2', dev: 'eth0', weight: 1, flags: [] },
      ],
    },
  ],
  [
    'IPv6: from a prefix',
    plain6({ from: 'fd00:244:1::/64' }),
    { from: 'fd00:244:1::/64', gateway: 'fd00:244:1::1', dev: 'eth0' },
  ],
  ...(['blackhole', 'unreachable', 'prohibit', 'throw'] as const).map((type): [string, Route, IpObject] => [
    `IPv6: ${type}`,
    plain6({ type, hops: [] }),
    { type, dev: 'lo' },
  ]),
];

t.test('what is added', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const socket = socketIn(t, pod);
  const oif = indexByName(pod.ipJson('link show'))('eth0');
  const before = pod.routes();

  for (const [what, template, printed] of additions) {
    t.test(`${what}: ip -j shows exactly that, and we read back what was meant`, async (t) => {
      const route: Route = { ...template, hops: template.hops.map((hop) => ({ ...hop, oif })) };
      const { family } = route;
      const old = new Set(pod.ipJson(`-d -${family} route show table all`).map((one) => JSON.stringify(one)));
      t.strictSame(await socket.change([addRouteRequest(route)], () => 'add'), { sent: 1, refusals: [] });
      const added = pod.ipJson(`-d -${family} route show table all`).filter((one) => !old.has(JSON.stringify(one)));
      t.strictSame(added, [{ ...defaults(route), ...printed }]);
      t.strictSame(
        listRoutes(socket, family, { table: route.table }).filter(({ protocol }) => protocol === 87),
        [route],
      );

      const again = await socket.change([addRouteRequest(route)], () => 'add');
      t.match(again.refusals, [{ index: 0, error: { code: 'EEXIST' } }]);
      t.strictSame(await socket.change([deleteRouteRequest(route)], () => 'delete'), { sent: 1, refusals: [] });
      t.equal(pod.routes(), before);
      t.match(await socket.change([deleteRouteRequest(route)], () => 'delete'), {
        refusals: [{ error: { code: 'ESRCH' } }],
      });
    });
  }
});

function plain(more: Partial<Route> = {}): Route {
  const hops = [{ gw: '10.244.1.1', oif: LINK }];
  return {
    family: 4,
    dst: '10.99.0.0/16',
    type: 'unicast',
    table: 254,
    priority: 0,
    protocol: 87,
    scope: 0,
    hops,
    ...more,
  };
}

function plain6(more: Partial<Route> = {}): Route {
  return plain({ family: 6, dst: 'fd99::/64', priority: 1024, hops: [{ gw: 'fd00:244:1::1', oif: LINK }], ...more });
}

function defaults({ family, dst }: Route): IpObject {
  const common = { type: 'unicast', dst, table: 'main', protocol: '87', scope: 'global', flags: [] };
  return family === 4 ? common : { ...common, metric: 1024, pref: 'medium' };
}

function hexOf(parts: string[]): string {
  return parts.join('').replaceAll(' ', '');
}

function decode(data: Buffer): Route | undefined {
  return decodeRoute({ type: 24, flags: 0, seq: 1, port: 0, data });
}
