import t from 'tap';
import { installWaymark, multusFolder, multusManifest, overlayFolder, rollout } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { WAIT_SECONDS } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { bridge, has, type Links, linksOf, seen, select } from '../support/cluster/hot-plug.ts';
import { type NodeState, stateOf, untilListIsRead, untilOnlyIsLeft } from '../support/cluster/node-state.ts';
import { apply, podOf, remove, untilReady } from '../support/cluster/objects.ts';

// A cluster changes from Multus (thick) to Waymark and back, as docs/multi-network.md says, while pods run, are edited and are
// deleted. What a pod has is what `ip -j` prints in it.

let before: NodeState | undefined;
const onCluster = await clusterTier(t, { nodes: 1, multus: 'thick' }, (cluster) => {
  for (const [index, name] of ['blue', 'green', 'red'].entries()) apply(cluster, bridge(name, index));
  before = stateOf(cluster.node('node-1'));
});

/** The first network list of the node, which the runtime uses. */
function firstList(cluster: Cluster): string {
  return cluster.node('node-1').run(['sh', '-c', 'ls /etc/cni/net.d | grep conf | head -n 1']).trim();
}

async function start(cluster: Cluster, ...names: readonly string[]): Promise<void> {
  apply(cluster, ...names.map((name) => podOf(name, 'blue,green')));
  await untilReady(cluster, ...names);
  for (const name of names) await has(cluster, name, 'blue@net1', 'green@net2');
}

function stop(cluster: Cluster, ...names: readonly string[]): void {
  remove(cluster, ...names.map((name) => podOf(name, '')));
}

/** The leases of both networks: each pod that runs has one of each. */
function leases(cluster: Cluster, network: string): number {
  const files = stateOf(cluster.node('node-1')).leases;
  return files.filter((path) => path.includes(`/networks/${network}/`)).length;
}

const kept: { [pod: string]: Links } = {};

await onCluster('from Multus: pods keep running, follow their annotations, and are deleted', async (t, cluster) => {
  const old = ['old-1', 'old-2', 'old-3', 'old-4'];
  await start(cluster, ...old);
  for (const name of old) kept[name] = linksOf(cluster, name);

  await installWaymark(cluster, 'multi-network');
  t.equal(firstList(cluster), '00-multus.conf', 'Multus comes first');
  // Once its pod is gone too: a daemon that ends removes the list, also that of the next daemon.
  const multus = ['daemonset', 'kube-multus-ds', '--cascade=foreground', `--timeout=${WAIT_SECONDS}s`];
  cluster.kubectl(['-n', 'kube-system', 'delete', ...multus]);
  cluster.node('node-1').run(['rm', '-f', '/etc/cni/net.d/00-multus.conf']);
  t.equal(firstList(cluster), '00-waymark.conflist');
  await untilListIsRead(cluster.node('node-1'));
  for (const name of old) t.strictSame(linksOf(cluster, name), kept[name], `${name} is as it was`);

  await start(cluster, 'new-1', 'new-2', 'new-3');
  stop(cluster, 'old-1', 'new-3');
  await seen('what the two had is gone', () => {
    const found = [leases(cluster, 'blue'), leases(cluster, 'green')];
    if (found.join() !== '5,5') throw new Error(`leases: ${found.join()}`);
  });
  // An old one and a new one, each by a network less and one more.
  for (const name of ['old-2', 'new-1']) {
    select(cluster, name, 'green@net2,red');
    await has(cluster, name, 'green@net2', 'red@net1');
  }
  stop(cluster, 'old-2');
  select(cluster, 'new-1', 'green@net2');
  await has(cluster, 'new-1', 'green@net2');
  await seen('what they had is gone', () => {
    const found = ['blue', 'green', 'red'].map((name) => leases(cluster, name));
    if (found.join() !== '3,4,0') throw new Error(`leases: ${found.join()}`);
  });
  for (const name of ['old-3', 'old-4']) t.strictSame(linksOf(cluster, name), kept[name], `${name} is as it was`);
});

await onCluster('and back: nothing is lost, and nothing is left in the end', async (t, cluster) => {
  const own = cluster
    .node('node-1')
    .run(['sh', '-c', 'ls /etc/cni/net.d | grep -vE "waymark|multus" | head -n 1'])
    .trim();
  for (const name of ['new-1', 'new-2']) kept[name] = linksOf(cluster, name);
  const multus = multusFolder();
  if ('missing' in multus) throw new Error(multus.missing);
  const manifest = multusManifest(multus.folder, 'thick');
  // By its own search Multus would take our list for the cluster's network.
  const input = manifest.replace(
    '"multusConfigFile": "auto",',
    `"multusConfigFile": "auto", "multusMasterCNI": "${own}",`,
  );
  t.not(input, manifest);
  cluster.kubectl(['apply', '-f', '-'], { input });
  await rollout(cluster, 'kube-system', 'kube-multus-ds');
  await seen('Multus’ list is first', () => {
    if (firstList(cluster) !== '00-multus.conf') throw new Error(firstList(cluster));
  });
  await untilListIsRead(cluster.node('node-1'));
  cluster.kubectl(['apply', '-k', overlayFolder('uninstall-multi-network')]);
  await rollout(cluster, 'waymark', 'waymark');
  cluster.kubectl(['delete', '-k', overlayFolder('uninstall-multi-network'), `--timeout=${WAIT_SECONDS}s`]);
  const lists = cluster.node('node-1').run(['ls', '/etc/cni/net.d']);
  t.notMatch(lists, 'waymark');

  await start(cluster, 'later');
  for (const name of ['old-3', 'old-4', 'new-1', 'new-2']) t.strictSame(linksOf(cluster, name), kept[name], name);
  stop(cluster, 'old-3', 'old-4', 'new-1', 'new-2', 'later');
  // The runtime has a result for each pod by its list's name, which was another one when these pods ended; some go when the
  // kubelet clears up once a minute, if by then the list is again that of the pod's start.
  const ofRuntime = (left: string) =>
    /^new in results: \/var\/lib\/cni\/results\/(waymark|multus-cni-network)-[0-9a-f]{64}-eth0$/.test(left)
      ? 'containerd’s cache'
      : undefined;
  if (before !== undefined)
    for (const reason of await untilOnlyIsLeft(cluster.node('node-1'), before, ofRuntime)) t.comment(reason);
});
