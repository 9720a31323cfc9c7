import t, { type Test } from 'tap';
import { installNetworkDefinition } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { events, seen } from '../support/cluster/hot-plug.ts';
import { killAgent, podRoutes } from '../support/cluster/node-state.ts';
import { apply, eventOf, type Manifest, networkOf, podOf, remove, untilReady } from '../support/cluster/objects.ts';

// Routes of running pods follow definition, annotation and map, on a real cluster: thirty pods, one of which is edited too.

const PODS = Array.from({ length: 30 }, (_, index) => `pod-${index}`);
const GATEWAY = '10.76.0.1';

const onCluster = await clusterTier(t, { nodes: 1, waymark: 'dynamic' }, async (cluster) => {
  await installNetworkDefinition(cluster);
  apply(cluster, map('10.3.0.0/16'), sites({ routes: [routeTo('10.1.0.0/16')] }));
  apply(cluster, ...PODS.map((name) => podOf(name, 'sites@net1')));
  await untilReady(cluster, ...PODS);
});

/** A network on a bridge of the node's; with a map too, which is another entry of the same plugin. */
function sites(keys: object): Manifest {
  const ipam = { type: 'host-local', ranges: [[{ subnet: '10.76.0.0/16' }]] };
  const bridge = { type: 'bridge', bridge: 'br-sites', isGateway: true, ipam };
  const mapped = { type: 'static-route', topologyFile: '/etc/waymark/topology.yaml' };
  const own = { type: 'static-route', ...keys };
  return networkOf('sites', { cniVersion: '1.0.0', name: 'sites', plugins: [bridge, own, mapped] });
}

function routeTo(dst: string, gw = GATEWAY): object {
  return { dst, gw };
}

function map(...subnets: string[]): Manifest {
  const lines = [`10.76.0.0/16: { gw: ${GATEWAY} }`, ...subnets.map((subnet) => `${subnet}: { gw: 10.99.0.1 }`)];
  const text = ['vrf:', '  a:', '    subnets:', ...lines.map((line) => `      ${line}`)].join('\n');
  const metadata = { name: 'waymark-files', namespace: 'waymark' };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'topology.yaml': text } };
}

/** Our routes in each pod, by the kernel: how many pods have which. */
function pictures(cluster: Cluster): string {
  const each = Object.values(podRoutes(cluster.node('node-1')))
    .filter((routes) => routes.length > 0)
    .map((routes) =>
      routes
        .map(({ dst, gateway }) => `${dst} via ${gateway}`)
        .sort()
        .join(', '),
    );
  return [...Map.groupBy(each, (text) => text)]
    .map(([text, { length }]) => `${length}: ${text}`)
    .sort()
    .join('; ');
}

/** Waits until as many pods as are given have these routes, and no others have any. */
async function have(cluster: Cluster, ...wanted: [count: number, ...routes: string[]][]): Promise<void> {
  const text = (route: string) => (route.includes(' via ') ? route : `${route} via ${GATEWAY}`);
  const expected = wanted
    .map(([count, ...routes]) => `${count}: ${routes.map(text).sort().join(', ')}`)
    .sort()
    .join('; ');
  await seen(expected, () => {
    const found = pictures(cluster);
    if (found !== expected) throw new Error(`the pods have ${found}`);
  });
}

/** How long after the API server has an edit the pods have it, as events say to the second; told as a comment. */
async function timed(t: Test, what: string, edit: () => unknown, done: () => Promise<void>): Promise<void> {
  const begun = Date.now();
  edit();
  const written = Date.now();
  await done();
  const now = Date.now();
  t.comment(`${what}: all pods within ${now - written} ms of kubectl's end, ${now - begun} ms of its start`);
}

await onCluster('a definition: a route more, another gateway, a route less', async (t, cluster) => {
  await have(cluster, [30, '10.1.0.0/16', '10.3.0.0/16']);
  const edit = (...routes: object[]) => apply(cluster, sites({ routes }));
  await timed(
    t,
    'added',
    () => edit(routeTo('10.1.0.0/16'), routeTo('10.2.0.0/16')),
    () => have(cluster, [30, '10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16']),
  );
  await timed(
    t,
    'changed',
    () => edit(routeTo('10.1.0.0/16', '10.76.0.9')),
    () => have(cluster, [30, '10.1.0.0/16 via 10.76.0.9', '10.3.0.0/16']),
  );
  await timed(
    t,
    'removed',
    () => edit(),
    () => have(cluster, [30, '10.3.0.0/16']),
  );
  t.strictSame(events(cluster, 'pod-0', 'RemovedInterface'), [], 'nothing was detached for it');
});

await onCluster('the map’s ConfigMap, and the annotation of one pod', async (t, cluster) => {
  await timed(
    t,
    'the map',
    () => apply(cluster, map('10.3.0.0/16', '10.4.0.0/16')),
    () => have(cluster, [30, '10.3.0.0/16', '10.4.0.0/16']),
  );
  const selection = [{ name: 'sites', interface: 'net1', 'cni-args': { addroutes: [routeTo('10.5.0.0/16')] } }];
  const annotation = `k8s.v1.cni.cncf.io/networks=${JSON.stringify(selection)}`;
  await timed(
    t,
    'the annotation',
    () => cluster.kubectl(['annotate', '--overwrite', 'pod', 'pod-0', annotation]),
    () => have(cluster, [29, '10.3.0.0/16', '10.4.0.0/16'], [1, '10.3.0.0/16', '10.4.0.0/16', '10.5.0.0/16']),
  );
  cluster.kubectl(['annotate', '--overwrite', 'pod', 'pod-0', 'k8s.v1.cni.cncf.io/networks=sites@net1']);
  apply(cluster, map('10.3.0.0/16'));
  await have(cluster, [30, '10.3.0.0/16']);
  t.strictSame(events(cluster, 'pod-0', 'RemovedInterface'), []);
});

await onCluster(
  'a refused edit leaves the pods as they were, with an event; so does a definition that goes',
  async (t, cluster) => {
    apply(cluster, sites({ routes: [routeTo('10.1.0.0/16', '203.0.113.1')] }));
    t.match(await eventOf(cluster, 'pod-1', /failed updating routes of interface net1/), /the kernel refused/);
    await have(cluster, [30, '10.3.0.0/16']);
    remove(cluster, sites({}));
    await eventOf(cluster, 'pod-1', /network sites is not defined any more: interface net1 keeps its routes/);
    await have(cluster, [30, '10.3.0.0/16']);
    apply(cluster, sites({ routes: [routeTo('10.6.0.0/16')] }));
    await have(cluster, [30, '10.3.0.0/16', '10.6.0.0/16']);
  },
);

await onCluster('an edit at which the agent is killed, and one while none runs, arrive', async (t, cluster) => {
  const node = cluster.node('node-1');
  apply(cluster, sites({ routes: [routeTo('10.7.0.0/16'), routeTo('10.8.0.0/16')] }));
  await killAgent(node);
  apply(cluster, sites({ routes: [routeTo('10.9.0.0/16')] }));
  await have(cluster, [30, '10.3.0.0/16', '10.9.0.0/16']);
  remove(cluster, ...PODS.map((name) => podOf(name, '')));
  await seen('no journal is left', () => {
    const left = node.run(['sh', '-c', 'ls /run/waymark/static-route']).trim();
    if (left !== '') throw new Error(left);
  });
  t.pass('nothing is left');
});
