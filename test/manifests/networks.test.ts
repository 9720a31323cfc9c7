import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FILES_CONFIG_MAP } from '../../controller/waymark-files.ts';
import { VERSION } from '../../lib/version.ts';
import { parseConsistentIfnameConfig } from '../../plugins/consistent-ifname/config.ts';
import { parseSeamlessGatewayConfig } from '../../plugins/seamless-gateway/config.ts';
import { parseStaticRouteConfig } from '../../plugins/static-route/config.ts';
import { schemaProblems } from '../support/kubernetes/kubernetes-schema.ts';
import { type Manifest, readManifests } from '../support/kubernetes/kustomize.ts';
import { run, type Scratch, scratchFolder, settle, works } from '../support/namespaces/namespace.ts';
import {
  type Driver,
  type List,
  type ListPlugin,
  type Node,
  noCnitool,
  noReferencePlugins,
  scratchNode,
} from '../support/plugins/chain.ts';

// The networks and pods of manifests/networks and manifests/examples. The tests stand in for Multus: they add each network
// of a pod's annotations under the next interface name, with the addresses that the annotation requests.

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const FOLDERS = ['networks', ...readdirSync(join(MANIFESTS, 'examples')).map((name) => `examples/${name}`)];
const DRIVER: Driver = noCnitool ? 'waymark cni' : 'cnitool';

const PARSERS = {
  'static-route': parseStaticRouteConfig,
  'seamless-gateway': parseSeamlessGatewayConfig,
  'consistent-ifname': parseConsistentIfnameConfig,
};

type Pod = { metadata: { annotations: { [name: string]: string } } };
type InitContainer = {
  args: string[];
  securityContext: { readOnlyRootFilesystem: boolean; capabilities: { drop: string[]; add: string[] } };
  volumeMounts: { name: string; mountPath: string }[];
};
type InitPod = Pod & { spec: { initContainers: InitContainer[]; volumes: { name: string; emptyDir?: object }[] } };
type Attachment = { network: string; ifname: string; ips?: string[] };

const isNetwork = ({ kind }: Manifest) => kind === 'NetworkAttachmentDefinition';

function listOf(manifest: Manifest): List {
  return JSON.parse((manifest.spec as { config: string }).config);
}

/** The list of a NetworkAttachmentDefinition in a folder, with stand-ins for plugins that cannot run here. */
function networkOf(folder: string, name: string, standIn: (plugin: ListPlugin) => ListPlugin): List {
  const found = readManifests(join(MANIFESTS, folder)).find(
    (manifest) => isNetwork(manifest) && manifest.metadata.name === name,
  );
  if (found === undefined) throw new Error(`no network ${name} in ${folder}`);
  const list = listOf(found);
  return { ...list, plugins: list.plugins.map(standIn) };
}

/** A pod of this folder, or the pod template of a Deployment. */
function podOf(folder: string, name: string): Pod {
  const found = readManifests(join(MANIFESTS, folder)).find(
    ({ kind, metadata }) => ['Pod', 'Deployment'].includes(kind) && metadata.name === name,
  );
  if (found === undefined) throw new Error(`no pod ${name} in ${folder}`);
  return found.kind === 'Pod' ? (found as unknown as Pod) : (found.spec as { template: Pod }).template;
}

/** The attachments that a pod's annotations request. */
function attachmentsOf({ metadata: { annotations } }: Pod): Attachment[] {
  const first = annotations['v1.multus-cni.io/default-network'];
  const more = annotations['k8s.v1.cni.cncf.io/networks'] ?? '[]';
  const requested: { name: string; ips?: string[] }[] = more.trim().startsWith('[')
    ? JSON.parse(more)
    : more.split(',').map((name) => ({ name: name.trim() }));
  return [
    ...(first === undefined ? [] : [{ network: first.split('/').at(-1) ?? '', ifname: 'eth0' }]),
    ...requested.map(({ name, ips }, i) => ({ network: name, ifname: `net${i + 1}`, ...(ips && { ips }) })),
  ];
}

function envOf({ ifname, ips }: Attachment) {
  return { CNI_IFNAME: ifname, ...(ips && { CAP_ARGS: JSON.stringify({ ips }) }) };
}

