import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  noNamespaces,
  run,
  type Scratch,
  scratchFolder,
  scratchNamespace,
} from '../../support/namespaces/namespace.ts';
import { type Answer, type Env, executeIn, success, variables } from '../../support/plugins/call.ts';

// A node with uplinks and a pod on a veth pair, whose other end the node has. The plugin runs in the node's namespace.

const FOUR = { uplink: '10.0.32.2/24', pod: '10.131.0.5/23', via: '10.131.0.1', host: '10.0.32.2' };
const SIX = { uplink: 'fd00:32::2/64', pod: 'fd00:131::5/64', via: 'fd00:131::1', host: 'fd00:32::2' };
const ROUTE_4 = '10.0.32.2 via 10.131.0.1 dev eth0 ';
const ROUTE_6 = 'fd00:32::2 via fd00:131::1 dev eth0 metric 1024 pref medium';
const DEFAULT_4 = 'route add default via 10.0.32.1 dev uplink0';
const DEFAULT_6 = '-6 route add default via fd00:32::1 dev uplink0';

type World = {
  node: Scratch;
  pod: Scratch;
  /** Calls the plugin; `keys` are those of its config. */
  ask(verb: string, keys?: object, env?: Env): Promise<Answer>;
  /** Our routes in the pod, as `ip route` prints them. */
  ours(): string[];
  /** The files of the journal. */
  journals(): string[];
};

/** `commands` are `ip`'s in the node, after its two uplinks are there. */
function world(t: Test, commands: string[], podAddresses = [FOUR.pod]): World {
  const node = scratchNamespace(t);
  const pod = scratchNamespace(t);
  const dataDir = join(scratchFolder(t), 'data');
  for (const name of ['uplink0', 'uplink1']) {
    node.ip(`link add ${name} type veth peer name wire${name.at(-1)}`);
    node.ip(`link set wire${name.at(-1)} up`);
    node.ip(`link set ${name} up`);
  }
  node.ip(`link add pod0 type veth peer name eth0 netns ${pod.name}`);
  node.ip('link set pod0 up');
  pod.ip('link set eth0 up');
  for (const command of commands) node.ip(command);
  for (const address of podAddresses) pod.ip(`address add ${address} dev eth0`);

  const print = (family: string) => pod.ip(`${family} route show proto 87`).split('\n').filter(Boolean);
  return {
    node,
    pod,
    ask: (verb, keys = {}, env = {}) => {
      const config = { cniVersion: '1.1.0', name: 'net', type: 'seamless-gateway', dataDir, ...keys };
      return executeIn(node, 'seamless-gateway', variables(verb, pod.path, env), config);
    },
    ours: () => [...print('-4'), ...print('-6')],
    journals: () => {
      const folder = join(dataDir, 'seamless-gateway');
      return existsSync(folder) ? readdirSync(folder) : [];
    },
  };
}

const address = (text: string, more = '') => `address add ${text} dev uplink0${more}`;
const USUAL = [address(FOUR.uplink), DEFAULT_4];
const USUAL_6 = [address(SIX.uplink), DEFAULT_6];

/** Waits until the plugin has a socket in the pod and sleeps: then it has looked, and waits for what it has not found. */
async function untilItWaits({ name }: Scratch): Promise<number> {
  for (;;) {
    const table = run('ip', ['netns', 'exec', name, 'cat', '/proc/net/netlink']);
    // The columns are sk, Eth (0 is rtnetlink), Pid, which is the process id for its first socket, and others.
    const pids = table.split('\n').flatMap((line) => /^\S+ +0 +([1-9]\d*) /.exec(line)?.[1] ?? []);
    const asleep = pids.find((pid) => stateOf(pid) === 'S');
    if (asleep !== undefined) return Number(asleep);
    await pause(20);
  }
}

