import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { until, WAIT_SECONDS } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { stateOf, untilStateIs } from '../support/cluster/node-state.ts';
import {
  apply,
  eventOf,
  get,
  inPod,
  type Manifest,
  networkOf,
  podOf,
  remove,
  routesOf,
  untilAnswers,
  untilReady,
} from '../support/cluster/objects.ts';
import { GREEN_NAME, greenList } from '../support/containerd/pod-network.ts';

// Pods of a real cluster of two nodes, with networks by Multus and our plugins by the agent.

const ROOT = join(import.meta.dirname, '../..');
const MANIFESTS = join(ROOT, 'manifests');

const tier = await clusterTier(t, { nodes: 2, multus: 'thick', waymark: 'agent', cpuLimits: true });

await tier('pods reach each other across nodes, their nodes, and the API server', async (t, cluster) => {
  const pods = [podOf('left', '', { node: 'node-1' }), podOf('right', '', { node: 'node-2' })];
  apply(cluster, ...pods);
  await untilReady(cluster, 'left', 'right');
  const addressOf = (name: string) => cluster.kubectl(['get', 'pod', name, '-o=jsonpath={.status.podIP}']);
  await untilAnswers(cluster, 'left', addressOf('right'));
  await untilAnswers(cluster, 'right', addressOf('left'));
  for (const node of cluster.nodes) await untilAnswers(cluster, 'left', node.address);
  t.equal(inPod(cluster, 'left', 'nc', '-w', '5', '10.96.0.1', '443', '-e', 'true'), '', 'the service address answers');
  remove(cluster, ...pods);
});

await tier('a pod on a bridge network with the three plugins gets every route, on each node', async (t, cluster) => {
  const before = cluster.nodes.map(stateOf);
  const network = networkOf('green', greenList());
  const pods = cluster.nodes.map(({ name }) => podOf(`green-${name}`, 'green', { node: name }));
  apply(cluster, network, ...pods);
  await untilReady(cluster, ...pods.map(({ metadata }) => metadata.name));
  for (const node of cluster.nodes) {
    const pod = `green-${node.name}`;
    const routes = routesOf(cluster, pod);
    t.ok(routes.includes(`${node.address} via 10.131.0.1 dev ${GREEN_NAME}`), 'the way to the node');
    t.ok(routes.includes(`10.10.0.0/16 via 10.131.0.1 dev ${GREEN_NAME}`), 'the route of the list');
    t.match(inPod(cluster, pod, 'ip', '-6', 'route'), `2001:db8:10::/48 via fd00:131::1 dev ${GREEN_NAME}`);
    await untilAnswers(cluster, pod, node.address);
    const address = addressOn(cluster, pod, GREEN_NAME);
    const ping = ['busybox', 'ping', '-c', '1', '-w', '10', address];
    await until('the pod answers its node', () => node.end(ping).status === 0);
    t.match(statusOf(cluster, pod), [{ default: true }, { name: 'default/green', ips: [address] }]);
  }
  remove(cluster, ...pods, network);
  for (const [index, node] of cluster.nodes.entries()) await untilStateIs(node, before[index] ?? stateOf(node));
});

await tier('kactus’ green and blue pods reach each other over interfaces of the same name', async (t, cluster) => {
  // The example's own files; this kernel has no VLANs, so each network is a macvlan of a link of its own.
  const networks = ['green', 'blue'].flatMap((name, index) =>
    read('kactus', `${name}.yaml`).map((network) => withPlugin(network, { type: 'macvlan', master: `eth${index}` })),
  );
  const deployments = ['app1.yaml', 'app2.yaml'].flatMap((file) => read('kactus', file));
  apply(cluster, ...networks, ...deployments);
  for (const { metadata } of deployments) {
    cluster.kubectl(['rollout', 'status', `deployment/${metadata.name}`, `--timeout=${WAIT_SECONDS}s`]);
  }
  const [app1 = '', app2 = ''] = ['app1', 'app2'].map((app) => nameOf(cluster, `app=${app}`));
  const nodes = get(cluster, 'pods', '-l=app in (app1, app2)').map(
    ({ spec }) => (spec as { nodeName: string }).nodeName,
  );
  t.strictSame(nodes.sort(), ['node-1', 'node-2'], 'on two nodes');
  for (const [name, ipv4, ipv6] of [
    ['net9f27410725ab', '192.168.42.20', 'fd10:42::2'],
    ['net48d6215903df', '192.168.43.20', 'fd10:43::2'],
  ] as const) {
    for (const pod of [app1, app2]) t.match(inPod(cluster, pod, 'ip', 'link'), name, `${pod} has ${name}`);
    await untilAnswers(cluster, app1, ipv4, '-I', name);
    await untilAnswers(cluster, app1, ipv6, '-I', name);
    t.pass(`${app2} answers at ${ipv4} and ${ipv6}`);
  }
  remove(cluster, ...deployments, ...networks);
});