/** A node at 10.0.32.2 with a default route, and with two links to the outside: `eth0` and `eth1`. */
function nodeOfExamples(t: Test): Node {
  const world = scratchNode(t);
  for (const name of ['eth0', 'eth1']) {
    world.node.ip(`link add ${name} type veth peer name wire-${name}`);
    world.node.ip(`link set wire-${name} up`);
    world.node.ip(`link set ${name} up`);
  }
  world.node.ip('address add 10.0.32.2/24 dev eth0');
  world.node.ip('address add fd00:32::2/64 dev eth0');
  world.node.ip('route add default via 10.0.32.1 dev eth0');
  return world;
}

function stateOf(pod: Scratch): string {
  settle(pod);
  return JSON.stringify([pod.ipJson('link show'), pod.ipJson('address show'), pod.routes()]);
}

/**
 * Adds the attachments in order, calls `look`, then runs CHECK and DEL, after which the pod must be as before. After a
 * rename whose result has the new name only, as Multus needs it, the reference plugins' CHECK misses the first name:
 * then it is not run here (docs/decisions/0007; test/chain/consistent-ifname.test.ts runs it with `resultNames`).
 */
function through(
  t: Test,
  world: Node,
  attachments: Attachment[],
  look: (pod: Scratch) => void,
  { check = true } = {},
): void {
  const before = stateOf(world.pod);
  for (const attachment of attachments) world.must(DRIVER, 'add', attachment.network, envOf(attachment));
  look(world.pod);
  if (check) for (const attachment of attachments) world.must(DRIVER, 'check', attachment.network, envOf(attachment));
  for (const attachment of attachments.toReversed()) world.must(DRIVER, 'del', attachment.network, envOf(attachment));
  t.equal(stateOf(world.pod), before, 'DEL leaves the pod as it was');
  t.strictSame(world.leftovers(), [], 'and nothing on the node');
}

/** The IPv4 routes of the main table, in the words of `ip route`, without their protocol. */
function routeLines(pod: Scratch): string[] {
  return pod
    .ipJson('-4 route show')
    .map(({ dst, gateway, dev, prefsrc }) =>
      [dst, gateway && `via ${gateway}`, `dev ${dev}`, prefsrc && `src ${prefsrc}`].filter(Boolean).join(' '),
    );
}

t.test('an API server would accept every network and pod', async (t) => {
  for (const folder of FOLDERS)
    for (const manifest of readManifests(join(MANIFESTS, folder)))
      t.strictSame(schemaProblems(manifest), [], `${folder}: ${manifest.kind} ${manifest.metadata.name}`);
});

t.test('every network is a list of the same name, and our plugins know its keys', async (t) => {
  const used = new Set<string>();
  for (const folder of FOLDERS) {
    for (const manifest of readManifests(join(MANIFESTS, folder)).filter(isNetwork)) {
      const list = listOf(manifest);
      t.equal(list.name, manifest.metadata.name);
      for (const plugin of list.plugins) {
        if (!Object.hasOwn(PARSERS, plugin.type)) continue;
        used.add(plugin.type);
        const { warnings } = PARSERS[plugin.type as keyof typeof PARSERS]({ ...plugin, name: list.name });
        t.strictSame(warnings, [], `${folder}: ${list.name}: ${plugin.type}`);
      }
    }
  }
  t.strictSame([...used].sort(), Object.keys(PARSERS).sort(), 'each plugin has an example');
});

t.test('every network that a pod requests exists', async (t) => {
  for (const folder of FOLDERS) {
    const manifests = readManifests(join(MANIFESTS, folder));
    const names = manifests.filter(isNetwork).map(({ metadata }) => metadata.name);
    for (const { kind, metadata } of manifests.filter(({ kind }) => ['Pod', 'Deployment'].includes(kind)))
      for (const { network } of attachmentsOf(podOf(folder, metadata.name)))
        t.ok(names.includes(network), `${folder}: ${kind} ${metadata.name}: ${network}`);
  }
});

/** What the comment of a network's file says that a pod's annotation is. */
function annotatedIn(file: string): Attachment[] {
  const text = readFileSync(join(MANIFESTS, 'networks', file), 'utf8');
  const [, quoted, plain = ''] = /^#.*cni\.cncf\.io\/networks: (?:'([^']+)'|([\w-]+))/m.exec(text) ?? [];
  const [, override] = /^#.*v1\.multus-cni\.io\/default-network: ([\w-]+)/m.exec(text) ?? [];
  const first = override === undefined ? {} : { 'v1.multus-cni.io/default-network': override };
  const more = quoted === undefined && plain === '' ? {} : { 'k8s.v1.cni.cncf.io/networks': quoted ?? plain };
  return attachmentsOf({ metadata: { annotations: { ...first, ...more } } });
}

