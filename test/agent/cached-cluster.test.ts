import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CachedCluster } from '../../agent/cached-cluster.ts';
import { type Pod, podOf } from '../../lib/attachments/pod.ts';
import { STATUS_ANNOTATION } from '../../lib/attachments/status.ts';
import type { ApiClient } from '../../lib/kubernetes/client.ts';
import { Watch } from '../../lib/kubernetes/watch.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { agentHere } from '../support/agent/agent.ts';
import { callShim } from '../support/agent/shim.ts';
import { ApiStandIn, type Fault } from '../support/kubernetes/api-stand-in.ts';
import { type MultiNetworkNode, multiNetworkNode } from '../support/kubernetes/multi-network-node.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// multi-network with what the agent knows of the cluster. A stand-in for the API server; the rest is real.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const skip = noReferencePlugins;
const SHIMS = join(import.meta.dirname, '../../dist/shim');

type Cached = MultiNetworkNode & { readonly pods: Watch<Pod>; readonly lost: string[] };

async function cachedNode(t: Test): Promise<Cached> {
  const started: { pods?: Watch<Pod>; cluster?: CachedCluster; client?: ApiClient } = {};
  const lost: string[] = [];
  t.teardown(async () => {
    await started.pods?.stop();
    await started.cluster?.stop();
    started.client?.close();
  });
  const services = (api: ApiStandIn) => {
    const client = api.client();
    const pods = new Watch<Pod>({ client, path: '/api/v1/pods', keep: podOf, changed: () => undefined });
    pods.start();
    const cluster = new CachedCluster({
      client,
      node: 'node-1',
      pod: (namespace, name) => pods.items.get(`${namespace}/${name}`),
      globalNamespaces: undefined,
      lost: (why) => lost.push(why),
      watchFailed: () => undefined,
    });
    Object.assign(started, { client, pods, cluster });
    return { cluster: async () => cluster, mayPublishLater: true };
  };
  const node = await multiNetworkNode(t, services);
  return { ...node, pods: started.pods as Watch<Pod>, lost };
}

const gets = ({ api }: Cached) => api.asked.filter(({ method, query }) => method === 'GET' && !query.has('watch'));

/** A pod has been started, so the watches know what the next one needs. */
async function warm(node: Cached): Promise<void> {
  node.define('blue');
  const first = node.pod('first', { [NETWORKS]: 'blue' });
  await first.add();
  await until(() => node.api.watching === 2);
}

t.test('a pod starts without a GET once the watches know it and its definitions', { skip }, async (t) => {
  const node = await cachedNode(t);
  await warm(node);
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  await until(() => node.pods.items.has('default/web'));
  const before = gets(node).length;
  await pod.add();
  t.strictSame(gets(node).slice(before), []);
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'net1']);
  t.equal(pod.status().length, 2);
  node.define('green');
  const next = node.pod('next', { [NETWORKS]: 'green' });
  await next.add();
  t.ok(next.links().net1, 'a definition that came later');
});

t.test('a pod that the watch does not tell in time is asked for, and so is a definition', { skip }, async (t) => {
  const node = await cachedNode(t);
  await warm(node);
  await node.pods.stop();
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  await pod.add();
  t.equal(node.api.count('GET', /\/pods\/web$/), 1);
  t.ok(pod.links().net1);
  const missing = node.pod('other', { [NETWORKS]: 'absent' });
  t.match((await missing.run('ADD')).document, { code: 11, msg: /absent/ });
});

t.test('a pod of the same name as another one is not taken for it', { skip }, async (t) => {
  const node = await cachedNode(t);
  await warm(node);
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  t.match((await pod.run('ADD', { args: ';K8S_POD_UID=other' })).document, { code: 11, msg: /other/ });
});

t.test('without an API server, pods start whose definitions are known; the status follows', { skip }, async (t) => {
  const node = await cachedNode(t);
  await warm(node);
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  await until(() => node.pods.items.has('default/web'));
  const port = Number(new URL(node.api.url).port);
  await node.api.stop();
  await pod.add();
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'net1']);
  t.strictSame(pod.status(), []);
  t.equal((await pod.run('CHECK')).code, 0);
  await node.api.start(port);
  await until(() => pod.status().length === 2, 'the status is not written');
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(pod.links(), {});
});

t.test('a status that may not be written fails the pod, and leaves nothing', { skip }, async (t) => {
  const node = await cachedNode(t);
  await warm(node);
  node.api.fault = ({ method }, response) => {
    if (method !== 'PATCH') return undefined;
    response.writeHead(403).end('{"message":"may not patch"}');
    return true;
  };
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  t.match((await pod.run('ADD')).document, { code: 11, msg: /may not patch/ });
  t.strictSame(pod.links(), {});
});