await tier(
  'seamless-gateway alone in its definition routes the node through the pod’s first network',
  async (t, cluster) => {
    const network = networkOf('alone', {
      cniVersion: '0.3.1',
      name: 'alone',
      type: 'seamless-gateway',
      interface: 'eth0',
    });
    const pod = podOf('unchained', 'alone', { node: 'node-2' });
    apply(cluster, network, pod);
    await untilReady(cluster, 'unchained');
    t.ok(routesOf(cluster, 'unchained').includes('10.0.32.3 via 10.244.2.1 dev eth0'));
    await untilAnswers(cluster, 'unchained', '10.0.32.3');
    remove(cluster, pod, network);
  },
);

await tier('ddsnet4u’s map gives the same routes by the plugin and by the init container', async (t, cluster) => {
  // There is no DHCP server: the addresses are fixed.
  const ipam = (address: string) => ({ type: 'static', addresses: [{ address }] });
  const documents = [
    ...read('ddsnet4u', 'with-plugin.yaml').map((each) => withPlugin(each, { ipam: ipam('139.229.170.10/24') })),
    ...read('ddsnet4u', 'with-init-container.yaml').map((each) =>
      withPlugin(each, { ipam: ipam('139.229.170.11/24') }),
    ),
  ];
  apply(cluster, ...documents);
  await untilReady(cluster, 'dds', 'dds-init');
  const expected = ['147', '166', '167', '178'].map((part) => `139.229.${part}.0/24 via 139.229.170.254 dev net1`);
  for (const pod of ['dds', 'dds-init']) {
    const routes = routesOf(cluster, pod).filter((line) => line.startsWith('139.229.') && line.includes(' via '));
    t.strictSame(routes.map((line) => line.replace(/ proto \S+/, '')).sort(), expected, pod);
  }
  remove(cluster, ...documents);
});

await tier('the README’s network and those of manifests/networks work as they are', async (t, cluster) => {
  const networks = ['static-route', 'consistent-ifname', 'seamless-gateway'].flatMap((name) =>
    readAll(join(MANIFESTS, 'networks', `${name}.yaml`)),
  );
  const backbone = ['network.yaml', 'pod.yaml'].flatMap((file) => read('backbone', file)).map(onFirstNode);
  const chosen = [
    { name: 'sites', ips: ['192.168.42.10/24'] },
    { name: 'yellow', ips: ['192.168.44.10/24'] },
    { name: 'node' },
  ];
  const all = podOf('all', chosen, { node: 'node-1' });
  apply(cluster, ...backbone, ...networks, all);
  await untilReady(cluster, 'web', 'all');
  const [, shown = ''] = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/```console\n(.*?)```/gs)].map(
    ([, block]) => block,
  );
  // busybox prints neither protocol nor metric as iproute2 does, and the pod has the address that was free.
  const comparable = (lines: readonly string[]) =>
    lines
      .map((line) =>
        line
          .replace(/ proto 87| proto kernel| src \S+/g, '')
          .replace(/ +/g, ' ')
          .trim(),
      )
      .sort();
  t.strictSame(
    comparable(routesOf(cluster, 'web')),
    comparable(shown.trim().split('\n').slice(1)),
    'the README’s routes',
  );
  const routes = routesOf(cluster, 'all');
  t.ok(routes.includes('192.168.0.0/16 via 192.168.42.1 dev net1'), 'sites');
  t.ok(routes.includes('224.0.0.0/4 dev net1 scope link'), 'sites, multicast');
  t.ok(routes.includes('10.0.32.2 via 10.131.0.1 dev net3'), 'node');
  t.match(inPod(cluster, 'all', 'ip', 'link'), 'netd487dd0b55df', 'yellow');
  remove(cluster, all, ...backbone, ...networks);
});