t.test('no network gives every pod that asks for it the same address', async (t) => {
  for (const folder of FOLDERS) {
    for (const manifest of readManifests(join(MANIFESTS, folder)).filter(isNetwork)) {
      for (const { ipam } of listOf(manifest).plugins) {
        t.notOk(ipam?.type === 'static' && 'addresses' in ipam, `${folder}: ${manifest.metadata.name}`);
      }
    }
  }
});

t.test('every list in networks/ works as it is', { skip: noReferencePlugins }, async (t) => {
  for (const file of readdirSync(join(MANIFESTS, 'networks'))) {
    const manifests = readManifests(join(MANIFESTS, 'networks', file));
    const manifest = manifests.find(isNetwork);
    if (manifest === undefined) throw new Error(file);
    const world = nodeOfExamples(t);
    const files = manifests.find(({ metadata }) => metadata.name === FILES_CONFIG_MAP)?.data ?? {};
    // On a node, the agent puts them into /etc/waymark.
    const folder = scratchFolder(t);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), String(text));
    const list: List = JSON.parse(JSON.stringify(listOf(manifest)).replaceAll('/etc/waymark', folder));
    world.writeList(list);
    const look = (pod: Scratch) => {
      const routes = pod.routes();
      if (file === 'static-route.yaml') {
        t.match(routes, '"dst":"192.168.0.0/16","gateway":"192.168.42.1"');
        const [multicast] = pod.ipJson('route show 224.0.0.0/4');
        t.match(multicast, { dev: 'net1', scope: 'link' });
        t.notOk(multicast?.gateway, 'multicast goes to no gateway');
      }
      if (file === 'subnet-map.yaml') {
        const routed = pod.ipJson('route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`);
        t.strictSame(routed.sort(), ['192.168.51.0/24 via 192.168.50.1', '192.168.52.0/24 via 192.168.50.1']);
      }
      if (file === 'seamless-gateway.yaml') t.match(routes, '"dst":"10.0.32.2","gateway":"10.131.0.1"');
      if (file === 'multi-network.yaml') t.match(routes, '"dst":"192.168.0.0/16","gateway":"192.168.45.1"');
      if (file === 'consistent-ifname.yaml')
        t.match(pod.ipJson('link show dev netd487dd0b55df'), [{ operstate: 'UP' }]);
    };
    through(t, world, annotatedIn(file), look, { check: file !== 'consistent-ifname.yaml' });
  }
});

t.test(
  'ovn-kubernetes: the pod has a route to its node (with bridge in place of OVN’s plugin)',
  { skip: noReferencePlugins },
  async (t) => {
    const folder = 'examples/ovn-kubernetes';
    const world = nodeOfExamples(t);
    const ipam = {
      type: 'host-local',
      subnet: '10.131.0.0/23',
      rangeStart: '10.131.0.5',
      routes: [{ dst: '0.0.0.0/0' }],
    };
    const bridge = { type: 'bridge', bridge: 'br0', isGateway: true, ipam };
    const standIn = (plugin: ListPlugin) => (plugin.type === 'ovn-k8s-cni-overlay' ? bridge : plugin);
    world.writeList(networkOf(folder, 'ovn-seamless', standIn));
    through(t, world, attachmentsOf(podOf(folder, 'seamless')), (pod) => {
      t.match(pod.ipJson('-4 address show dev eth0'), [{ addr_info: [{ local: '10.131.0.5', prefixlen: 23 }] }]);
      t.match(pod.ip('route show'), /^10\.0\.32\.2 via 10\.131\.0\.1 dev eth0 /m);
      t.strictSame(pod.ipJson('route show proto 87').length, 1, 'and no other route of ours');
    });
  },
);

