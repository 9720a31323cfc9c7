import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  noNamespaces,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  scratchPod,
} from '../support/namespaces/namespace.ts';
import { bundleOf, type Document, type Env, executeIn, variables } from '../support/plugins/call.ts';
import { previousResult } from '../support/plugins/previous-result.ts';

// `waymark explain` beside what the plugins then do: a real ADD of each, and `ip`.

type Plugin = { type: string; [key: string]: unknown };

type World = {
  node: Scratch;
  pod: Scratch;
  folder: string;
  /** Writes a list of the network green, and explains it. */
  explain(plugins: Plugin[], args?: string[], env?: Env): { status: number | null; lines: string[]; stderr: string };
  /** Runs a real ADD of each plugin of ours in turn, and returns the answers; stops at the first that fails. */
  addAll(plugins: Plugin[], prevResult?: object): Promise<Document[]>;
  /** Writes a file into the folder and returns its path. */
  write(name: string, content: object | string): string;
  files(): string[];
};

const GREEN = 'net9f27410725ab';

function loggedDetails(file: string): string | undefined {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  return JSON.parse(lines.at(-1) ?? '{}').details;
}

function worldOf(t: Test): World {
  const pod = scratchPod(t);
  const node = scratchNamespace(t);
  node.ip('link add uplink0 type veth peer name wire0');
  for (const link of ['wire0', 'uplink0']) node.ip(`link set ${link} up`);
  for (const address of ['10.0.32.2/24', 'fd00:32::2/64']) node.ip(`address add ${address} dev uplink0`);
  node.ip('route add default via 10.0.32.1 dev uplink0');
  const folder = scratchFolder(t);
  const write = (name: string, content: object | string) => {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
    return join(folder, name);
  };
  const ownKeys = { dataDir: join(folder, 'data'), logFile: join(folder, 'log') };
  const isOurs = ({ type }: Plugin) => type !== 'bridge';
  const complete = (plugin: Plugin): Plugin => (isOurs(plugin) ? { ...ownKeys, ...plugin } : plugin);
  return {
    node,
    pod,
    folder,
    write,
    explain: (plugins, args = [], env = {}) => {
      const list = write('list.conflist', { cniVersion: '1.1.0', name: 'green', plugins: plugins.map(complete) });
      return explainFile(node, list, args, env);
    },
    addAll: async (plugins, prevResult) => {
      const answers: Document[] = [];
      for (const plugin of plugins.filter(isOurs).map(complete)) {
        const before = answers.at(-1) ?? prevResult;
        const config = { cniVersion: '1.1.0', name: 'green', ...plugin, ...(before && { prevResult: before }) };
        const { document, stderr } = await executeIn(node, plugin.type, variables('ADD', pod.path), config);
        if (document === undefined) throw new Error(`${plugin.type} has not answered: ${stderr}`);
        // The answer has only what fits into an event.
        const details = document.code === undefined ? undefined : loggedDetails(ownKeys.logFile);
        answers.push({ ...document, ...(details !== undefined && { details }) });
        if (document.code !== undefined) break;
      }
      return answers;
    },
    files: () => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(),
  };
}

function explainFile(node: Scratch, file: string, args: string[] = [], env: Env = {}) {
  const command = [process.execPath, bundleOf('waymark'), 'explain', file, ...args];
  const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', node.name, ...command], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env } as NodeJS.ProcessEnv,
  });
  return { status, lines: stdout.trim().split('\n'), stderr };
}