await tier('ovn-kubernetes: a default network with seamless-gateway, by Multus’ annotation', async (t, cluster) => {
  // A bridge in the place of OVN.
  const ipam = { type: 'host-local', ranges: [[{ subnet: '10.131.4.0/23' }]], routes: [{ dst: '0.0.0.0/0' }] };
  const plugin = { type: 'bridge', bridge: 'wm-ovn', isGateway: true, ipam };
  const objects = ['network.yaml', 'pod.yaml'].flatMap((file) => read('ovn-kubernetes', file));
  const ours = objects.map((each) => withPlugin(each, plugin)).map(onFirstNode);
  apply(cluster, ...ours);
  await untilReady(cluster, 'seamless');
  t.ok(routesOf(cluster, 'seamless').includes('10.0.32.2 via 10.131.4.1 dev eth0'));
  await untilAnswers(cluster, 'seamless', '10.0.32.2');
  remove(cluster, ...ours);
});

await tier('`kubectl describe pod` shows the error of a wrong config in one readable line', async (t, cluster) => {
  const [bridge] = greenList().plugins;
  const plugins = [bridge, { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }], onConflikt: 'keep' }];
  const network = networkOf('wrong', { cniVersion: '1.0.0', name: 'wrong', plugins });
  const pod = podOf('wrong', 'wrong', { node: 'node-1' });
  const before = stateOf(cluster.node('node-1'));
  apply(cluster, network, pod);
  const message = await eventOf(cluster, 'wrong', /onConflikt/);
  t.match(message, /invalid network config: onConflikt: is not a known key; did you mean "onConflict"\?/);
  const described = cluster.kubectl(['describe', 'pod', 'wrong']);
  // The kubelet tries again, so there may be several of the same.
  const lines = described.split('\n').filter((line) => line.includes('onConflikt'));
  t.not(lines.length, 0);
  for (const line of lines) {
    t.match(line, /FailedCreatePodSandBox.*onConflikt: is not/, 'in one line');
    t.equal(line.match(/onConflikt/g)?.length, 1, 'and once');
  }
  t.comment(message);
  remove(cluster, pod, network);
  await untilStateIs(cluster.node('node-1'), before);
});

function addressOn(cluster: Cluster, pod: string, link: string): string {
  return /inet (\S+)\//.exec(inPod(cluster, pod, 'ip', '-4', 'address', 'show', 'dev', link))?.[1] ?? '';
}

function statusOf(cluster: Cluster, pod: string): object[] {
  const path = '{.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}';
  return JSON.parse(cluster.kubectl(['get', 'pod', pod, `-o=jsonpath=${path}`]));
}

function nameOf(cluster: Cluster, selector: string): string {
  return get(cluster, 'pods', `-l=${selector}`)[0]?.metadata.name ?? '';
}

function read(folder: string, file: string): Manifest[] {
  return readAll(join(MANIFESTS, 'examples', folder, file));
}

function readAll(path: string): Manifest[] {
  return parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS());
}

function onFirstNode(manifest: Manifest): Manifest {
  return manifest.kind === 'Pod'
    ? { ...manifest, spec: { ...(manifest.spec as object), nodeName: 'node-1' } }
    : manifest;
}

// A network definition whose first plugin has other keys; other objects as they are.
function withPlugin(manifest: Manifest, keys: object): Manifest {
  if (manifest.kind !== 'NetworkAttachmentDefinition') return manifest;
  const config = JSON.parse((manifest.spec as { config: string }).config);
  const [{ vlanId: _, ...first }, ...rest] = config.plugins;
  return { ...manifest, spec: { config: JSON.stringify({ ...config, plugins: [{ ...first, ...keys }, ...rest] }) } };
}
