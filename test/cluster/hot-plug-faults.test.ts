import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { installNetworkDefinition } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { until } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { bridge, has, leftovers, linksOf, requestsOf, running, seen, select } from '../support/cluster/hot-plug.ts';
import { killAgent } from '../support/cluster/node-state.ts';
import { apply, podOf, remove, untilReady } from '../support/cluster/objects.ts';
import { type Fault, observe, scrape } from '../support/faults/observe.ts';

// Networks of running pods without Multus, while things go wrong.

/** An agent takes some seconds to come back. */
const ROUNDS = 5;

const NETWORKS = ['blue', 'green', 'red'];

const onCluster = await clusterTier(t, { nodes: 1, waymark: 'dynamic' }, async (cluster) => {
  await installNetworkDefinition(cluster);
  for (const [index, name] of NETWORKS.entries()) apply(cluster, bridge(name, index));
});

const leases = (cluster: Cluster) => leftovers(cluster).filter((path) => path.includes('/cni/networks/')).length;

async function untilNothingIsLeft(cluster: Cluster): Promise<void> {
  await seen('nothing is left on the node', () => {
    const left = leftovers(cluster);
    if (left.length > 0) throw new Error(left.join('\n'));
  });
}

// What was attached to the sandbox before goes with it, and the next one gets what the annotation says.
await onCluster('a sandbox that dies', async (t, cluster) => {
  await running(cluster, 'web', '');
  select(cluster, 'web', 'blue,green');
  await has(cluster, 'web', 'blue@net1', 'green@net2');
  const node = cluster.node('node-1');
  const sandboxes = () => node.run(['sh', '-c', 'ls /var/lib/cni/waymark/attachments']).trim();
  const [first = ''] = sandboxes().split('.');
  node.run(['ctr', '-n', 'k8s.io', 'task', 'kill', '--signal', 'SIGKILL', first]);
  await seen('another sandbox', () => {
    if (sandboxes().includes(first)) throw new Error(sandboxes());
  });
  await untilReady(cluster, 'web');
  await has(cluster, 'web', 'blue@net1', 'green@net2');
  remove(cluster, podOf('web', ''));
  await untilNothingIsLeft(cluster);
  t.pass('nothing is left');
});

await onCluster(
  'an agent that is killed again and again under edits loses, doubles and leaks nothing',
  async (t, cluster) => {
    const pods = Array.from({ length: 8 }, (_, index) => `pod-${index}`);
    apply(cluster, ...pods.map((name) => podOf(name, '')));
    await untilReady(cluster, ...pods);
    const node = cluster.node('node-1');
    const wanted = new Map<string, string[]>();
    const isReady = () => node.end(['busybox', 'wget', '-q', '-O-', 'http://127.0.0.1:9476/readyz']).status === 0;
    // The order is random, the end is not.
    for (let round = 0; round < ROUNDS; round++) {
      await until('the agent is ready', isReady);
      for (const pod of pods) {
        const chosen = NETWORKS.filter(() => Math.random() < 0.6);
        const names = chosen.map((network, index) => `${network}@net${((index + round) % 3) + 1}`);
        wanted.set(pod, names);
        select(cluster, pod, names.join(','));
      }
      await killAgent(node);
    }
    for (const [pod, names] of wanted) await has(cluster, pod, ...names);
    const attached = [...wanted.values()].flat().length;
    await until('there are as many leases as attachments', () => leases(cluster) === attached);
    remove(cluster, ...pods.map((name) => podOf(name, '')));
    await untilNothingIsLeft(cluster);
    t.pass('nothing is left');
  },
);

/** Long enough for the pauses of agent and kubelet to grow. */
const AWAY_SECONDS = 60;

function apiServerGone(cluster: Cluster): Fault {
  const unanswered = () => {
    const entries = Object.entries(scrape(cluster.node('node-1')) ?? {});
    const counts = entries.filter(([name]) => /^waymark_api_requests_total\{.*code="0"/.test(name));
    return counts.reduce((sum, [, value]) => sum + Number(value), 0);
  };
  const seen = Promise.withResolvers<void>();
  let isBack: Promise<void> | undefined;
  return {
    name: 'API server gone',
    made: 'it is killed, and nobody starts it for a minute; the agent follows pods (`--node`)',
    make: async () => {
      const before = unanswered();
      isBack = cluster.withoutApiServer(() => Promise.all([setTimeout(AWAY_SECONDS * 1000), seen.promise]));
      await until('the agent has asked in vain', () => unanswered() > before + 5);
      return cluster.endKubectl(['describe', 'pod', 'web']).stderr.trim();
    },
    of: 'kubectl itself',
    shows: /API server has not answered since/,
    mend: async () => {
      seen.resolve();
      await isBack;
    },
    alerts: ['WaymarkApiServerUnreachable'],
    // The edit before may have come to the agent or not.
    perhaps: ['WaymarkHotPlugPending'],
    remedy: 'The API server does not answer',
  };
}

await onCluster('an API server that is away for a minute', async (t, cluster) => {
  await running(cluster, 'web', 'blue');
  await running(cluster, 'other', 'red');
  const { net1 } = await has(cluster, 'web', 'blue@net1');
  await has(cluster, 'other', 'red@net1');
  const requests = () => requestsOf(cluster, cluster.node('node-1').address);
  // Whether the agent still hears of this edit, or only when the server is back, is up to chance.
  select(cluster, 'web', 'blue@net1,green@net2');
  await observe(t, cluster, apiServerGone(cluster));
  const back = Date.now();
  const answered = requests().length;
  const links = await has(cluster, 'web', 'blue@net1', 'green@net2');
  t.strictSame(links.net1, net1, 'what was attached was not touched');
  select(cluster, 'other', 'red@net1,green@net2');
  await has(cluster, 'other', 'red@net1', 'green@net2');
  const later = requests().slice(answered);
  t.comment(`${Date.now() - back} ms after it was back; ${later.join(', ')}`);
  // Three for each edit and one list; more where the kubelet writes the pod at the same time. Without pauses it would be hundreds.
  t.ok(later.length <= 30, `${later.length} requests`);
  remove(cluster, podOf('web', ''), podOf('other', ''));
  await untilNothingIsLeft(cluster);
});

await onCluster('a node that loses power', async (_, cluster) => {
  await running(cluster, 'power', '');
  select(cluster, 'power', 'red,blue');
  await has(cluster, 'power', 'red@net1', 'blue@net2');
  const node = cluster.node('node-1');
  await node.cutPower();
  await node.boot();
  node.startService('containerd');
  await node.untilContainerdAnswers();
  node.startService('kubelet');
  await seen('the pod has its networks', () => {
    const names = Object.keys(linksOf(cluster, 'power')).sort().join();
    if (names !== 'eth0,lo,net1,net2') throw new Error(names);
  });
  await cluster.untilReady();
  await untilReady(cluster, 'power');
  await has(cluster, 'power', 'red@net1', 'blue@net2');
  await seen('the leases of before are gone', () => {
    if (leases(cluster) !== 2) throw new Error(String(leases(cluster)));
  });
  remove(cluster, podOf('power', ''));
  await untilNothingIsLeft(cluster);
});