/** The routes with our protocol, as `ip -j` has them, in the words of the explanation. */
function ourRoutes(pod: Scratch): string[] {
  const routes = ['-4', '-6'].flatMap((family) => pod.ipJson(`${family} -d route show table all proto 87`));
  return routes.map((route) => {
    const metric = route.metric === 1024 ? undefined : route.metric;
    const hops = (route.nexthops as { [key: string]: unknown }[] | undefined) ?? [];
    return [
      'would add route',
      ...(route.type === 'unicast' ? [] : [route.type]),
      withLength(String(route.dst)),
      ...(route.gateway ? ['via', route.gateway] : []),
      ...(route.dev && route.type === 'unicast' ? ['dev', route.dev] : []),
      ...hops.flatMap(({ gateway, dev, weight }) => ['nexthop via', gateway, 'dev', dev, 'weight', weight]),
      ...(route.table === 'main' ? [] : ['table', route.table]),
      ...(metric === undefined ? [] : ['metric', metric]),
      ...Object.entries((route.metrics as object[] | undefined)?.[0] ?? {}).flat(),
    ].join(' ');
  });
}

function withLength(dst: string): string {
  if (dst.includes('/')) return dst;
  return `${dst}/${dst.includes(':') ? 128 : 32}`;
}

function stateOf(pod: Scratch): string {
  // This one first: it waits until the kernel has made what it makes by itself.
  const routes = pod.routes();
  const parts = ['link show', 'address show'].map((what) => JSON.stringify(pod.ipJson(what)));
  // Entries of multicast come whenever the kernel sends something.
  const neighbours = pod.ipJson('neighbour show nud all').filter(({ state }) => !(state as string[]).includes('NOARP'));
  return [...parts, JSON.stringify(neighbours), routes].join('\n');
}

/** The lines about one plugin, without the indent. */
function about(lines: string[], place: number): string[] {
  const start = lines.findIndex((line) => line.startsWith(`plugins[${place}]`));
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith(' '));
  return rest.slice(0, end < 0 ? undefined : end).map((line) => line.slice(2));
}

const CHAIN: Plugin[] = [
  { type: 'bridge' },
  { type: 'consistent-ifname' },
  { type: 'seamless-gateway' },
  {
    type: 'static-route',
    routes: [
      { dst: '10.10.0.0/16' },
      { dst: '10.20.0.0/16', gw: '10.244.1.9', dev: 'eth0', priority: 200, mtu: 1400 },
      { dst: '10.30.0.0/16', nexthops: [{ gw: '10.244.1.2', weight: 3 }, { gw: '10.244.1.3' }] },
      { dst: '10.40.0.0/16', type: 'blackhole' },
      { dst: '10.50.0.0/16', gw: 'auto', table: 100 },
      { dst: '2001:db8:10::/48', gw: 'fd00:244:1::1' },
    ],
  },
];

t.test('explains what ADD then does, and changes nothing', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const { pod, node } = world;
  const prevResult = previousResult('1.1.0', pod.path);
  const file = world.write('previous.json', prevResult);
  const [before, hostBefore] = [stateOf(pod), stateOf(node)];
  const { status, lines, stderr } = world.explain(CHAIN, ['--netns', pod.path, '--prev-result', file]);
  t.equal(status, 0, stderr || 'succeeds');
  t.equal(stateOf(pod), before, 'the pod is as before');
  t.equal(stateOf(node), hostBefore, 'and so is the node');
  t.strictSame(world.files(), ['list.conflist', 'previous.json'], 'no journal, no log');

  const answers = await world.addAll(CHAIN, prevResult);
  for (const answer of answers) t.equal(answer.code, undefined, answer.msg ?? answer.cniVersion);
  t.strictSame(lines.slice(0, 2), ['network green', 'plugins[0] bridge: not ours, passed over']);
  t.strictSame(about(lines, 1), [`would rename interface eth0 to ${GREEN}`, `would add altname eth0 to ${GREEN}`]);
  t.match(pod.ipJson(`link show ${GREEN}`), [{ ifname: GREEN, altnames: ['eth0'] }]);
  t.strictSame([...about(lines, 2), ...about(lines, 3)].sort(), ourRoutes(pod).sort());

  t.test('and again, with all of it there', async (t) => {
    const again = world.explain(CHAIN, ['--netns', pod.path, '--prev-result', file]);
    t.equal(again.status, 0, again.stderr);
    for (const place of [1, 2, 3]) {
      const told = about(again.lines, place);
      t.equal(told.at(-1), 'nothing to do');
      for (const line of told.slice(0, -1)) t.match(line, /^there already: add |^there already: rename /);
    }
  });
});