function stateOf(pid: string): string | undefined {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

t.test('the seed’s own case', { skip: noNamespaces }, async (t) => {
  const { ask, ours, pod, journals } = world(t, USUAL);
  const before = pod.routes();

  t.test('gives the route that its README shows, and no other', async (t) => {
    success(await ask('ADD'));
    t.strictSame(ours(), [ROUTE_4]);
    t.equal(pod.ip('route show 10.0.32.2'), `${ROUTE_4}proto 87 \n`, 'marked as ours');
    t.equal(pod.ipJson('route show').length, 2, 'beside the one of the subnet');
  });

  t.test('ADD again succeeds and changes nothing', async (t) => {
    const routes = pod.routes();
    success(await ask('ADD'));
    t.equal(pod.routes(), routes);
  });

  t.test('CHECK succeeds, and names the route once it is missing', async (t) => {
    success(await ask('CHECK'));
    pod.ip('route del 10.0.32.2');
    const { document } = await ask('CHECK');
    t.match(document, { code: 106, msg: /host address 10\.0\.32\.2: route .* is missing/ });
    success(await ask('ADD'));
  });

  t.test('DEL takes the route away, and succeeds again', async (t) => {
    success(await ask('DEL'));
    t.equal(pod.routes(), before);
    t.strictSame(journals(), []);
    success(await ask('DEL'));
    t.equal(pod.routes(), before);
  });

  t.test('unchained, as its 10-seamless.conf has it: name and type only, 0.2.0', async (t) => {
    const { document } = await ask('ADD', { cniVersion: '0.2.0', name: 'seamless-static-route-example' });
    t.strictSame(document, {
      cniVersion: '0.2.0',
      ip4: { ip: FOUR.pod, routes: [{ dst: '10.0.32.2/32', gw: '10.131.0.1' }] },
    });
    t.strictSame(ours(), [ROUTE_4]);
  });
});

t.test('the previous result is passed on with the routes added', { skip: noNamespaces }, async (t) => {
  const { ask, pod } = world(t, [...USUAL, ...USUAL_6], [FOUR.pod, SIX.pod]);
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'pod0' }, { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: pod.path }],
    ips: [{ address: FOUR.pod, gateway: '10.131.0.1', interface: 1 }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['10.1.0.1'] },
    'example.org/key': 1,
  };
  t.strictSame(success(await ask('ADD', { prevResult })), {
    ...prevResult,
    routes: [
      { dst: '0.0.0.0/0' },
      { dst: '10.0.32.2/32', gw: '10.131.0.1' },
      { dst: 'fd00:32::2/128', gw: 'fd00:131::1' },
    ],
  });
});

type Case = { title: string; node: string[]; pod?: string[]; keys?: object; routes: string[] };

const via = (host: string) => `${host} via 10.131.0.1 dev eth0 `;
const via6 = (host: string) => `${host} via fd00:131::1 dev eth0 metric 1024 pref medium`;
const BOTH = [FOUR.pod, SIX.pod];
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

t.test('CHECK fails with 106 once the host’s address is another', { skip: noNamespaces }, async (t) => {
  const { ask, node, pod, ours } = world(t, USUAL);
  const before = pod.routes();
  success(await ask('ADD'));
  node.ip('address del 10.0.32.2/24 dev uplink0');
  node.ip(address('10.0.32.3/24'));
  node.ip(DEFAULT_4);
  const { document } = await ask('CHECK');
  t.match(document, { code: 106, msg: /host address 10\.0\.32\.3: route 10\.0\.32\.3\/32 via 10\.131\.0\.1/ });

  success(await ask('ADD'));
  t.strictSame(ours(), [ROUTE_4, via('10.0.32.3')], 'another ADD adds the route to it');
  success(await ask('DEL'));
  t.equal(pod.routes(), before, 'and DEL takes both away');
});

t.test('without a journal, DEL takes away what it would have added', { skip: noNamespaces }, async (t) => {
  const { ask, pod } = world(t, USUAL);
  const before = pod.routes();
  success(await ask('ADD'));
  success(await ask('DEL', { dataDir: join(scratchFolder(t), 'other') }));
  t.equal(pod.routes(), before);
});

