import t from 'tap';
import { installNetworkDefinition } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { WAIT_SECONDS } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { entriesOf, linksOf, seen, statusOf } from '../support/cluster/hot-plug.ts';
import { killAgent } from '../support/cluster/node-state.ts';
import {
  apply,
  get,
  inPod,
  type Manifest,
  networkOf,
  podOf,
  remove,
  untilAnswers,
  untilReady,
} from '../support/cluster/objects.ts';

// Waymark as the cluster's CNI entry, by manifests/overlays/multi-network, without Multus.

const onCluster = await clusterTier(t, { nodes: 1, waymark: 'multi-network', cpuLimits: true }, async (cluster) => {
  await installNetworkDefinition(cluster);
  for (const [index, name] of ['green', 'blue'].entries()) apply(cluster, macvlan(name, index));
});

const [GREEN, BLUE] = ['net9f27410725ab', 'net48d6215903df'];

/** A network as in kactus' example, where it is a VLAN, which this kernel may lack. */
function macvlan(name: string, index: number): Manifest {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: `192.168.${42 + index}.0/24` }]],
    routes: [{ dst: '0.0.0.0/0', gw: `192.168.${42 + index}.1` }],
  };
  const { routes: _, ...plain } = ipam;
  return networkOf(name, {
    cniVersion: '1.0.0',
    type: 'macvlan',
    master: 'eth1',
    mode: 'bridge',
    ipam: name === 'green' ? plain : ipam,
  });
}

/** A pod with kactus' annotation. */
function app(name: string, networks: readonly object[], more: { [key: string]: string } = {}): Manifest {
  const pod = podOf(name, '');
  return { ...pod, metadata: { ...pod.metadata, annotations: { networks: JSON.stringify(networks), ...more } } };
}

/** Files on the node that name a container. */
function left(cluster: Cluster): string[] {
  const folders = '/var/lib/cni/networks/green /var/lib/cni/networks/blue /var/lib/cni/multus /var/lib/cni/waymark';
  const script = `grep -rlE "[0-9a-f]{64}" ${folders} 2>/dev/null || true`;
  return cluster.node('node-1').run(['sh', '-c', script]).trim().split('\n').filter(Boolean);
}

async function goneFromNode(cluster: Cluster, ...pods: readonly Manifest[]): Promise<void> {
  remove(cluster, ...pods);
  await seen('nothing is left', () => {
    const files = left(cluster);
    if (files.length > 0) throw new Error(files.join('\n'));
  });
}

/** Waits until the status of each pod has its three networks. Where the API server was away, it is written later. */
async function untilStatusesAreWritten(cluster: Cluster, names: readonly string[]): Promise<void> {
  await seen('every status is written', () => {
    const written = get(cluster, 'pods').filter((pod) => entriesOf(pod).length === 3);
    const missing = names.filter((name) => !written.some(({ metadata }) => metadata.name === name));
    if (missing.length > 0) throw new Error(missing.join());
  });
}