t.test('a previous result alone tells the same as the pod that it is of', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const { pod } = world;
  for (const version of ['1.1.0', '0.4.0', '0.2.0'] as const) {
    const file = world.write('previous.json', previousResult(version, pod.path));
    const withPod = world.explain(CHAIN, ['--netns', pod.path, '--prev-result', file]);
    const withoutPod = world.explain(CHAIN, ['--prev-result', file]);
    t.equal(withoutPod.status, 0, withoutPod.stderr);
    t.strictSame(withoutPod.lines, withPod.lines, version);
  }
});

t.test('says the same with --json, as one document', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const args = ['--netns', world.pod.path];
  const plain = world.explain(CHAIN, args);
  const { status, lines } = world.explain(CHAIN, [...args, '--json']);
  t.equal(status, 0);
  const { network, notes, plugins } = JSON.parse(lines.join('\n'));
  t.equal(network, 'green');
  t.strictSame(notes, ['the result of bridge and its gateways are unknown: see --prev-result']);
  t.strictSame(
    plugins.map(({ type, ours, reached }: { [key: string]: unknown }) => [type, ours, reached]),
    CHAIN.map(({ type }) => [type, type !== 'bridge', true]),
  );
  for (const place of [1, 2, 3]) {
    t.strictSame(
      plugins[place].would.map((line: string) => `would ${line}`),
      about(plain.lines, place),
    );
  }
});

t.test('a plugin finds what those before it would have changed', { skip: noNamespaces }, async (t) => {
  const cases: [title: string, plugins: Plugin[]][] = [
    [
      'the new name, and the first one no more',
      [
        { type: 'consistent-ifname', ifname: 'blue', keepAltname: false },
        { type: 'static-route', interface: 'blue', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] },
        { type: 'static-route', interface: 'eth0', routes: [{ dst: '10.8.0.0/16', gw: '10.244.1.1' }] },
      ],
    ],
    [
      'an altname',
      [
        { type: 'consistent-ifname', mode: 'altname', ifname: 'blue' },
        { type: 'static-route', interface: 'blue', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] },
        { type: 'consistent-ifname', ifname: 'blue', interface: 'peer' },
      ],
    ],
    [
      'a route in the way, and one that is there',
      [
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] },
        { type: 'seamless-gateway', hostAddresses: ['10.0.32.2'] },
        { type: 'static-route', routes: [{ dst: '10.0.32.2/32', gw: '10.244.1.1' }] },
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.2' }] },
      ],
    ],
    [
      'a route that is gone',
      [
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] },
        { type: 'static-route', delroutes: [{ dst: '10.9.0.0/16' }] },
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.2' }] },
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.3' }], onConflict: 'replace' },
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.4' }], onConflict: 'keep' },
      ],
    ],
  ];
  for (const [title, plugins] of cases) {
    t.test(title, async (t) => {
      const world = worldOf(t);
      const { status, lines } = world.explain(plugins, ['--netns', world.pod.path]);
      const answers = await world.addAll(plugins);
      const failed = answers.find(({ code }) => code !== undefined);
      t.equal(status, failed === undefined ? 0 : 1);
      const told = plugins.flatMap((_, place) => about(lines, place));
      if (failed === undefined) {
        t.match(told.at(-2), /another route is there, and stays: add route 10\.9\.0\.0\/16 via 10\.244\.1\.4/);
        t.strictSame(ourRoutes(world.pod), ['would add route 10.9.0.0/16 via 10.244.1.3 dev eth0']);
        t.ok(told.includes('would delete route 10.9.0.0/16 via 10.244.1.2 dev eth0'));
        t.ok(told.includes('would add route 10.9.0.0/16 via 10.244.1.3 dev eth0'));
        return;
      }
      const place = answers.indexOf(failed);
      t.equal(place, plugins.length - 1, 'as far as the real one comes');
      const text = about(lines, place);
      const details = failed.details?.split('\n').map((line) => `  ${line}`) ?? [];
      t.strictSame(text, [`error ${failed.code}: ${failed.msg}`, ...details]);
      t.strictSame(told.filter((line) => line.startsWith('would add route')).sort(), ourRoutes(world.pod).sort());
    });
  }
});