t.test('the agent serves the shims that a network’s plugins are, for the same container', { skip }, async (t) => {
  const node = await cachedNode(t);
  const { socket } = await agentHere(t, { plugins: [node.plugin, staticRoute] });
  const bin = join(node.folder, 'bin');
  mkdirSync(bin);
  const script = `#!/bin/sh\nWAYMARK_SOCKET=${socket} WAYMARK_STANDALONE=/nowhere exec ${SHIMS}/static-route\n`;
  writeFileSync(join(bin, 'static-route'), script, { mode: 0o755 });
  const { name, cniVersion, ...bridge } = node.bridge('blue');
  const route = {
    type: 'static-route',
    dataDir: join(node.folder, 'routes'),
    routes: [{ dst: '192.0.2.0/24', dev: 'net1' }],
  };
  node.define('blue', { name, cniVersion, plugins: [bridge, route] });
  const pod = node.pod('web', { [NETWORKS]: 'blue' });
  const ask = (verb: string) => {
    const more = { CNI_PATH: `${bin}:${REFERENCE_FOLDER}`, WAYMARK_SOCKET: socket, WAYMARK_STANDALONE: '/nowhere' };
    const stdin = JSON.stringify(node.config());
    return callShim(join(SHIMS, 'multi-network'), { env: pod.env(verb, more), stdin });
  };
  const answer = await ask('ADD');
  t.equal(answer.code, 0, String(answer.stdout));
  t.match(pod.scratch.ipJson('route show proto 87'), [{ dst: '192.0.2.0/24', dev: 'net1' }]);
  const deleted = await ask('DEL');
  t.equal(deleted.code, 0, String(deleted.stdout));
  t.strictSame(pod.links(), {});
});

/** A cluster of its own on a stand-in, with pods that nothing runs in. */
async function clusterOn(t: Test) {
  const api = new ApiStandIn();
  await api.start();
  const client = api.client();
  t.teardown(() => {
    client.close();
    return api.stop();
  });
  const none = () => undefined;
  const cluster = new CachedCluster({
    ...{ client, node: 'node-1', pod: none, globalNamespaces: undefined, lost: none, watchFailed: none },
  });
  const pathOf = (name: string) => `/api/v1/namespaces/default/pods/${name}`;
  const pod = (name: string) => podOf(api.put(pathOf(name), { metadata: { name, namespace: 'default' } }));
  const statusOf = (name: string) => api.get(pathOf(name))?.metadata.annotations?.[STATUS_ANNOTATION];
  const busy: Fault = ({ method }, response) => {
    if (method !== 'PATCH') return undefined;
    response.writeHead(503).end('{}');
    return true;
  };
  return { api, cluster, pod, statusOf, busy };
}

t.test('what waits to be written is written before it stops; an older status in no case', async (t) => {
  const { api, cluster, pod, statusOf, busy } = await clusterOn(t);
  const [web, db] = [pod('web'), pod('db')];
  api.fault = busy;
  for (const each of [web, db]) await t.rejects(cluster.publish(each, () => [{ name: 'older' }]));
  api.fault = () => undefined;
  await cluster.publish(web, () => [{ name: 'newer' }]);
  await cluster.stop();
  t.match([statusOf('web'), statusOf('db')], [/newer/, /older/]);
});

t.test('an event that was reported is written before it stops', async (t) => {
  const { api, cluster, pod } = await clusterOn(t);
  cluster.event(pod('web'), 'AddedInterface', 'added');
  await cluster.stop();
  t.equal(api.count('POST', /\/events$/), 1);
});

t.test('a server that takes no status is asked for the first of those that wait only', async (t) => {
  const { api, cluster, pod, busy } = await clusterOn(t);
  api.fault = busy;
  for (const name of ['web', 'db']) await t.rejects(cluster.publish(pod(name), () => [{ name: 'blue' }]));
  await cluster.stop();
  const [, first, ...later] = api.asked.filter(({ method }) => method === 'PATCH').map(({ path }) => path);
  t.match(first, /\/db\/status$/);
  t.ok(later.length > 0 && later.every((path) => path.endsWith('/web/status')), later.join());
});

t.test('definitions are followed from the first one that is needed on, once', async (t) => {
  const { api, cluster, pod } = await clusterOn(t);
  pod('web');
  const path = '/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions';
  for (const name of ['blue', 'green']) api.put(`${path}/${name}`, { metadata: { name, namespace: 'default' } });
  t.equal(api.asked.length, 0);
  await Promise.all(['default/blue', 'default/green'].map((network) => cluster.definition(network)));
  await until(() => api.watching > 0);
  await cluster.stop();
  const lists = api.asked.filter((asked) => asked.path.endsWith('definitions') && !asked.query.has('watch'));
  t.equal(lists.length, 1);
});