await onCluster('kactus’ example: two apps on green and blue reach each other', async (t, cluster) => {
  const front = cluster.node('node-1').run(['cat', '/etc/cni/net.d/00-waymark.conflist']);
  t.match(JSON.parse(front), { plugins: [{ type: 'multi-network', clusterNetwork: /^\/etc\/cni\/net\.d\// }] });
  const apps = ['app1', 'app2'].map((name) => app(name, [{ name: 'green' }, { name: 'blue' }]));
  apply(cluster, ...apps);
  await untilReady(cluster, 'app1', 'app2');
  await untilStatusesAreWritten(cluster, ['app1', 'app2']);
  for (const name of ['app1', 'app2']) {
    t.strictSame(Object.keys(linksOf(cluster, name)).sort(), [BLUE, GREEN, 'eth0', 'lo'].sort());
    t.match(statusOf(cluster, name), [
      { interface: 'eth0', default: true },
      { name: 'default/green', interface: GREEN },
      { name: 'default/blue', interface: BLUE },
    ]);
  }
  for (const network of [GREEN, BLUE]) {
    const [address = ''] = linksOf(cluster, 'app2')[network]?.ips ?? [];
    await untilAnswers(cluster, 'app1', address, '-I', network);
  }
  await goneFromNode(cluster, ...apps);
});

await onCluster(
  'isPrimary takes eth0, with its own default route; ifMac is the hardware address',
  async (t, cluster) => {
    const pod = app('primary', [
      { name: 'blue', isPrimary: true, ifMac: '02:00:00:00:00:55' },
      { name: 'green', ifMac: '02:00:00:00:00:56' },
    ]);
    apply(cluster, pod);
    await untilReady(cluster, 'primary');
    const links = linksOf(cluster, 'primary');
    t.equal(links.eth0?.mac, '02:00:00:00:00:55');
    t.match(links.eth0?.ips, [/^192\.168\.43\./]);
    t.equal(links[GREEN]?.mac, '02:00:00:00:00:56');
    t.match(inPod(cluster, 'primary', 'ip', 'route'), 'default via 192.168.43.1 dev eth0');
    await goneFromNode(cluster, pod);
  },
);

await onCluster('a running pod follows kactus’ annotation', async (t, cluster) => {
  const pod = app('edited', [{ name: 'green' }]);
  apply(cluster, pod);
  await untilReady(cluster, 'edited');
  const edit = (networks: object[]) =>
    cluster.kubectl(['annotate', '--overwrite', 'pod', 'edited', `networks=${JSON.stringify(networks)}`]);
  edit([{ name: 'green' }, { name: 'blue' }]);
  const both = await seen('blue is there', () => {
    const links = linksOf(cluster, 'edited');
    if (!links[BLUE]?.ips.length) throw new Error(Object.keys(links).join());
    return links;
  });
  t.ok(both[GREEN]);
  edit([{ name: 'blue' }]);
  await seen('green is gone', () => {
    if (linksOf(cluster, 'edited')[GREEN]) throw new Error('green is there');
  });
  await goneFromNode(cluster, pod);
});

await onCluster('forty pods with two networks each start at once, and leave nothing', async (t, cluster) => {
  const names = Array.from({ length: 40 }, (_, index) => `many-${index}`);
  const pods = names.map((name) => podOf(name, 'green,blue'));
  const began = performance.now();
  apply(cluster, ...pods);
  await untilReady(cluster, ...names);
  t.comment(`forty pods are ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  await untilStatusesAreWritten(cluster, names);
  const restarts = cluster.kubectl([
    '-n',
    'waymark',
    'get',
    'pods',
    '-o',
    'jsonpath={.items[*].status.containerStatuses[*].restartCount}',
  ]);
  t.notMatch(restarts, /[1-9]/, 'no container of ours was killed');
  await goneFromNode(cluster, ...pods);
});

await onCluster('forty pods start and end while the API server is away and the agent is killed', async (t, cluster) => {
  const node = cluster.node('node-1');
  const names = Array.from({ length: 40 }, (_, index) => `fault-${index}`);
  const pods = names.map((name) => podOf(name, 'green,blue', { node: node.name }));
  /** Pods with both networks, by the kernel: the API server need not be there. */
  const complete = () => {
    const script = 'for name in $(ls /run/netns); do ip -n "$name" -br link show net2 2>/dev/null; done | wc -l';
    return Number(node.run(['sh', '-c', script]));
  };
  apply(cluster, ...pods);
  await seen('the first pods are there', () => {
    if (complete() === 0) throw new Error('none');
  });
  await cluster.withoutApiServer(async () => {
    const before = complete();
    await seen('pods start without an API server', () => {
      const now = complete();
      if (now < before + 3) throw new Error(`${now}, after ${before}`);
    });
    t.comment(`there were ${before} pods without an API server, then ${complete()}`);
  });
  await killAgent(node);
  await untilReady(cluster, ...names);
  await untilStatusesAreWritten(cluster, names);
  const ended = cluster.tryKubectl(['delete', 'pod', `--timeout=${WAIT_SECONDS}s`, ...names]);
  await killAgent(node);
  t.match(await ended, { status: 0 });
  await goneFromNode(cluster);
});