const REFUSED: [title: string, code: number, plugin: Plugin][] = [
  ['a config with several faults', 7, { type: 'static-route', routes: [{ dst: '10.9.0.1/16' }, { dst: 'x', gww: 1 }] }],
  ['a misspelt key', 7, { type: 'seamless-gateway', hostAddress: ['10.0.32.2'] }],
  ['an invalid name', 7, { type: 'consistent-ifname', prefix: 'much-too-long' }],
  ['a placeholder that nothing is known for', 7, { type: 'consistent-ifname', key: '$' + '{K8S_POD_NAME}' }],
  ['a map that is not there', 7, { type: 'static-route', topologyFile: '/nonexistent/map.yaml' }],
  ['no such interface', 100, { type: 'static-route', interface: 'net7', routes: [{ dst: '10.9.0.0/16' }] }],
  ['no such interface on the node', 100, { type: 'seamless-gateway', hostInterface: 'eth7' }],
  ['no address of the family', 101, { type: 'static-route', interface: 'lo', routes: [{ dst: '2001:db8::/32' }] }],
  ['a gateway that would be the pod', 102, { type: 'seamless-gateway', gateway: { offset: 5 } }],
  ['a route in the way', 103, { type: 'static-route', routes: [{ dst: '10.244.1.0/24', gw: '10.244.1.1' }] }],
  ['a name that is taken', 105, { type: 'consistent-ifname', ifname: 'peer' }],
];

t.test('the errors are those that the plugin gives, at their place in the list', { skip: noNamespaces }, async (t) => {
  for (const [title, code, plugin] of REFUSED) {
    t.test(title, async (t) => {
      const world = worldOf(t);
      const plugins = [{ type: 'consistent-ifname', mode: 'altname' }, plugin, { type: 'static-route' }];
      const { status, lines } = world.explain(plugins, ['--netns', world.pod.path, '--json']);
      const [, failed] = await world.addAll(plugins);
      t.equal(failed?.code, code, 'the real one fails so');
      t.equal(status, 1);
      const explained = JSON.parse(lines.join('\n')).plugins;
      const { msg, details } = failed ?? {};
      t.strictSame(explained[1].error, { code, msg, ...(details !== undefined && { details }) });
      t.equal(explained[0].error, undefined);
      t.match(explained[2], { reached: false, would: [] }, 'the next one would not be called');
    });
  }
});

t.test('without a pod every error of every config is found', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const broken = REFUSED.filter(([, code]) => code === 7).map(([, , plugin]) => plugin);
  const { status, lines } = world.explain([{ type: 'bridge' }, ...broken]);
  t.equal(status, 1);
  t.equal(lines[1], 'no pod is inspected, only the configs: see --netns and --prev-result');
  for (const [index, plugin] of broken.entries()) {
    const [answer] = await world.addAll([plugin]);
    const details = answer?.details?.split('\n').map((line) => `  ${line}`) ?? [];
    t.strictSame(about(lines, index + 1), [`error 7: ${answer?.msg}`, ...details]);
  }
});

