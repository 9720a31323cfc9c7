import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { type Scratch, settle } from './support/namespaces/namespace.ts';
import { bundleFolder } from './support/plugins/call.ts';
import { BRIDGE, type List, type Node, noReferencePlugins, scratchNode } from './support/plugins/chain.ts';

// Every example in the documents is run, and every link leads somewhere.

const ROOT = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs', 'plugins', 'conf', 'manifests'].flatMap(
  (place) =>
    place.endsWith('.md')
      ? [place]
      : readdirSync(join(ROOT, place), { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith('.md'))
          .map((name) => join(place, name)),
);

const lists = readdirSync(join(ROOT, 'conf')).filter((name) => name.endsWith('.conflist'));

t.test(
  'every list in conf/ gives the pod what conf/README.md says, and is checked and deleted without a trace',
  { skip: noReferencePlugins },
  async (t) => {
    const sections = read('conf/README.md').split(/^### /m);
    for (const file of lists) {
      const list: List = JSON.parse(read(`conf/${file}`));
      const world = nodeWithUplink(t);
      // The lists for a second network have macvlan.
      const isSecond = list.plugins[0]?.type === 'macvlan';
      if (isSecond) addFirstNetwork(world);
      const env = { CNI_IFNAME: isSecond ? 'net1' : 'eth0' };
      const before = stateOf(world.pod);
      world.writeList(list);
      world.must('waymark cni', 'add', list.name, env);
      const [example] = codeBlocks(sections.find((text) => text.startsWith(`[\`${file}\`]`)) ?? '', 'console');
      t.strictSame(printedIn(world.pod, example ?? ''), linesOf(example ?? 'no example'), file);
      world.must('waymark cni', 'check', list.name, env);
      world.must('waymark cni', 'del', list.name, env);
      t.equal(stateOf(world.pod), before, file);
      t.strictSame(world.leftovers(), []);
    }
    t.ok(lists.length > 8);
  },
);

/** What a packet meets in a pod that has the list, as `ip -j` tells. */
const MEETS: [file: string, command: string, answer: object | 'is refused'][] = [
  ['11-sites-over-second-network', 'route get 172.16.9.9', { dev: 'net1', gateway: '192.168.42.1' }],
  ['11-sites-over-second-network', 'route get 198.51.100.1', { dev: 'eth0', gateway: '10.244.1.1' }],
  ['12-multicast', 'route get 239.1.2.3', { dev: 'net1', gateway: undefined }],
  ['12-multicast', 'route get 198.51.100.1', { dev: 'eth0' }],
  ['13-second-default-route', 'route get 198.51.100.1', { dev: 'eth0', gateway: '10.244.1.1' }],
  ['13-second-default-route', '-6 route get 2001:db8::1', { dev: 'net1', gateway: 'fd00:44::1' }],
  ['14-weighted-next-hops', 'route show 10.50.0.0/16', { nexthops: [{ weight: 3 }, { weight: 1 }] }],
  ['15-blackhole', 'route get 172.16.9.9', 'is refused'],
  ['15-blackhole', 'route get 172.20.9.9', { dev: 'net1', gateway: '192.168.46.1' }],
  ['16-policy-rules', 'route get 198.51.100.1', { dev: 'eth0', gateway: '10.244.1.1' }],
  ['16-policy-rules', 'route get 198.51.100.1 mark 0x15', { dev: 'net1', gateway: '192.168.47.1' }],
  ['16-policy-rules', 'route get 198.51.100.1 ipproto udp dport 5060', { dev: 'net1', gateway: '192.168.47.1' }],
  ['16-policy-rules', 'route get 198.51.100.1 ipproto tcp dport 5060', { dev: 'eth0' }],
  ['16-policy-rules', 'route get 10.244.9.9', { dev: 'eth0' }],
  ['16-policy-rules', 'route get 10.244.9.9 from 192.168.47.2', 'is refused'],
  ['17-source-routing', 'route get 198.51.100.1', { dev: 'eth0', gateway: '10.244.1.1' }],
  ['17-source-routing', 'route get 198.51.100.1 from 192.168.48.2', { dev: 'net1', gateway: '192.168.48.1' }],
  ['17-source-routing', 'route get 172.16.9.9', { dev: 'net1', gateway: '192.168.48.9' }],
  ['17-source-routing', '-6 route get 2001:db8::1 from fd00:48::2', { dev: 'net1', gateway: 'fd00:48::1' }],
  ['20-seamless-gateway', 'route get 10.0.32.2', { dev: 'eth0', gateway: '10.131.0.1' }],
  ['30-consistent-ifname', 'link show eth0', { ifname: 'net48d6215903df', altnames: ['eth0'] }],
  ['40-all-three', 'link show eth0', { ifname: 'net9f27410725ab', altnames: ['eth0'] }],
  ['40-all-three', '-6 route get fd00:32::2', { dev: 'net9f27410725ab', gateway: 'fd00:131::1' }],
];

t.test('packets go where conf/README.md says', { skip: noReferencePlugins }, async (t) => {
  for (const [name, cases] of Map.groupBy(MEETS, ([file]) => file)) {
    const list: List = JSON.parse(read(`conf/${name}.conflist`));
    const world = nodeWithUplink(t);
    const isSecond = list.plugins[0]?.type === 'macvlan';
    if (isSecond) addFirstNetwork(world);
    world.writeList(list);
    world.must('waymark cni', 'add', list.name, { CNI_IFNAME: isSecond ? 'net1' : 'eth0' });
    for (const [, command, answer] of cases) {
      if (answer === 'is refused') t.throws(() => world.pod.ip(command), `${name}: ${command}`);
      else t.match(world.pod.ipJson(command), [answer], `${name}: ${command}`);
    }
    if (name !== '13-second-default-route') continue;
    world.pod.ip('route del default dev eth0');
    t.match(
      world.pod.ipJson('route get 198.51.100.1'),
      [{ dev: 'net1', gateway: '192.168.44.1' }],
      'the first is gone',
    );
  }
});

t.test('the README’s network is the example in manifests/', async (t) => {
  const [example = ''] = codeBlocks(read('README.md'), 'yaml');
  t.strictSame(parse(example), parse(read('manifests/examples/backbone/network.yaml')));
});

t.test('the README’s network gives the pod the routes it shows', { skip: noReferencePlugins }, async (t) => {
  const [manifest = ''] = codeBlocks(read('README.md'), 'yaml');
  const list: List = JSON.parse(parse(manifest).spec.config);
  const [without = 'no example', with_ = 'no example'] = codeBlocks(read('README.md'), 'console');
  const cases: [example: string, list: List][] = [
    [without, { ...list, plugins: list.plugins.slice(0, 1) }],
    [with_, list],
  ];
  for (const [example, list] of cases) {
    const world = nodeWithUplink(t);
    addFirstNetwork(world);
    const before = stateOf(world.pod);
    world.writeList(list);
    const env = { CNI_IFNAME: 'net1' };
    world.must('waymark cni', 'add', list.name, env);
    t.strictSame(printedIn(world.pod, example), linesOf(example));
    world.must('waymark cni', 'del', list.name, env);
    t.equal(stateOf(world.pod), before);
    t.strictSame(world.leftovers(), []);
  }
});

t.test('the list in docs/configuration.md is the one in conf/', async (t) => {
  const [example = ''] = codeBlocks(read('docs/configuration.md'), 'json');
  t.strictSame(JSON.parse(example), JSON.parse(read('conf/40-all-three.conflist')));
});

t.test(
  'the commands of docs/configuration.md run its list on a namespace, and leave nothing in it',
  { skip: noReferencePlugins },
  async (t) => {
    const block =
      codeBlocks(read('docs/configuration.md'), 'bash').find((text) => text.includes('waymark cni add')) ?? '';
    const [build, ...commands] = block.trim().split('\n');
    t.equal(build, 'npm run build');
    const [last] = commands.splice(-1);
    t.equal(last, 'ip netns del pod');
    const { node, folder } = nodeWithUplink(t);
    // Namespaces, journals, leases and results go into folders that only these commands see.
    const mounts = ['/run', '/var/lib'].map((place) => `mount -t tmpfs tmpfs ${place}`);
    const look = 'ip -n pod -j route show; ls /run/waymark/*/ /var/lib/cni/results';
    const script = [...mounts, ...commands, 'echo ---', look, last].join('\n');
    const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', node.name, 'sh', '-euc', script], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, HOME: folder },
    });
    t.equal(status, 0, stderr);
    const [result = '', left = ''] = stdout.split('---\n');
    t.match(JSON.parse(result), { interfaces: [{}, {}, { name: 'net9f27410725ab' }, { name: 'eth0' }] });
    t.match(left, /^\[\s*\]\n/, 'no route is left');
    t.notMatch(left, /eth0/, 'nor a journal or a result');
  },
);

