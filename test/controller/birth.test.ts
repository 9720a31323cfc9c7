import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { FakePod, HotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { run } from '../support/namespaces/namespace.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// What others attached when the pod was born: here by the reference plugins, with a result cache in libcni's format, as
// Multus leaves it.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

/** Attaches a network as Multus does at a pod's birth; its entry of the status. */
function attach(node: HotPlugNode, pod: FakePod, name: string, ifname: string, capabilityArgs: object = {}): object {
  const subnet = name === 'blue' ? '10.99.1.0/24' : '10.99.2.0/24';
  const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet }]] };
  const config = { cniVersion: '1.0.0', name, type: 'bridge', bridge: `br-${name}`, ipam };
  node.define(name, config);
  const variables = [
    'CNI_COMMAND=ADD',
    `CNI_CONTAINERID=${pod.containerID}`,
    `CNI_NETNS=${pod.scratch.path}`,
    `CNI_IFNAME=${ifname}`,
    `CNI_PATH=${REFERENCE_FOLDER}`,
  ];
  const plugin = join(REFERENCE_FOLDER, 'bridge');
  const output = run('ip', ['netns', 'exec', node.node.name, 'env', ...variables, plugin], JSON.stringify(config));
  const result = JSON.parse(output);
  const cache = {
    kind: 'cniCacheV1',
    containerId: pod.containerID,
    config: Buffer.from(JSON.stringify(config)).toString('base64'),
    ifName: ifname,
    networkName: name,
    netns: pod.scratch.path,
    cniArgs: [
      ['IgnoreUnknown', 'true'],
      ['K8S_POD_NAME', pod.name],
    ],
    capabilityArgs,
    result,
  };
  mkdirSync(join(node.folder, 'multus'), { recursive: true });
  writeFileSync(join(node.folder, 'multus', `${name}-${pod.containerID}-${ifname}`), JSON.stringify(cache));
  const { mac } = result.interfaces.find((item: { sandbox?: string }) => item.sandbox);
  const ips = result.ips.map(({ address }: { address: string }) => address.split('/')[0]);
  return { name: `default/${name}`, interface: ifname, ips, mac, dns: {} };
}

const DEFAULT = { name: 'cluster', interface: 'eth0', ips: ['10.250.0.7'], default: true, dns: {} };
const STATUS = 'k8s.v1.cni.cncf.io/network-status';

function setStatus(node: HotPlugNode, pod: FakePod, entries: object[], networks: string): void {
  const object = node.api.get(pod.path);
  const annotations = { [STATUS]: JSON.stringify(entries), 'k8s.v1.cni.cncf.io/networks': networks };
  node.api.put(pod.path, { ...object, metadata: { ...object?.metadata, annotations } });
}

onNode('a pod that others set up is not touched when the agent starts', async (t) => {
  const node = await hotPlugNode(t);
  await node.controller.stop();
  const pod = node.pod('web');
  const entries = [DEFAULT, attach(node, pod, 'blue', 'net1'), attach(node, pod, 'green', 'net2')];
  setStatus(node, pod, entries, 'blue,green');
  const [before, calls] = [JSON.stringify(pod.links()), node.cri.calls];
  await node.restart();
  await until(() => node.cri.calls >= calls + 2);
  await node.controller.stop();
  t.equal(JSON.stringify(pod.links()), before);
  t.strictSame(pod.status(), entries);
  t.strictSame(
    node.api.asked.filter(({ method }) => method !== 'GET').map(({ path }) => path),
    [],
    'nothing is written',
  );
});

onNode('what others attached is detached by their cache, after the definition is gone', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web');
  const entry = attach(node, pod, 'blue', 'net1');
  node.api.delete('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/blue');
  setStatus(node, pod, [DEFAULT, entry], 'blue');
  setStatus(node, pod, [DEFAULT, entry], '');
  await pod.has();
  t.strictSame(node.leftovers(), [], 'its lease is gone too');
});

onNode('what others attached is detached by the definition, after their cache is gone', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web');
  const entry = attach(node, pod, 'blue', 'net1');
  run('rm', ['-r', join(node.folder, 'multus')]);
  setStatus(node, pod, [DEFAULT, entry], '');
  await pod.has();
  t.strictSame(node.leftovers(), []);
});

