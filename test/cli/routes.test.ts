import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { noNamespaces, type Scratch, scratchFolder, scratchNamespace, works } from '../support/namespaces/namespace.ts';
import { bundleOf } from '../support/plugins/call.ts';
import { TOPOLOGY_PODS, TOPOLOGY_YAML } from '../support/plugins/topology.ts';

// `waymark routes`, as an init container runs it: in the pod's own namespace.

type Pod = Scratch & {
  folder: string;
  routesCommand(args: string[], prefix?: string[]): { status: number | null; stdout: string; stderr: string };
};

function podAt(t: Test, address?: string): Pod {
  const pod = scratchNamespace(t);
  const folder = scratchFolder(t);
  pod.ip('link add net1 type veth peer name peer');
  pod.ip('link set peer up');
  pod.ip('link set net1 addrgenmode none');
  pod.ip('link set net1 up');
  if (address) pod.ip(`address add ${address} dev net1`);
  return {
    ...pod,
    folder,
    routesCommand: (args, prefix = []) => {
      const command = [...prefix, process.execPath, bundleOf('waymark'), 'routes', ...args];
      return spawnSync('ip', ['netns', 'exec', pod.name, ...command], {
        cwd: folder,
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: join(folder, 'home') },
      });
    },
  };
}

function routesOf(pod: Scratch): string[] {
  return pod.ipJson('route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`);
}

for (const [address, routes] of TOPOLOGY_PODS) {
  t.test(`a pod at ${address} gets ${routes.length} routes, and again none more`, { skip: noNamespaces }, async (t) => {
    const pod = podAt(t, address);
    writeFileSync(join(pod.folder, 'ddsnet4u.yaml'), TOPOLOGY_YAML);
    const first = pod.routesCommand([]);
    t.equal(first.status, 0, first.stderr || 'succeeds');
    t.strictSame(routesOf(pod).sort(), [...routes].sort());
    t.match(first.stdout, routes.length > 0 ? `added ${routes.length} routes` : 'nothing to do');
    const second = pod.routesCommand([]);
    t.equal(second.status, 0);
    t.match(second.stdout, 'nothing to do');
    t.equal(routesOf(pod).length, routes.length);
  });
}

t.test('says what it found, what it assumes and what it does', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '140.252.147.50/28');
  writeFileSync(join(pod.folder, 'waymark.yaml'), TOPOLOGY_YAML);
  t.strictSame(pod.routesCommand([]).stdout.trim().split('\n'), [
    'map: waymark.yaml, 8 subnets',
    'interface: net1 (assumed; --interface names another), 140.252.147.50/28',
    '140.252.147.50 is in 140.252.147.48/28 of vrf tucson, gateway 140.252.147.49',
    'add route 140.252.147.16/28 via 140.252.147.49 dev net1',
    'add route 140.252.147.128/27 via 140.252.147.49 dev net1',
    'added 2 routes',
  ]);
});

t.test(
  'takes waymark.yaml before ddsnet4u.yaml, and a folder before those after it',
  { skip: noNamespaces },
  async (t) => {
    const pod = podAt(t, '140.252.147.50/28');
    mkdirSync(join(pod.folder, 'home'));
    writeFileSync(join(pod.folder, 'home/waymark.yaml'), 'vrf: {}');
    t.match(pod.routesCommand([]).stdout, /map: .*\/home\/waymark\.yaml, 0 subnets/);
    writeFileSync(join(pod.folder, 'ddsnet4u.yaml'), TOPOLOGY_YAML);
    t.match(pod.routesCommand([]).stdout, /map: ddsnet4u\.yaml, 8 subnets/);
    writeFileSync(join(pod.folder, 'waymark.yaml'), 'vrf: {}');
    t.match(pod.routesCommand([]).stdout, /map: waymark\.yaml, 0 subnets/);
  },
);

t.test('leaves routes that exist already, whoever added them', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '140.252.147.50/28');
  writeFileSync(
    join(pod.folder, 'map.json'),
    JSON.stringify({
      vrf: { a: { subnets: { '140.252.147.48/28': { gw: '140.252.147.49' }, '10.0.0.0/8': { gw: '10.0.0.1' } } } },
    }),
  );
  pod.ip('route add 10.0.0.0/8 via 140.252.147.60');
  const before = pod.routes();
  const { status, stdout } = pod.routesCommand(['--config', 'map.json']);
  t.equal(status, 0);
  t.match(stdout, /another route is there, and stays: add route 10\.0\.0\.0\/8 via 140\.252\.147\.49/);
  t.equal(pod.routes(), before);
});

t.test('--noop changes nothing', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '140.252.147.50/28');
  writeFileSync(join(pod.folder, 'waymark.yaml'), TOPOLOGY_YAML);
  const before = pod.routes();
  t.match(pod.routesCommand(['--noop']).stdout, /would add route 140\.252\.147\.16\/28 .*\n.*\nchanged nothing/);
  t.equal(pod.routes(), before);
});

const failures: [
  title: string,
  map: string | undefined,
  args: string[],
  address: string | undefined,
  stderr: RegExp,
][] = [
  ['there is no map', undefined, [], '10.0.0.5/24', /there is no map of subnets; name it with --config/],
  [
    'the map is not there',
    undefined,
    ['--config', '/nonexistent/map.yaml'],
    '10.0.0.5/24',
    /\/nonexistent\/map\.yaml: ENOENT/,
  ],
  ['the map is wrong', 'vrf: {a: {subnets: {x: {gw: y}}}}', [], '10.0.0.5/24', /vrf\.a\.subnets\.x/],
  [
    'the interface does not exist',
    TOPOLOGY_YAML,
    ['--interface', 'eth9'],
    '10.0.0.5/24',
    /the pod has no interface "eth9"/,
  ],
  ['the interface has no address', TOPOLOGY_YAML, [], undefined, /interface "net1" has no address/],
];

t.test('fails loudly, with a sentence, where', { skip: noNamespaces }, async (t) => {
  for (const [title, map, args, address, stderr] of failures) {
    const pod = podAt(t, address);
    if (map !== undefined) writeFileSync(join(pod.folder, 'waymark.yaml'), map);
    // Of IPv4 only: the kernel adds its own of IPv6 whenever it comes to it.
    const before = pod.ip('-4 route show table all');
    const ran = pod.routesCommand(args);
    t.equal(ran.status, 1, title);
    t.match(ran.stderr, stderr, title);
    t.notMatch(ran.stderr, /\n {4}at /, 'no stack trace');
    t.equal(pod.ip('-4 route show table all'), before);
  }
});

const noSetpriv = noNamespaces || (works('setpriv', ['--version']) ? false : 'needs setpriv');

t.test('needs CAP_NET_ADMIN, and nothing else of what "privileged" gives', { skip: noSetpriv }, async (t) => {
  const pod = podAt(t, '140.252.147.50/28');
  writeFileSync(join(pod.folder, 'waymark.yaml'), TOPOLOGY_YAML);
  const none = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
  const refused = pod.routesCommand([], none);
  t.equal(refused.status, 1, 'without it, the kernel refuses');
  t.match(refused.stderr, /EPERM/);
  const only = ['setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin'];
  t.equal(pod.routesCommand([], only).status, 0, 'with it, the routes are added');
  t.equal(routesOf(pod).length, 2);
});