t.test('without a pod it tells what the configs say', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const gateway = { ipv4: 'last', ipv6: { offset: -2 } };
  const { status, lines } = world.explain([
    ...CHAIN,
    { type: 'seamless-gateway', hostAddresses: ['10.0.32.2', 'fd00:32::2'], gateway },
    { type: 'seamless-gateway', hostAddresses: ['10.0.32.2', 'fd00:32::2'], families: ['ipv6'], gateway: 'fd00::1' },
    { type: 'consistent-ifname', mode: 'altname', scheme: 'kubevirt' },
    { type: 'static-route', flushgateway: true, flushroutes: true, delroutes: [{ dst: '10.0.0.0/8', gw: '10.1.1.1' }] },
    { type: 'static-route', topology: { vrf: { a: { subnets: { '10.0.0.0/8': { gw: '10.0.0.1' } } } } } },
    {
      type: 'static-route',
      routes: [
        { dst: '::/0', dev: 'net1' },
        { dst: '10.0.0.0/8', gw: '10.1.1.1', onlink: true },
      ],
    },
  ]);
  t.equal(status, 0);
  const host =
    "address on the interface of its default route, where host and pod have one, via the first address of the pod's subnet";
  t.strictSame(
    CHAIN.map((_, place) => about(lines, place)),
    [
      [],
      [`would rename the interface to ${GREEN}`],
      [`would add a route to the host's IPv4 ${host}`, `would add a route to the host's IPv6 ${host}`],
      [
        'would add route 10.10.0.0/16 via the gateway of the previous result, else on the link',
        'would add route 10.20.0.0/16 via 10.244.1.9 dev eth0 metric 200 mtu 1400',
        'would add route 10.30.0.0/16 nexthop via 10.244.1.2 weight 3 nexthop via 10.244.1.3 weight 1',
        'would add route blackhole 10.40.0.0/16',
        "would add route 10.50.0.0/16 via the gateway of the previous result, else the first address of the pod's subnet table 100",
        'would add route 2001:db8:10::/48 via fd00:244:1::1',
      ],
    ],
  );
  t.strictSame(
    [4, 5, 6, 7, 8, 9].map((place) => about(lines, place)),
    [
      [
        "would add route 10.0.32.2/32 via the last address of the pod's subnet",
        "would add route fd00:32::2/128 via address number -2 of the pod's subnet",
      ],
      ['would add route fd00:32::2/128 via fd00::1'],
      ['would add altname podba4788b226a to the interface'],
      [
        'would delete route 10.0.0.0/8 via 10.1.1.1, if it is there',
        'would delete the default routes',
        'would delete every route but those on the link and link-local ones',
      ],
      ['would add the routes that follow from a map of 1 subnets'],
      ['would add route ::/0 dev net1', 'would add route 10.0.0.0/8 via 10.1.1.1 onlink'],
    ],
  );
});

t.test('tells what would be waited for and made sure of, and does neither', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const patient: Plugin = { type: 'seamless-gateway', waitSeconds: 600, verifyGateway: { timeoutSeconds: 5 } };
  const before = stateOf(world.pod);
  const ready = world.explain([patient], ['--netns', world.pod.path]);
  t.strictSame(about(ready.lines, 0).slice(0, 2), [
    'would make sure that gateway 10.244.1.1 answers within 5 s',
    'would make sure that gateway fd00:244:1::1 answers within 5 s',
  ]);
  t.equal(stateOf(world.pod), before, 'no neighbour is asked for');
  world.node.ip('route del default');
  const { status, lines } = world.explain([patient], ['--netns', world.pod.path]);
  t.equal(status, 0);
  t.strictSame(about(lines, 0), ['would wait up to 600 s: the host has no default route; set "hostInterface"']);
});

