import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rollout } from '../../scripts/cluster/addons.ts';
import { type Ended, until } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { startDevicePlugin } from '../support/cluster/device-plugin.ts';
import {
  bridge,
  events,
  gone,
  has,
  leftovers,
  linksOf,
  requestsOf,
  running,
  seen,
  select,
  statusOf,
} from '../support/cluster/hot-plug.ts';
import { podRoutes } from '../support/cluster/node-state.ts';
import { apply, eventOf, networkOf, podOf, remove, untilAnswers, untilReady } from '../support/cluster/objects.ts';

// Networks of running pods, beside Multus thick. What the pod has is what `ip -j` prints in it.

const onCluster = await clusterTier(t, { nodes: 2, multus: 'thick', waymark: 'dynamic' }, (cluster) => {
  for (const [index, name] of ['blue', 'green', 'red'].entries()) apply(cluster, bridge(name, index));
});

await onCluster(
  'add, remove, replace; unnamed; the same network twice; a list in another order',
  async (t, cluster) => {
    await running(cluster, 'web', 'blue');
    const { net1 } = await has(cluster, 'web', 'blue@net1');
    select(cluster, 'web', 'blue,green');
    await has(cluster, 'web', 'blue@net1', 'green@net2');
    select(cluster, 'web', [
      { name: 'green', interface: 'net2' },
      { name: 'blue' },
      { name: 'blue' },
      { name: 'red', interface: 'pod0123456789a' },
    ]);
    const links = await has(cluster, 'web', 'green@net2', 'blue@net1', 'blue@net3', 'red@pod0123456789a');
    t.strictSame(links.net1, net1, 'what Multus attached at birth was not touched');
    const version = cluster.kubectl(['get', 'pod', 'web', '-o', 'jsonpath={.metadata.annotations}']);
    t.ok(version.includes('net1'));
    select(cluster, 'web', 'red@pod0123456789a,default/blue,blue,green@net2');
    await has(cluster, 'web', 'red@pod0123456789a', 'blue@net1', 'blue@net3', 'green@net2');
    t.strictSame(linksOf(cluster, 'web'), links);
    select(cluster, 'web', 'red');
    await has(cluster, 'web', 'red@pod0123456789a');
    select(cluster, 'web', '');
    await has(cluster, 'web');
    await eventOf(cluster, 'web', /^pod \[default\/web\]: added interface net2 to network: green$/);
    await eventOf(cluster, 'web', /^pod \[default\/web\]: removed interface net1 from network: blue$/);
    await gone(t, cluster, 'web');
  },
);

await onCluster('routes of what Multus attached follow the definition', async (t, cluster) => {
  const routed = (...destinations: string[]) => {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.77.9.0/24' }]] };
    const routes = destinations.map((dst) => ({ dst, gw: '10.77.9.1' }));
    const plugins = [
      { type: 'bridge', bridge: 'br-routed', isGateway: true, ipam },
      { type: 'static-route', routes },
    ];
    return networkOf('routed', { cniVersion: '1.0.0', name: 'routed', plugins });
  };
  const have = (...destinations: string[]) =>
    seen(`the pod has routes to ${destinations}`, () => {
      const found = Object.values(podRoutes(cluster.node('node-1'))).flat();
      const text = found.map(({ dst, gateway }) => `${dst} via ${gateway}`).sort();
      if (text.join() !== destinations.map((dst) => `${dst} via 10.77.9.1`).join()) throw new Error(text.join());
    });
  apply(cluster, routed('172.16.0.0/12'));
  await running(cluster, 'routed', 'routed');
  const before = await has(cluster, 'routed', 'routed@net1');
  await have('172.16.0.0/12');
  apply(cluster, routed('172.16.0.0/12', '198.18.0.0/15'));
  await have('172.16.0.0/12', '198.18.0.0/15');
  apply(cluster, routed('198.18.0.0/15'));
  await have('198.18.0.0/15');
  t.strictSame(linksOf(cluster, 'routed'), before, 'the interface was not touched');
  await eventOf(cluster, 'routed', /^pod \[default\/routed\]: updated routes of interface net1 of network: routed/);
  await gone(t, cluster, 'routed');
  const journals = cluster.node('node-1').run(['find', '/run/waymark/static-route', '-name', '*.json']);
  t.equal(journals, '', 'DEL of Multus took away what the update had added');
});

