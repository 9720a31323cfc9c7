import t from 'tap';
import { describe } from '../../../lib/change/change.ts';
import type { Result } from '../../../lib/cni/result.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import type { Observation } from '../../../lib/observation/observation.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { planStaticRoutes } from '../../../plugins/static-route/plan.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

const NETNS = '/run/netns/pod';
const POD = observed({
  lo: ['127.0.0.1/8'],
  eth0: ['10.131.0.5/23', 'fd00::5/64', 'fe80::1/64'],
  net1: ['192.168.7.9/24', 'fe80::2/64'],
});

function plan(keys: object, more: { pod?: Observation; previous?: Result | undefined; ifname?: string } = {}) {
  const { pod = POD, previous, ifname = 'eth0' } = more;
  const document = { name: 'net', cniVersion: '1.1.0', ...keys };
  const request = planRequest(document, NETNS, ifname);
  const { config } = parseStaticRouteConfig(document);
  return planStaticRoutes({ request, config, previous, observed: pod, host: () => pod });
}

function lines(keys: object, more: Parameters<typeof plan>[1] = {}): string[] {
  const { pod = POD } = more;
  return plan(keys, more).changes.map(({ change }) => describe(change, pod));
}

/** A previous result with one interface in the sandbox. */
function previous(name: string, ...ips: { address: string; gateway?: string }[]): Result {
  return {
    interfaces: [{ name: 'br0' }, { name, sandbox: NETNS }],
    ips: ips.map((ip) => ({ ...ip, interface: 1 })),
  };
}

const cases: [title: string, route: object, line: string, previous?: Result][] = [
  [
    'a gateway as it is written',
    { dst: '10.0.0.0/8', gw: '10.131.0.7' },
    'add route 10.0.0.0/8 via 10.131.0.7 dev eth0',
  ],
  [
    'the previous result’s gateway where none is written',
    { dst: '10.0.0.0/8' },
    'add route 10.0.0.0/8 via 10.131.1.1 dev eth0',
    previous('eth0', { address: '10.131.0.5/23', gateway: '10.131.1.1' }),
  ],
  [
    'the previous result’s gateway of the route’s family',
    { dst: '2001:db8::/32' },
    'add route 2001:db8::/32 via fd00::77 dev eth0',
    previous(
      'eth0',
      { address: '10.131.0.5/23', gateway: '10.131.1.1' },
      { address: 'fd00::5/64', gateway: 'fd00::77' },
    ),
  ],
  ['no gateway, on the link, where nobody names one', { dst: '10.0.0.0/8' }, 'add route 10.0.0.0/8 dev eth0'],
  [
    'the subnet’s first address for "auto"',
    { dst: '10.0.0.0/8', gw: 'auto' },
    'add route 10.0.0.0/8 via 10.131.0.1 dev eth0',
  ],
  [
    'the subnet’s first address for "auto" in IPv6, not of the link-local one',
    { dst: '2001:db8::/32', gw: 'auto' },
    'add route 2001:db8::/32 via fd00::1 dev eth0',
  ],
  [
    'the previous result’s gateway for "auto" where it has one',
    { dst: '10.0.0.0/8', gw: 'auto' },
    'add route 10.0.0.0/8 via 10.131.1.1 dev eth0',
    previous('eth0', { address: '10.131.0.5/23', gateway: '10.131.1.1' }),
  ],
  [
    'another link’s subnet for "auto" with "dev"',
    { dst: '10.0.0.0/8', gw: 'auto', dev: 'net1' },
    'add route 10.0.0.0/8 via 192.168.7.1 dev net1',
    previous('eth0', { address: '10.131.0.5/23', gateway: '10.131.1.1' }),
  ],
  [
    'not the previous result’s gateway on another link',
    { dst: '10.0.0.0/8', dev: 'net1' },
    'add route 10.0.0.0/8 dev net1',
    previous('eth0', { address: '10.131.0.5/23', gateway: '10.131.1.1' }),
  ],
  ['"default" as IPv4’s', { dst: 'default', gw: 'auto' }, 'add route 0.0.0.0/0 via 10.131.0.1 dev eth0'],
  ['"default" of the family of its gateway', { dst: 'default', gw: 'fd00::1' }, 'add route ::/0 via fd00::1 dev eth0'],
  [
    'a link-local gateway',
    { dst: '2001:db8::/32', gw: 'fe80::9', dev: 'net1' },
    'add route 2001:db8::/32 via fe80::9 dev net1',
  ],
  [
    'next hops with weights',
    {
      dst: '10.0.0.0/8',
      nexthops: [
        { gw: '10.131.0.1', weight: 3 },
        { gw: '192.168.7.1', dev: 'net1' },
      ],
    },
    'add route 10.0.0.0/8 nexthop via 10.131.0.1 dev eth0 weight 3 nexthop via 192.168.7.1 dev net1 weight 1',
  ],
  [
    'every attribute',
    {
      dst: '10.0.0.0/8',
      gw: '10.9.9.9',
      src: '10.131.0.5',
      priority: 5,
      table: 100,
      scope: 200,
      mtu: 1400,
      advmss: 1300,
      onlink: true,
    },
    'add route 10.0.0.0/8 via 10.9.9.9 dev eth0 onlink table 100 scope 200 src 10.131.0.5 metric 5 mtu 1400 advmss 1300',
  ],
  ['a type without next hops', { dst: '10.0.0.0/8', type: 'prohibit' }, 'add route prohibit 10.0.0.0/8'],
  ['the canonical destination', { dst: '2001:DB8:0::/32', type: 'throw' }, 'add route throw 2001:db8::/32'],
];