for (const flannelRoutes of [true, false]) {
  t.test(
    `flannel-ipvlan: the pod has the four routes (with bridge and macvlan in place of flannel and ipvlan), ${
      flannelRoutes ? 'if flannel adds the route of its network' : 'if flannel does not add the route of its network'
    }`,
    { skip: noReferencePlugins },
    async (t) => {
      const folder = 'examples/flannel-ipvlan';
      const world = nodeOfExamples(t);
      const standIn = (plugin: ListPlugin): ListPlugin => {
        if (plugin.type === 'flannel') {
          const routes = flannelRoutes ? [{ dst: '10.244.0.0/16' }] : [];
          const ipam = { type: 'host-local', subnet: '10.244.0.0/24', rangeStart: '10.244.0.57', routes };
          return { type: 'bridge', bridge: 'cni0', isGateway: true, ...(plugin.delegate as object), ipam };
        }
        if (plugin.type !== 'ipvlan') return plugin;
        // Like an IPAM plugin that assigns a default route.
        const routes = [{ dst: '0.0.0.0/0', gw: '10.5.2.1', priority: 100 }];
        return { ...plugin, type: 'macvlan', mode: 'bridge', ipam: { type: 'static', routes } };
      };
      world.writeList(networkOf(folder, 'flannel', standIn));
      world.writeList(networkOf(folder, 'cloud-native', standIn));
      through(t, world, attachmentsOf(podOf(folder, 'samplepod')), (pod) => {
        t.strictSame(
          routeLines(pod).sort(),
          [
            'default via 10.244.0.1 dev eth0',
            '10.5.2.0/24 dev net1 src 10.5.2.203',
            '10.244.0.0/24 dev eth0 src 10.244.0.57',
            '10.244.0.0/16 via 10.244.0.1 dev eth0',
          ].sort(),
        );
        t.equal(pod.ipJson('route show proto 87').length, flannelRoutes ? 0 : 1);
      });
    },
  );
}

