import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DirectCluster } from '../../plugins/multi-network/cluster.ts';
import { multiNetworkWith } from '../../plugins/multi-network/main.ts';
import { installed } from '../support/build/single.ts';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { call, variables } from '../support/plugins/call.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Pods that multi-network gave their networks when they started, and whose annotation is edited then.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

/** Runs a verb of multi-network for a pod, whose eth0 somebody else has made. */
async function multiNetwork(node: HotPlugNode, pod: FakePod, verb: string, ...folders: string[]): Promise<number> {
  const client = node.api.client();
  const plugin = multiNetworkWith({
    cluster: async () => new DirectCluster(client, { lost: () => undefined }),
    through: ['/usr/bin/env', 'ip', 'netns', 'exec', node.node.name],
  });
  const env = variables(verb, pod.scratch.path, {
    CNI_CONTAINERID: pod.containerID,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.name}`,
    CNI_PATH: [REFERENCE_FOLDER, ...folders].join(':'),
  });
  const { code, stdout } = await call(plugin, env, {
    cniVersion: '1.0.0',
    name: 'waymark',
    type: 'multi-network',
    interface: 'eth0',
    binDir: [REFERENCE_FOLDER, ...folders].join(':'),
    cniDir: join(node.folder, 'cni'),
    dataDir: join(node.folder, 'data'),
  });
  client.close();
  if (code !== 0) throw new Error(stdout);
  return code;
}

function ipamOf(node: HotPlugNode, index: number): object {
  return { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet: `10.78.${index}.0/24` }]] };
}

function define(node: HotPlugNode, name: string, index: number, more: object = {}): void {
  const ipam = ipamOf(node, index);
  node.define(name, { cniVersion: '1.0.0', type: 'bridge', bridge: `br-${name}`, ipam, ...more });
}

/** A pod that was started with these networks; the controller runs. */
async function started(t: Test, networks: unknown): Promise<{ node: HotPlugNode; pod: FakePod }> {
  const node = await hotPlugNode(t);
  await node.controller.stop();
  define(node, 'blue', 1);
  define(node, 'green', 2, { isGateway: true, isDefaultGateway: true });
  const pod = node.pod('web', networks);
  await multiNetwork(node, pod, 'ADD');
  await node.restart();
  return { node, pod };
}

onNode('what is detached leaves the record: CHECK holds, and DEL deletes the rest only', async (t) => {
  const { node, pod } = await started(t, 'blue,green');
  await pod.has('net1', 'net2');
  pod.select('green');
  await pod.has('net2');
  const record = join(node.folder, 'cni', pod.containerID);
  t.notMatch(readFileSync(record, 'utf8'), 'default/blue');
  t.notOk(existsSync(join(node.folder, `cni/results/blue-${pod.containerID}-net1`)));
  t.equal(await multiNetwork(node, pod, 'CHECK'), 0);
  // The name is somebody else's by now.
  pod.select('green,blue@net1');
  await pod.has('net2', 'net1');
  t.equal(await multiNetwork(node, pod, 'DEL'), 0);
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'net1'], 'what hot-plug made is its own to delete');
  t.notOk(existsSync(record));
});

onNode(
  'a default route that was chosen at the start: a network that comes later yields; gone with its network',
  async (t) => {
    const { node, pod } = await started(t, [{ name: 'blue', 'default-route': ['10.78.1.1'] }]);
    const defaults = () => pod.scratch.ipJson('-4 route show default').map(({ gateway, dev }) => `${gateway} ${dev}`);
    t.strictSame(defaults(), ['10.78.1.1 net1']);
    pod.select([{ name: 'blue', 'default-route': ['10.78.1.1'] }, { name: 'green' }]);
    await pod.has('net1', 'net2');
    t.strictSame(defaults(), ['10.78.1.1 net1']);
    pod.select('');
    await pod.has();
    t.strictSame(defaults(), []);
    t.equal(await multiNetwork(node, pod, 'DEL'), 0);
    t.strictSame(node.leftovers(), []);
  },
);

onNode('a default route that is not chosen any more goes, and the one before comes back', async (t) => {
  const { node, pod } = await started(t, [{ name: 'blue', 'default-route': ['10.78.1.1'] }]);
  const defaults = () => pod.scratch.ipJson('-4 route show default').map(({ gateway, dev }) => `${gateway} ${dev}`);
  const links = JSON.stringify(pod.links());
  pod.select([{ 'default-route': ['10.78.1.1'], name: 'blue' }]);
  await node.restart();
  t.equal(JSON.stringify(pod.links()), links, 'the same selection in another form changes nothing');
  pod.select('blue');
  await until(() => defaults().length === 0 && node.controller.status().busy === 0);
  await pod.has('net1');
  t.equal(await multiNetwork(node, pod, 'DEL'), 0);
});

onNode('routes of what a pod got at its start follow the definition, and CHECK and DEL know it', async (t) => {
  const node = await hotPlugNode(t);
  const folder = installed(t, join(node.folder, 'bin'));
  await node.controller.stop();
  const edit = (dst: string) =>
    node.define('blue', {
      cniVersion: '1.0.0',
      plugins: [
        { type: 'bridge', bridge: 'br-blue', ipam: ipamOf(node, 1) },
        { type: 'static-route', dataDir: join(node.folder, 'data'), routes: [{ dst, gw: '10.78.1.1' }] },
      ],
    });
  edit('10.1.0.0/16');
  const pod = node.pod('web', 'blue@net1');
  const ours = () => pod.scratch.ipJson('route show proto 87').map(({ dst }) => dst);
  await multiNetwork(node, pod, 'ADD', folder);
  t.strictSame(ours(), ['10.1.0.0/16']);
  const link = pod.links().net1?.mac;
  await node.restart();
  edit('10.2.0.0/16');
  await until(() => ours().join() === '10.2.0.0/16');
  pod.select([{ name: 'blue', interface: 'net1', 'cni-args': { routes: [{ dst: '10.3.0.0/16', gw: '10.78.1.1' }] } }]);
  await until(() => ours().join() === '10.3.0.0/16');
  t.equal(pod.links().net1?.mac, link);
  await node.controller.stop();
  await multiNetwork(node, pod, 'CHECK', folder);
  await multiNetwork(node, pod, 'DEL', folder);
  t.strictSame(ours(), []);
  t.strictSame(node.leftovers(), []);
});