await onCluster(
  'a swap on the same name keeps the hardware address and frees the lease; packets pass',
  async (t, cluster) => {
    await running(cluster, 'swap', 'blue');
    await running(cluster, 'peer', 'green');
    const { net1 } = await has(cluster, 'swap', 'blue@net1');
    select(cluster, 'swap', 'green@net1');
    const swapped = await has(cluster, 'swap', 'green@net1');
    t.equal(swapped.net1?.mac, net1?.mac);
    t.strictSame(
      leftovers(cluster).filter((path) => path.includes('/networks/blue/')),
      [],
      'the lease is free',
    );
    const [address = ''] = statusOf(cluster, 'peer')[1]?.ips ?? [];
    await untilAnswers(cluster, 'swap', address, '-I', 'net1');
    select(cluster, 'swap', [{ name: 'green', interface: 'net1', mac: '02:00:00:00:00:77' }]);
    await seen('the other address', () => {
      if (linksOf(cluster, 'swap').net1?.mac !== '02:00:00:00:00:77') throw new Error('not yet');
    });
    await gone(t, cluster, 'swap', 'peer');
  },
);

await onCluster('names that are not free are refused, and nothing is touched', async (t, cluster) => {
  await running(cluster, 'names', 'blue');
  const before = await has(cluster, 'names', 'blue@net1');
  const wrong = ['eth0', 'sixteencharacter', 'twice', 'twice'].map((name) => ({ name: 'green', interface: name }));
  select(cluster, 'names', [{ name: 'blue' }, ...wrong]);
  const refused = await seen('three events', () => {
    const found = events(cluster, 'names', 'FailedAddingInterface');
    if (found.length < 3) throw new Error(found.join('\n'));
    return found;
  });
  t.match(
    refused.find((text) => text.includes('eth0')),
    /interface eth0 to network: green: the pod has an interface eth0/,
  );
  t.strictSame(linksOf(cluster, 'names'), before);
  await gone(t, cluster, 'names');
});

await onCluster('one that fails holds nothing up, and comes within a second of its definition', async (t, cluster) => {
  await running(cluster, 'late', '');
  select(cluster, 'late', 'absent,blue,green');
  await has(cluster, 'late', 'blue@net2', 'green@net3');
  apply(cluster, bridge('absent', 9));
  const begun = Date.now();
  await has(cluster, 'late', 'absent@net1', 'blue@net2', 'green@net3');
  t.comment(`${Date.now() - begun} ms, kubectl's own included`);
  remove(cluster, bridge('absent', 9));
  select(cluster, 'late', 'blue@net2');
  await has(cluster, 'late', 'blue@net2');
  await gone(t, cluster, 'late');
});

await onCluster(
  'detaches what Multus attached, after its cache and the definition are gone, by a new agent',
  async (t, cluster) => {
    await running(cluster, 'old', 'blue,green,red');
    await has(cluster, 'old', 'blue@net1', 'green@net2', 'red@net3');
    remove(cluster, bridge('blue', 0));
    cluster.node('node-1').run(['sh', '-c', 'rm /var/lib/cni/multus/results/green-*']);
    cluster.kubectl(['-n', 'waymark', 'rollout', 'restart', 'daemonset/waymark']);
    select(cluster, 'old', 'red@net3');
    await has(cluster, 'old', 'red@net3');
    apply(cluster, bridge('blue', 0));
    await rollout(cluster, 'waymark', 'waymark');
    await gone(t, cluster, 'old');
  },
);

await onCluster(
  'a pod that ends while the agent is down leaves nothing, nor does one on another node',
  async (t, cluster) => {
    await running(cluster, 'there', 'blue', 'node-2');
    await running(cluster, 'here', '');
    select(cluster, 'here', 'blue,green');
    select(cluster, 'there', 'blue,red');
    await has(cluster, 'here', 'blue@net1', 'green@net2');
    await has(cluster, 'there', 'blue@net1', 'red@net2');
    const patch = (selector: object) => {
      const spec = { template: { spec: { nodeSelector: { 'kubernetes.io/os': 'linux', ...selector } } } };
      cluster.kubectl(['-n', 'waymark', 'patch', 'daemonset', 'waymark', '--patch', JSON.stringify({ spec })]);
    };
    patch({ nowhere: 'true' });
    await seen('the agents are gone', () => {
      if (cluster.kubectl(['-n', 'waymark', 'get', 'pods', '-o', 'name']).trim() !== '') throw new Error('not yet');
    });
    remove(cluster, podOf('here', ''));
    t.not(leftovers(cluster).length, 0, 'nobody is there to free what was attached');
    patch({ nowhere: null });
    await seen('all is freed', () => {
      const left = leftovers(cluster);
      if (left.length > 0) throw new Error(left.join('\n'));
    });
    await has(cluster, 'there', 'blue@net1', 'red@net2');
    remove(cluster, podOf('there', ''));
    await rollout(cluster, 'waymark', 'waymark');
  },
);