t.test(
  'the plugin that docs/migration.md shows for a subnet map adds the routes of the map',
  { skip: noReferencePlugins },
  async (t) => {
    const [example = ''] = codeBlocks(read('docs/migration.md'), 'json');
    const world = nodeWithUplink(t);
    const before = stateOf(world.pod);
    const topologyFile = join(world.folder, 'map.yaml');
    const subnets = ['10.131.0.0/23: { gw: 10.131.0.1 }', '172.20.0.0/16: { gw: 172.20.0.1 }'];
    writeFileSync(topologyFile, `# a comment\nvrf: { chile: { subnets: { ${subnets.join(', ')} } } }\n`);
    const plugin = JSON.parse(example);
    t.ok(plugin.topologyFile.endsWith('/ddsnet4u.yaml'));
    world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, { ...plugin, topologyFile }] });
    world.must('waymark cni', 'add', 'net');
    t.match(world.pod.ipJson('route show proto 87'), [{ dst: '172.20.0.0/16', gateway: '10.131.0.1' }]);
    world.must('waymark cni', 'del', 'net');
    t.equal(stateOf(world.pod), before);
  },
);

t.test('the example of explain is what it prints', { skip: noReferencePlugins }, async (t) => {
  const example =
    codeBlocks(read('docs/explain.md'), 'console').find((block) => block.startsWith('$ waymark explain ')) ?? '';
  const [command = '', ...output] = example.trimEnd().split('\n');
  const [, , file = '', ...args] = command.slice(2).split(' ');
  const world = nodeWithUplink(t);
  const list: List = JSON.parse(read(file));
  // The result of the plugins before ours.
  world.writeList({ ...list, plugins: list.plugins.slice(0, 1) });
  const result = world.must('waymark cni', 'add', list.name);
  writeFileSync(join(world.folder, 'result.json'), JSON.stringify(result));
  const before = stateOf(world.pod);
  const waymark = [join(bundleFolder('waymark'), 'waymark'), 'explain', join(ROOT, file), ...args];
  const { status, stdout } = spawnSync('ip', ['netns', 'exec', world.node.name, ...waymark], {
    cwd: world.folder,
    encoding: 'utf8',
  });
  t.equal(status, 0);
  t.strictSame(stdout.trimEnd().split('\n'), output);
  t.equal(stateOf(world.pod), before);
});