onNode('what cannot be detached stays in the status, and is tried again', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web');
  const entry = attach(node, pod, 'blue', 'net1');
  const cache = join(node.folder, 'multus', `blue-${pod.containerID}-net1`);
  const good = readFileSync(cache, 'utf8');
  writeFileSync(cache, good.replace('IgnoreUnknown', 'Riddle'));
  setStatus(node, pod, [DEFAULT, entry], '');
  await until(() => node.events('FailedRemovingInterface').length > 0);
  await until(() => node.controller.status().pending.length === 1);
  t.match(node.events('FailedRemovingInterface')[0], /failed removing interface net1 from network: blue: .*Riddle/);
  t.match(pod.status(), [DEFAULT, { name: 'default/blue', interface: 'net1' }]);
  t.ok('net1' in pod.links());
});

onNode('what others attached is swapped if more is asked for than they were', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web');
  const entry = attach(node, pod, 'blue', 'net1', { mac: '02:00:00:00:00:01' });
  const { mac } = pod.links().net1 ?? {};
  setStatus(node, pod, [DEFAULT, entry], JSON.stringify([{ name: 'blue', mac: '02:00:00:00:00:02' }]));
  await until(() => pod.links().net1?.mac === '02:00:00:00:00:02');
  t.not(pod.links().net1?.mac, mac);
  await until(() => pod.status()[1]?.mac === '02:00:00:00:00:02');
  t.equal(node.leftovers().filter((file) => file.startsWith('leases/')).length, 1);
});

onNode('entries of others, and claims about eth0, are not ours to act on', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  const others = [
    { name: 'cluster-wide', interface: 'net7', dns: {} },
    { name: 'default/blue', interface: 'eth0', dns: {} },
  ];
  pod.scratch.ip('link add net7 type veth peer name net7-peer');
  setStatus(node, pod, [DEFAULT, ...others], '');
  const calls = node.cri.calls;
  setStatus(node, pod, [DEFAULT, ...others], 'blue');
  await until(() => 'net1' in pod.links());
  await until(() => pod.status().length >= 4);
  t.ok('net7' in pod.links() && 'eth0' in pod.links());
  t.ok(pod.status().some(({ name }) => name === 'cluster-wide'));
  t.strictSame(node.events('RemovedInterface'), []);
  t.ok(node.cri.calls > calls);
});

onNode('what others attached is detached under the rules of an attachment: types and namespaces', async (t) => {
  for (const hasCache of [true, false]) {
    const node = await hotPlugNode(t, { allowedTypes: new Set(['macvlan']), globalNamespaces: new Set() });
    const pod = node.pod('web');
    pod.scratch.ip('link add net2 type veth peer name net2-peer');
    const entry = attach(node, pod, 'blue', 'net1');
    if (!hasCache) run('rm', ['-r', join(node.folder, 'multus')]);
    node.define('green', { cniVersion: '1.0.0', type: 'macvlan' }, 'other');
    setStatus(node, pod, [DEFAULT, entry, { name: 'other/green', interface: 'net2', dns: {} }], '');
    await until(() => node.events('FailedRemovingInterface').length === 2);
    t.match(node.events('FailedRemovingInterface').sort(), [
      /net1 from network: blue: plugin "bridge" is not among those of --allow-types/,
      /net2 from network: green: namespace isolation: a pod in default may not use definitions in other/,
    ]);
    t.ok('net1' in pod.links() && 'net2' in pod.links(), 'nothing is detached');
    await node.controller.stop();
  }
});

onNode('the default network’s entry comes back as it was, also if it was lost while the agent was down', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  const entry = { ...DEFAULT, name: 'cluster-net', dns: { nameservers: ['10.96.0.10'] }, gateway: ['10.250.0.1'] };
  setStatus(node, pod, [entry], 'blue');
  await pod.has('net1');
  await node.controller.stop();
  setStatus(node, pod, [], 'blue');
  await node.restart();
  await pod.has('net1');
  t.strictSame(pod.status()[0], entry);
});