t.test('a route gets', async (t) => {
  for (const [title, route, line, result] of cases) {
    t.strictSame(lines({ routes: [route] }, { previous: result }), [line], title);
  }
});

t.test('on a port of a VRF, a route', async (t) => {
  const [addresses, master] = [['10.131.0.5/23', 'fd00::5/64'], 2];
  const pod = observed({ lo: [], red: [], eth0: addresses, net1: ['192.168.7.9/24'] }, [], {
    red: { kind: 'vrf', vrfTable: 1001 },
    eth0: { master },
  });
  const table = (route: object) => plan({ routes: [route] }, { pod }).result.routes?.[0]?.table;
  const line = (route: object) => lines({ routes: [route] }, { pod })[0];
  t.match(line({ dst: '10.0.0.0/8' }), /^add route 10.0.0.0\/8 dev eth0 table 1001/, 'is in the table of the VRF');
  t.equal(table({ dst: '10.0.0.0/8' }), 1001, 'and the result says so');
  t.notMatch(line({ dst: '10.0.0.0/8', table: 254 }), /table/, 'is in the table that it names');
  t.match(
    line({ dst: '10.0.0.0/8', dev: 'net1' }),
    /dev net1$/,
    'is in the main one if it leaves by another interface',
  );
  t.match(line({ dst: '10.0.0.0/8', type: 'throw' }), /table 1001/, 'that leaves by none is in that of the attachment');
});

t.test('a weight of 1 is what next hops have without one, in what is recorded too', async (t) => {
  const hops = (weight?: number) => ({
    nexthops: [{ gw: '10.131.0.1', ...(weight && { weight }) }, { gw: '10.131.0.2' }],
  });
  const changes = (weight?: number) => plan({ routes: [{ dst: '10.0.0.0/8', ...hops(weight) }] }).changes;
  t.equal(JSON.stringify(changes(1)), JSON.stringify(changes()));
  t.not(JSON.stringify(changes(2)), JSON.stringify(changes()));
});

t.test('a rule names a link as the kernel does, and one that is not there is refused', async (t) => {
  const pod = observed({ lo: [], eth0: ['10.131.0.5/23'] }, [], { eth0: { altnames: ['alias'] } });
  const rule = { from: '10.131.0.0/23', table: 7 };
  t.strictSame(lines({ rules: [rule] }, { pod }), ['add rule priority 20000 from 10.131.0.0/23 lookup 7']);
  t.strictSame(lines({ rules: [{ ...rule, iif: 'lo', oif: 'alias' }] }, { pod }), [
    'add rule priority 20000 from 10.131.0.0/23 iif lo oif eth0 lookup 7',
  ]);
  t.strictSame(lines({ rules: [{ table: 7, iif: 'lo' }] }, { pod }).length, 2, 'one of each family, if none is said');
  for (const key of ['iif', 'oif'])
    t.throws(() => lines({ rules: [rule, { ...rule, [key]: 'absent' }] }, { pod }), {
      code: 100,
      message: new RegExp(`^rules\\[1\\]\\.${key}: .*absent`),
    });
});