t.test(
  'kactus: green and blue have their names and addresses in both pods, which reach each other (with macvlan in place of vlan)',
  { skip: noReferencePlugins },
  async (t) => {
    const folder = 'examples/kactus';
    const standIn = ({ vlanId, ...plugin }: ListPlugin): ListPlugin =>
      vlanId === undefined ? plugin : { ...plugin, type: 'macvlan', mode: 'bridge' };
    const first = nodeOfExamples(t);
    const second = scratchNode(t, first.node);
    for (const world of [first, second])
      for (const network of ['green', 'blue']) world.writeList(networkOf(folder, network, standIn));
    const seen = (pod: Scratch, name: string) =>
      pod
        .ipJson(`address show dev ${name}`)
        .flatMap(({ addr_info }) => addr_info as { local: string; prefixlen: number; scope: string }[])
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`);

    const inApp2 = (app1: Scratch) => (app2: Scratch) => {
      t.strictSame(seen(app2, 'net9f27410725ab'), ['192.168.42.20/24', 'fd10:42::2/64'], 'app2, green');
      t.strictSame(seen(app2, 'net48d6215903df'), ['192.168.43.20/24', 'fd10:43::2/64'], 'app2, blue');
      t.ok(reaches(app1, '192.168.42.20'), 'app1 reaches app2 over green');
      t.ok(reaches(app2, '192.168.43.10'), 'app2 reaches app1 over blue');
      t.ok(reaches(app1, 'fd10:42::2'), 'app1 reaches app2 over green with IPv6');
      t.notOk(reaches(app1, '192.168.42.99'), 'and no address that does not exist');
    };
    const inApp1 = (app1: Scratch) => {
      t.strictSame(seen(app1, 'net9f27410725ab'), ['192.168.42.10/24', 'fd10:42::1/64'], 'app1, green');
      t.strictSame(seen(app1, 'net48d6215903df'), ['192.168.43.10/24', 'fd10:43::1/64'], 'app1, blue');
      through(t, second, attachmentsOf(podOf(folder, 'app2')), inApp2(app1), { check: false });
    };
    through(t, first, attachmentsOf(podOf(folder, 'app1')), inApp1, { check: false });
  },
);

/** The routes between the subnets that a pod at 139.229.166.20/24 must have. */
const DDS_ROUTES = ['139.229.147.0/24', '139.229.167.0/24', '139.229.170.0/24', '139.229.178.0/24'].map(
  (dst) => `${dst} via 139.229.166.254 dev net1`,
);

// The lease of a DHCP server.
const leased = (plugin: ListPlugin): ListPlugin =>
  plugin.ipam?.type === 'dhcp'
    ? { ...plugin, ipam: { type: 'static', addresses: [{ address: '139.229.166.20/24' }] } }
    : plugin;

t.test(
  'ddsnet4u with the plugin: the routes come with the network (with static addresses in place of dhcp)',
  { skip: noReferencePlugins },
  async (t) => {
    const world = nodeOfExamples(t);
    world.writeList(networkOf('examples/ddsnet4u', 'dds', leased));
    through(t, world, attachmentsOf(podOf('examples/ddsnet4u', 'dds')), (pod) => {
      t.strictSame(
        routeLines(pod).filter((line) => line.includes(' via ')),
        DDS_ROUTES,
      );
    });
  },
);

const noSetpriv = noReferencePlugins || (works('setpriv', ['--version']) ? false : 'needs setpriv');

t.test(
  'ddsnet4u with an init container: it runs with the manifest’s arguments and map, a read-only root and only its capabilities',
  { skip: noSetpriv },
  async (t) => {
    const folder = 'examples/ddsnet4u';
    const { initContainers, volumes } = (podOf(folder, 'dds-init') as InitPod).spec;
    const [init] = initContainers;
    if (init === undefined) throw new Error('no init container');
    t.match(init.securityContext, {
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    });
    const { data } = readManifests(join(MANIFESTS, folder)).find(({ kind }) => kind === 'ConfigMap') as unknown as {
      data: { [name: string]: string };
    };

    const world = nodeOfExamples(t);
    world.writeList(networkOf(folder, 'dds-plain', leased));
    const [attachment] = attachmentsOf(podOf(folder, 'dds-init'));
    if (attachment === undefined) throw new Error('no attachment');
    world.must(DRIVER, 'add', attachment.network, envOf(attachment));

    // The executable is alone, as in the image. The working folder stands in for /etc/ddsnet4u, which has the map.
    const executable = join(world.folder, 'opt/waymark/bin/waymark');
    mkdirSync(join(world.folder, 'opt/waymark/bin'), { recursive: true });
    cpSync(join(import.meta.dirname, '../../dist/bin/waymark'), executable);
    const etc = join(world.folder, 'etc');
    mkdirSync(etc);
    for (const [name, text] of Object.entries(data)) writeFileSync(join(etc, name), text);
    const emptyDirs = init.volumeMounts.filter(({ name }) =>
      volumes.some((each) => each.name === name && each.emptyDir),
    );
    const capabilities = init.securityContext.capabilities.add.map((name) => `,+${name.toLowerCase()}`).join('');
    // `ip netns exec` has mounts of its own. An emptyDir is writable by everyone.
    const script = [
      'mount -o remount,bind,ro /',
      ...emptyDirs.map(({ mountPath }) => `mount -t tmpfs -o mode=0777 tmpfs ${mountPath}`),
      `cd ${etc}`,
      `exec setpriv --bounding-set=-all${capabilities} --inh-caps=-all${capabilities} ${executable} ${init.args.join(' ')}`,
    ].join(' && ');
    const routes = () => run('ip', ['netns', 'exec', world.pod.name, 'sh', '-c', script]);
    t.match(routes(), 'added 4 routes');
    t.strictSame(
      routeLines(world.pod).filter((line) => line.includes(' via ')),
      DDS_ROUTES,
    );
    t.match(routes(), 'nothing to do', 'a container that restarts does no harm');
    world.must(DRIVER, 'del', attachment.network, envOf(attachment));
    t.strictSame(routeLines(world.pod), []);
  },
);

t.test('the examples use this version', async (t) => {
  for (const manifest of readManifests(join(MANIFESTS, 'examples/ddsnet4u')))
    for (const [, tag] of JSON.stringify(manifest).matchAll(/waymark-cni\/waymark:([\w.]+)/g)) t.equal(tag, VERSION);
});

/** Does somebody answer at this address? A refused connection is an answer. */
function reaches(pod: Scratch, host: string): boolean {
  const script = `require('net').connect({host:'${host}',port:9,timeout:60000}).on('error',(e)=>{console.log(e.code);process.exit()}).on('timeout',()=>process.exit())`;
  return run('ip', ['netns', 'exec', pod.name, process.execPath, '-e', script]).trim() === 'ECONNREFUSED';
}