await onCluster(
  'edits cost no more requests than the docs say, and one that changes nothing costs none',
  async (t, cluster) => {
    await running(cluster, 'cost', 'blue');
    await running(cluster, 'idle', 'blue');
    await has(cluster, 'cost', 'blue@net1');
    await has(cluster, 'idle', 'blue@net1');
    // Multus' own events of the pod's start have the same reason.
    const attached = () => events(cluster, 'cost', 'AddedInterface').filter((text) => text.startsWith('pod [')).length;
    const node = cluster.node('node-1');
    const from = requestsOf(cluster, node.address).length;
    const perEdit = (network: string) => [
      'create events  201',
      `get network-attachment-definitions ${network} 200`,
      'patch pods/status cost 200',
    ];
    select(cluster, 'cost', [
      { name: 'green', interface: 'net2' },
      { interface: 'net1', namespace: 'default', name: 'blue' },
    ]);
    await has(cluster, 'cost', 'green@net2', 'blue@net1');
    await until('the event', () => attached() === 1);
    const requests = () => requestsOf(cluster, node.address).slice(from).sort();
    // The server answers, and then writes it into its log.
    await until('the requests', () => requests().length >= perEdit('green').length);
    t.strictSame(requests(), perEdit('green'));
    // Written in another form. The agent looks at a pod's edits one after another, so the last one shows that it is done.
    select(cluster, 'cost', 'green@net2, default/blue');
    select(cluster, 'cost', 'green@net2,blue@net1,red@net3');
    await has(cluster, 'cost', 'green@net2', 'blue@net1', 'red@net3');
    await until('the event', () => attached() === 2);
    const expected = [...perEdit('green'), ...perEdit('red')].sort();
    await until('the requests', () => requests().length >= expected.length);
    t.strictSame(requests(), expected);
    await gone(t, cluster, 'cost', 'idle');
  },
);

await onCluster('each attachment gets a device that the kubelet has given the pod', async (t, cluster) => {
  const node = cluster.node('node-1');
  const stop = await startDevicePlugin(node, 'example.org/vf', ['0000:03:02.0', '0000:03:02.1']);
  try {
    // A plugin of the node's that keeps what it was given.
    const script = '#!/bin/sh\ntee "/var/lib/cni/vf-$CNI_COMMAND-$CNI_IFNAME" | exec /opt/cni/bin/bridge\n';
    writeFileSync(join(node.disk, 'opt/cni/bin/vf'), script, { mode: 0o755 });
    const definition = bridge('blue', 0);
    const spec = { config: String((definition.spec as { config: string }).config).replace('"bridge"', '"vf"') };
    const annotations = { 'k8s.v1.cni.cncf.io/resourceName': 'example.org/vf' };
    apply(cluster, { ...definition, metadata: { name: 'vf', annotations }, spec });
    await until('the resource', () =>
      cluster
        .kubectl(['get', 'node', 'node-1', '-o', 'jsonpath={.status.allocatable}'])
        .includes('"example.org/vf":"2"'),
    );
    const limits = { resources: { limits: { 'example.org/vf': '2' } } };
    const pod = podOf('devices', '');
    const [container] = (pod.spec as { containers: object[] }).containers;
    apply(cluster, podOf('devices', '', { node: 'node-1', spec: { containers: [{ ...container, ...limits }] } }));
    await untilReady(cluster, 'devices');
    select(cluster, 'devices', 'vf@net1,vf@net2');
    await has(cluster, 'devices', 'vf@net1', 'vf@net2');
    const given = (call: string) =>
      (JSON.parse(node.run(['cat', `/var/lib/cni/vf-${call}`])) as { deviceID: string }).deviceID;
    t.strictSame([given('ADD-net1'), given('ADD-net2')].sort(), ['0000:03:02.0', '0000:03:02.1']);
    select(cluster, 'devices', 'vf@net1,vf@net2,vf@net3');
    await eventOf(cluster, 'devices', /all 2 devices of example.org\/vf that the pod has: in use/);
    select(cluster, 'devices', 'vf@net1');
    await has(cluster, 'devices', 'vf@net1');
    t.equal(given('DEL-net2'), given('ADD-net2'), 'DEL gets the same device');
    await gone(t, cluster, 'devices');
  } finally {
    stop();
  }
});

await onCluster('the agent may do nothing more in the API than it needs', async (t, cluster) => {
  const can = (...what: string[]): Promise<Ended> =>
    cluster.tryKubectl(['auth', 'can-i', ...what, '--as=system:serviceaccount:waymark:waymark', '-A']);
  const answer = async (...what: string[]) => (await can(...what)).stdout.trim();
  t.equal(await answer('watch', 'pods'), 'yes');
  t.equal(await answer('patch', 'pods', '--subresource=status'), 'yes');
  for (const what of [
    ['get', 'secrets'],
    ['patch', 'pods'],
    ['delete', 'pods'],
    ['get', 'configmaps'],
    ['list', 'nodes'],
  ]) {
    t.equal(await answer(...what), 'no', what.join(' '));
  }
});