t.test('the interface is', async (t) => {
  const routes = [{ dst: '10.0.0.0/8' }];
  const on = (name: string) => [`add route 10.0.0.0/8 dev ${name}`];
  const two: Result = {
    interfaces: [
      { name: 'eth0', sandbox: NETNS },
      { name: 'net1', sandbox: NETNS },
    ],
    ips: [],
  };
  t.strictSame(lines({ routes, interface: 'net1' }, { previous: previous('eth0') }), on('net1'), 'the config’s');
  t.strictSame(
    lines({ routes }, { previous: two, ifname: 'net1' }),
    on('net1'),
    'the previous result’s that has the name CNI_IFNAME',
  );
  t.strictSame(
    lines({ routes }, { previous: previous('net1'), ifname: 'x' }),
    on('net1'),
    'else the only one in the sandbox',
  );
  t.strictSame(lines({ routes }, { previous: {}, ifname: 'net1' }), on('net1'), 'else CNI_IFNAME');
  t.strictSame(lines({ routes }, { ifname: 'net1' }), on('net1'), 'unchained: CNI_IFNAME where the pod has it');
  t.strictSame(lines({ routes }, { ifname: 'net7' }), on('eth0'), 'unchained: else eth0');
});

const refusals: [
  title: string,
  keys: object,
  error: { code: number; message?: RegExp; details?: string },
  pod?: Observation,
][] = [
  [
    '100 for an interface that is not there',
    { interface: 'eth9' },
    { code: 100, details: 'the pod has lo, eth0, net1' },
  ],
  ['100 for a "dev" that is not there', { routes: [{ dst: '10.0.0.0/8', dev: 'eth9' }] }, { code: 100 }],
  [
    '101 for a family that the link lacks',
    { routes: [{ dst: '10.1.0.0/16' }, { dst: '2001:db8::/32', dev: 'net1' }] },
    { code: 101, message: /^routes\[1\]: interface "net1" has no IPv6 address/ },
  ],
  [
    '102 for a /31',
    { routes: [{ dst: '10.0.0.0/8', gw: 'auto' }] },
    { code: 102, message: /10\.1\.1\.3\/31: the subnet is too small/ },
    observed({ eth0: ['10.1.1.3/31'] }),
  ],
  [
    '102 for a /32',
    { routes: [{ dst: '10.0.0.0/8', gw: 'auto' }] },
    { code: 102 },
    observed({ eth0: ['10.1.1.3/32'] }),
  ],
  ['102 for a /127', { routes: [{ dst: '::/0', gw: 'auto' }] }, { code: 102 }, observed({ eth0: ['fd00::3/127'] })],
  [
    '102 where the gateway would be the pod',
    { routes: [{ dst: '10.0.0.0/8', gw: 'auto' }] },
    { code: 102, message: /the pod itself/ },
    observed({ eth0: ['10.1.1.1/24'] }),
  ],
];

t.test('a plan is refused with', async (t) => {
  for (const [title, keys, error, pod = POD] of refusals) t.throws(() => plan(keys, { pod }), error, title);
});

t.test('missingFamily "skip" leaves out the routes of the family, and no others', async (t) => {
  const routes = [{ dst: '2001:db8::/32' }, { dst: '10.0.0.0/8' }, { dst: '2001:db8:1::/48', type: 'blackhole' }];
  const more = { ifname: 'net1' };
  t.strictSame(lines({ routes, missingFamily: 'skip', interface: 'net1' }, more), [
    'add route 10.0.0.0/8 dev net1',
    'add route blackhole 2001:db8:1::/48',
  ]);
});

const there: Route = {
  family: 4,
  dst: '10.0.0.0/8',
  type: 'unicast',
  table: 254,
  priority: 0,
  protocol: 4,
  scope: 0,
  hops: [{ gw: '10.131.0.9', oif: 2 }],
};