t.test('takes the variables that waymark cni takes, and --ifname', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const key = '$' + '{K8S_POD_NAMESPACE}/$' + '{ifname}';
  const args = ['--netns', world.pod.path, '--ifname', 'peer'];
  const env = { CNI_ARGS: 'K8S_POD_NAMESPACE=default', CNI_IFNAME: 'eth0' };
  const { lines } = world.explain([{ type: 'consistent-ifname', key }], args, env);
  t.match(about(lines, 0), [`would rename interface peer to net${md5('default/peer').slice(0, 12)}`]);
  const byVariable = world.explain([{ type: 'consistent-ifname', key }], args.slice(0, 2), env);
  t.match(about(byVariable.lines, 0), [/would rename interface eth0 to /]);
  const malformed = world.explain([{ type: 'static-route' }], [], { CNI_IFNAME: 'a/b' });
  t.match(about(malformed.lines, 0), ['error 4: CNI_IFNAME="a/b" contains "/", ":", white space or NUL']);
});

function md5(text: string): string {
  return String(spawnSync('md5sum', { input: text }).stdout);
}

t.test('reads a single plugin of the old format, and keys of runtimes', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const config = { cniVersion: '0.4.0', name: 'green', type: 'consistent-ifname', deviceID: '0000:00:1f.6' };
  const { status, lines } = explainFile(world.node, world.write('10-green.conf', config));
  t.equal(status, 0);
  t.strictSame(about(lines, 0), [
    'warning: unknown key "deviceID" is ignored',
    `would rename the interface to ${GREEN}`,
  ]);
});

t.test(
  'a file that is not a list, a namespace or a result is reported in one sentence',
  { skip: noNamespaces },
  async (t) => {
    const world = worldOf(t);
    const { node, folder } = world;
    const list = world.write('list.conflist', {
      cniVersion: '1.1.0',
      name: 'green',
      plugins: [{ type: 'static-route' }],
    });
    const cases: [args: string[], stderr: RegExp][] = [
      [['/nonexistent.conflist'], /^waymark: \/nonexistent\.conflist cannot be read: ENOENT/],
      [[world.write('a.conflist', '{')], /^waymark: .*a\.conflist cannot be read: /],
      [[world.write('b.conflist', { plugins: [] })], /^waymark: .*b\.conflist: the network has no "name"/],
      [
        [world.write('c.conflist', { name: 'a', plugins: [{}] })],
        /^waymark: .*c\.conflist: plugins\[0\]: .* no "type"/,
      ],
      [[list, '--netns', '/nonexistent'], /^waymark: CNI_NETNS="\/nonexistent" does not exist/],
      [[list, '--netns', folder], /^waymark: CNI_NETNS=".*" is not a namespace/],
      [[list, '--netns', `/run/netns/${node.name}`], /^waymark: CNI_NETNS=".*" is the host's own network namespace/],
      [[list, '--prev-result', '/nonexistent.json'], /^waymark: \/nonexistent\.json cannot be read: ENOENT/],
    ];
    for (const [[file = '', ...args], stderr] of cases) {
      const ran = explainFile(node, file, args);
      t.equal(ran.status, 1, stderr.source);
      t.match(ran.stderr, stderr);
      t.notMatch(ran.stderr, /\n {4}at /, 'no stack trace');
    }
    const wrong = world.write('wrong.json', { cniVersion: '1.1.0', ips: [{ address: '10.0.0.1' }] });
    const { status, lines } = explainFile(node, list, ['--prev-result', wrong]);
    t.equal(status, 1);
    t.match(about(lines, 0)[0], /^error 7: invalid prevResult: prevResult\.ips\[0\]\.address: /);
    const unknown = world.write('new.conflist', {
      cniVersion: '9.0.0',
      name: 'a',
      plugins: [{ type: 'static-route' }],
    });
    t.match(about(explainFile(node, unknown).lines, 0)[0], /^error 1: incompatible CNI versions/);
  },
);

t.test('a list of ours alone needs no previous result', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  const { status, lines } = world.explain(
    [{ type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] }],
    ['--netns', world.pod.path],
  );
  t.equal(status, 0);
  t.strictSame(lines, ['network green', 'plugins[0] static-route:', '  would add route 10.9.0.0/16 dev eth0']);
});