t.test('what is missing', { skip: noNamespaces }, async (t) => {
  type Missing = {
    title: string;
    node: string[];
    pod?: string[];
    keys?: object;
    late: [on: 'node' | 'pod', command: string];
    code: number;
    message: RegExp;
  };
  const table: Missing[] = [
    {
      title: 'a default route of the host',
      node: [address(FOUR.uplink)],
      late: ['node', DEFAULT_4],
      code: 101,
      message: /the host has no default route/,
    },
    {
      title: 'an interface of the host',
      node: [address(FOUR.uplink)],
      keys: { hostInterface: 'renamed0' },
      late: ['node', 'link set uplink0 name renamed0'],
      code: 100,
      message: /hostInterface: the host has no interface "renamed0"/,
    },
    {
      title: 'an address of the host',
      node: ['route add default dev uplink0'],
      late: ['node', address(FOUR.uplink)],
      code: 101,
      message: /no addresses of one family/,
    },
    {
      title: 'an address of the pod',
      node: USUAL,
      pod: [],
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /no addresses of one family/,
    },
    {
      title: 'an address of the pod for a family that is asked for',
      node: [...USUAL, ...USUAL_6],
      pod: [SIX.pod],
      keys: { families: ['ipv4'] },
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /the pod's interface "eth0" has no IPv4 address/,
    },
    {
      title: 'an address of the pod, with "hostAddresses"',
      node: [],
      pod: [],
      keys: { hostAddresses: [FOUR.host] },
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /the pod's interface "eth0" has no IPv4 address/,
    },
  ];
  for (const { title, node, pod, keys = {}, late, code, message } of table) {
    t.test(title, async (t) => {
      const scene = world(t, node, pod);
      const before = scene.pod.routes();
      const refused = async (wait: object, expected: number) => {
        const start = performance.now();
        const { document } = await scene.ask('ADD', { ...keys, ...wait });
        t.match(document, { code: expected, msg: message });
        t.equal(scene.pod.routes(), before, 'the pod is as before');
        t.strictSame(scene.journals(), []);
        return performance.now() - start;
      };
      await refused({}, code);
      const waited = await refused({ waitSeconds: 1.5 }, 107);
      t.ok(waited >= 1500 && waited < 10_000, `107 after ${waited} ms`);

      const waiting = scene.ask('ADD', { ...keys, waitSeconds: 20 });
      await untilItWaits(scene.pod);
      t.strictSame(scene.ours(), []);
      const [on, command] = late;
      scene[on].ip(command);
      success(await waiting);
      t.strictSame(scene.ours(), [ROUTE_4], 'is waited for');
    });
  }
});

t.test('in dual stack, a tentative address of the pod is waited for', { skip: noNamespaces }, async (t) => {
  const scene = world(t, [...USUAL, ...USUAL_6]);
  // Ten minutes of duplicate address detection, unless the test ends it.
  const sysctl = (name: string, value: number) =>
    run('ip', ['netns', 'exec', scene.pod.name, 'sh', '-c', `echo ${value} >/proc/sys/net/ipv6/${name}`]);
  sysctl('conf/all/accept_dad', 1);
  sysctl('conf/eth0/accept_dad', 1);
  sysctl('conf/eth0/dad_transmits', 600);
  scene.pod.ip(`address add ${SIX.pod} dev eth0`);
  t.match(scene.pod.ip('-6 address show dev eth0 tentative'), 'fd00:131::5/64', 'it is tentative');
  t.match((await scene.ask('ADD')).document, { code: 101, msg: /fd00:131::5 is tentative/ });
  t.strictSame(scene.ours(), [], 'without "waitSeconds", ADD fails and adds no route of IPv4 either');

  const waiting = scene.ask('ADD', { waitSeconds: 60 });
  const plugin = await untilItWaits(scene.pod);
  t.strictSame(scene.ours(), []);
  // It must not look between the two commands, when there is no address at all.
  process.kill(plugin, 'SIGSTOP');
  scene.pod.ip(`address del ${SIX.pod} dev eth0`);
  scene.pod.ip(`address add ${SIX.pod} dev eth0 nodad`);
  process.kill(plugin, 'SIGCONT');
  success(await waiting);
  t.strictSame(scene.ours(), [ROUTE_4, ROUTE_6]);
  success(await scene.ask('CHECK'));
});