t.test(
  'the example of each plugin’s README works after the reference bridge',
  { skip: noReferencePlugins },
  async (t) => {
    for (const plugin of PLUGIN_NAMES) {
      for (const example of codeBlocks(read(`plugins/${plugin}/README.md`), 'json')) {
        const world = nodeWithUplink(t);
        const before = stateOf(world.pod);
        world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, JSON.parse(example)] });
        world.must('waymark cni', 'add', 'net');
        world.must('waymark cni', 'check', 'net');
        world.must('waymark cni', 'del', 'net');
        t.equal(stateOf(world.pod), before, plugin);
      }
    }
  },
);

t.test('every link in the documents leads to a file or a heading', async (t) => {
  t.ok(documents.length > 8);
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', heading] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(ROOT, file))) t.fail(`${document}: ${target}`);
      else if (heading !== undefined && !headingsOf(read(file)).includes(heading)) t.fail(`${document}: ${target}`);
    }
  }
});

t.test('every table in the documents has a heading, so none is cut in two by an empty line', async (t) => {
  for (const document of documents)
    for (const [rows] of read(document).matchAll(/(?<!^\|.*\n)(?:^\|.*\n)+/gm))
      t.match(rows.split('\n')[1], /^\|[ |:-]+\|$/, `${document}: ${rows.slice(0, 60)}`);
});

t.test('every npm script that a document names is there', async (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const document of documents) {
    for (const [, script = ''] of read(document).matchAll(/npm run ([a-z-]+)/g))
      t.hasOwnProp(scripts, script, document);
  }
});

/**
 * A node as the examples have it: an uplink with addresses of both families, and a default route out of it; and a second
 * interface, `eth1`.
 */
function nodeWithUplink(t: Test): Node {
  const world = scratchNode(t);
  const commands = [
    'link add uplink0 type veth peer name wire0',
    'link set wire0 up',
    'link set uplink0 up',
    'address add 10.0.32.2/24 dev uplink0',
    'address add fd00:32::2/64 dev uplink0',
    'route add default via 10.0.32.1 dev uplink0',
    'link add eth1 type veth peer name switch',
    'link set switch up',
    'link set eth1 up',
  ];
  for (const command of commands) world.node.ip(command);
  return world;
}

/** The pod's first network, as the cluster's own plugin makes it. */
function addFirstNetwork({ node, pod }: Node): void {
  node.ip(`link add pod0 type veth peer name eth0 netns ${pod.name}`);
  node.ip('link set pod0 up');
  for (const command of [
    'link set eth0 up',
    'address add 10.244.1.5/24 dev eth0',
    'route add default via 10.244.1.1',
  ]) {
    pod.ip(command);
  }
}

/** A console example, run again in the pod: each command, and what it prints. */
function printedIn(pod: Scratch, example: string): string[] {
  settle(pod);
  const commands = linesOf(example).filter((line) => line.startsWith('$ ip '));
  return commands.flatMap((line) => [line, ...linesOf(pod.ip(line.slice('$ ip '.length)))]);
}

// As a reader sees it: ip ends lines with a blank, and has two where something is left out.
function linesOf(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim().replace(/\s+/g, ' '));
  return lines.filter((line) => line !== '');
}

function stateOf(pod: Scratch): string {
  settle(pod);
  return `${JSON.stringify(pod.ipJson('link show'))}\n${pod.routes()}\n${pod.ip('-d rule')}\n${pod.ip('-d -6 rule')}`;
}

function codeBlocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, code = '']) => code);
}

function headingsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    text
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  );
}