t.test('a route that is there already', async (t) => {
  const pod = (route: Route) => observed({ lo: [], eth0: ['10.131.0.5/23'] }, [route]);
  const routes = [{ dst: '10.0.0.0/8', gw: '10.131.0.1' }];

  t.test('is no conflict where it is the same but for who added it', async (t) => {
    const same = { ...there, hops: [{ gw: '10.131.0.1', oif: 2 }] };
    t.strictSame(plan({ routes }, { pod: pod(same) }).conflicts, []);
  });

  t.test('is a conflict by default', async (t) => {
    const { conflicts, changes } = plan({ routes }, { pod: pod(there) });
    t.strictSame(conflicts, [
      {
        source: 'routes[0]',
        wanted: '10.0.0.0/8 via 10.131.0.1 dev eth0',
        found: '10.0.0.0/8 via 10.131.0.9 dev eth0',
      },
    ]);
    t.strictSame(changes, []);
  });

  t.test('is deleted first with "replace"', async (t) => {
    t.strictSame(lines({ routes, onConflict: 'replace' }, { pod: pod(there) }), [
      'delete route 10.0.0.0/8 via 10.131.0.9 dev eth0',
      'add route 10.0.0.0/8 via 10.131.0.1 dev eth0',
    ]);
  });

  t.test('stays with "keep", and ours is not in the result', async (t) => {
    const { changes, conflicts, result } = plan(
      { routes, onConflict: 'keep' },
      { pod: pod(there), previous: previous('eth0') },
    );
    t.strictSame([changes, conflicts, result.routes], [[], [], undefined]);
  });

  const elsewhere: [title: string, route: Route][] = [
    ['in another table', { ...there, table: 100 }],
    ['with another metric', { ...there, priority: 1 }],
    ['with another type of service', { ...there, tos: 8 }],
    ['to a longer prefix', { ...there, dst: '10.0.0.0/9' }],
  ];
  for (const [title, route] of elsewhere) {
    t.strictSame(plan({ routes }, { pod: pod(route) }).conflicts, [], `is no conflict ${title}`);
  }
});

t.test('the result', async (t) => {
  t.test('is the previous one itself if there is nothing to add', async (t) => {
    const result = previous('eth0', { address: '10.131.0.5/23' });
    t.equal(plan({}, { previous: result }).result, result);
  });

  t.test('has our routes after the previous ones, with the attributes that were asked for', async (t) => {
    const result = { ...previous('eth0'), routes: [{ dst: '0.0.0.0/0', gw: '10.131.0.1' }] };
    const routes = [
      { dst: '10.0.0.0/8', gw: '10.131.0.9', priority: 5, table: 100, mtu: 1400, advmss: 1300 },
      { dst: '11.0.0.0/8', nexthops: [{ gw: '10.131.0.1' }, { gw: '10.131.0.2' }] },
      { dst: '12.0.0.0/8', type: 'blackhole' },
    ];
    t.strictSame(plan({ routes }, { previous: result }).result, {
      ...result,
      routes: [
        { dst: '0.0.0.0/0', gw: '10.131.0.1' },
        { dst: '10.0.0.0/8', gw: '10.131.0.9', mtu: 1400, advmss: 1300, priority: 5, table: 100 },
        { dst: '11.0.0.0/8' },
      ],
    });
  });

  t.test('says, unchained, what was seen of the interface', async (t) => {
    t.strictSame(plan({}, {}).result, {
      interfaces: [{ name: 'eth0', sandbox: NETNS }],
      ips: [
        { interface: 0, address: '10.131.0.5/23' },
        { interface: 0, address: 'fd00::5/64' },
      ],
    });
  });
});

t.test('a tentative address counts for its family', async (t) => {
  const pod = observed({ eth0: ['10.131.0.5/23', 'fd00::5/64 tentative', 'fe80::1/64'] });
  const routes = [{ dst: '2001:db8::/32', gw: 'fd00::1' }];
  for (const missingFamily of ['fail', 'skip']) {
    t.strictSame(
      lines({ routes, missingFamily }, { pod }),
      ['add route 2001:db8::/32 via fd00::1 dev eth0'],
      missingFamily,
    );
  }
});