t.test('verifyGateway', { skip: noNamespaces }, async (t) => {
  const families = [
    { family: 4, node: USUAL, gateway: '10.131.0.1/23', ...FOUR, route: ROUTE_4 },
    { family: 6, node: USUAL_6, gateway: 'fd00:131::1/64', ...SIX, route: ROUTE_6 },
  ];
  for (const { family, node, gateway, pod, via: gw, route } of families) {
    const neighbours = (scene: World) => scene.pod.ipJson(`neighbour show ${gw} nud all`);
    const verify = (scene: World, timeoutSeconds = 1) => scene.ask('ADD', { verifyGateway: { timeoutSeconds } });
    const unanswered = async (t: Test, scene: World) => {
      const before = scene.pod.routes();
      const { document } = await verify(scene);
      t.match(document, { code: 107, msg: `gateway ${gw} did not answer within 1 s` });
      t.equal(scene.pod.routes(), before, 'no route');
      t.strictSame(scene.journals(), [], 'no journal');
      t.strictSame(neighbours(scene), [], 'no neighbour entry');
    };

    t.test(`IPv${family}: a gateway that answers`, async (t) => {
      const scene = world(t, [...node, `address add ${gateway} dev pod0`], [pod]);
      success(await verify(scene));
      t.strictSame(scene.ours(), [route]);
      t.match(neighbours(scene), [{ state: ['REACHABLE'] }]);
      success(await verify(scene));
    });

    t.test(`IPv${family}: a gateway that answers, of which the kernel knows from long ago`, async (t) => {
      const scene = world(t, [...node, `address add ${gateway} dev pod0`], [pod]);
      const mac = scene.node.ipJson('link show pod0')[0]?.address;
      scene.pod.ip(`neighbour add ${gw} lladdr ${mac} dev eth0 nud stale`);
      success(await verify(scene));
      t.match(neighbours(scene), [{ state: ['REACHABLE'] }]);
    });

    t.test(`IPv${family}: a gateway that does not answer is refused with 107`, async (t) => {
      await unanswered(t, world(t, node, [pod]));
    });

    t.test(`IPv${family}: a gateway that does not answer any more is refused with 107`, async (t) => {
      const scene = world(t, node, [pod]);
      scene.pod.ip(`neighbour add ${gw} lladdr 02:00:00:00:00:01 dev eth0 nud stale`);
      await unanswered(t, scene);
    });

    t.test(`IPv${family}: a gateway that answers late is waited for`, async (t) => {
      const scene = world(t, node, [pod]);
      const waiting = verify(scene, 20);
      await pause(600);
      scene.node.ip(`address add ${gateway} dev pod0`);
      success(await waiting);
      t.strictSame(scene.ours(), [route]);
    });
  }

  t.test('of two gateways, one that does not answer is enough to refuse', async (t) => {
    const scene = world(t, [...USUAL, ...USUAL_6, 'address add 10.131.0.1/23 dev pod0'], BOTH);
    const { document } = await scene.ask('ADD', { verifyGateway: { timeoutSeconds: 1 } });
    t.match(document, { code: 107, msg: /^gateway fd00:131::1 / });
    t.strictSame(scene.ours(), []);
    t.strictSame(scene.journals(), []);
  });

  t.test('it is not asked where nothing is to be added', async (t) => {
    const scene = world(t, USUAL);
    const keys = { hostAddresses: [SIX.host], families: ['ipv4'], verifyGateway: { timeoutSeconds: 1 } };
    success(await scene.ask('ADD', keys));
    t.strictSame(scene.pod.ipJson('neighbour show'), []);
  });
});

t.test('another route to the host’s address', { skip: noNamespaces }, async (t) => {
  const obstacle = '10.0.32.2 via 10.131.0.9 dev eth0';
  const scene = world(t, USUAL);
  scene.pod.ip(`route add ${obstacle}`);
  const before = scene.pod.routes();
  const { document } = await scene.ask('ADD');
  t.match(document, { code: 103, msg: `host address 10.0.32.2: 10.0.32.2/32 via 10.131.0.1 dev eth0 is wanted, but` });
  t.equal(scene.pod.routes(), before);

  const kept = success(await scene.ask('ADD', { onConflict: 'keep' }));
  t.equal(scene.pod.routes(), before, 'stays with "keep"');
  t.equal(kept.routes, undefined, 'and ours is not in the result');

  success(await scene.ask('ADD', { onConflict: 'replace' }));
  t.strictSame(scene.ours(), [ROUTE_4], 'goes with "replace"');
  success(await scene.ask('DEL'));
  t.equal(scene.pod.routes(), before, 'and DEL gives it back');
});
