import t from 'tap';
import { rollout } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import type { ClusterNode, Service } from '../../scripts/cluster/node.ts';
import { until } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { failuresOfOurs, whoForgot } from '../support/cluster/forgotten.ts';
import {
  comeAndGoDespite,
  createPods,
  deletePods,
  NETWORKS,
  untilPodsAreReady,
  untilRoutesAreThere,
  warnings,
} from '../support/cluster/many-pods.ts';
import { killAgent, PLUGINS, stateOf, untilOnlyIsLeft } from '../support/cluster/node-state.ts';
import { apply, get } from '../support/cluster/objects.ts';
import { observe } from '../support/faults/observe.ts';

// What goes wrong in a cluster while pods with two networks each, by Multus, and our three plugins, by the agent, come and go.

const tier = await clusterTier(t, { nodes: 1, multus: 'thick', waymark: 'agent' }, (cluster) => {
  apply(cluster, ...NETWORKS);
});

await tier('Multus is killed for memory while forty pods start: nothing of ours is left', async (t, cluster) => {
  const node = cluster.node('node-1');
  const before = stateOf(node);
  await observe(t, cluster, {
    name: 'Multus out of memory',
    made: 'its daemon gets a megabyte more than it has, and forty pods start',
    make: async () => {
      starve(node);
      createPods(cluster, 'memory', 40);
      await until('Multus is killed', () => restartsOfMultus(cluster) > 0, { pauseMilliseconds: 500 });
      t.comment('it was killed while pods started');
      let said = '';
      await until('an event speaks of it', async () => {
        const all = await warnings(cluster, 'memory');
        said = all.find((message) => /failed to send CNI request: .*(EOF|reset by peer)/.test(message)) ?? '';
        return said !== '';
      });
      return said;
    },
    shows: /container of its pod .* it may use/,
    mend: () => deletePods(cluster, 'memory'),
    alerts: [],
    // What it runs is killed too, and it deletes what it is still adding.
    perhaps: ['WaymarkErrors'],
    remedy: 'Multus does not run',
  });
  for (const left of await untilOnlyIsLeft(node, before, whoForgot(node))) t.comment(left);
  t.strictSame(failuresOfOurs(node), [], 'no request failed because of our plugins');
  await untilAgentHasForgotten(cluster);
  t.pass('an agent that starts forgets the journals of what Multus did not delete');
});

await tier('fifty pods come and go while the agent is rolled out', async (t, cluster) => {
  const act = async () => {
    cluster.kubectl(['-n', 'waymark', 'rollout', 'restart', 'daemonset/waymark']);
    await rollout(cluster, 'waymark', 'waymark');
  };
  const { come, go } = await comeAndGoDespite(t, cluster, 'rolled-out', { act, when: 'once' }, 'nobody');
  t.strictSame({ come, go }, { come: 1, go: 1 }, 'while they came and while they went');
});

await tier('fifty pods come and go while the agent is killed every four seconds', async (t, cluster) => {
  const act = () => killAgent(cluster.node('node-1'));
  let kills = 0;
  // More than once unless the machine is very fast.
  for (let round = 1; kills <= 2; round++) {
    const { come, go } = await comeAndGoDespite(t, cluster, `killed-${round}`, { act, when: { every: 4 } }, 'nobody');
    kills += come + go;
  }
  t.comment(`it was killed ${kills} times`);
  await rollout(cluster, 'waymark', 'waymark');
});

for (const service of ['kubelet', 'containerd'] as const) {
  await tier(`fifty pods come and go while ${service} is killed and started again`, async (t, cluster) => {
    const act = () => restart(cluster, service);
    const forgetful = service === 'kubelet' ? 'Multus' : 'containerd too';
    const { come, go } = await comeAndGoDespite(t, cluster, service, { act, when: { at: [10, 30] } }, forgetful);
    t.strictSame({ come, go }, { come: 2, go: 2 }, 'while they came and while they went');
    await cluster.untilReady();
    // containerd keeps the namespaces that it has forgotten. Only who knows that nothing else is there can say so.
    if (service === 'containerd') collectGarbage(cluster);
    await untilAgentHasForgotten(cluster);
    t.pass('no journal stays');
  });
}

async function restart(cluster: Cluster, service: Service): Promise<void> {
  const node = cluster.node('node-1');
  await node.stopService(service, 'KILL');
  node.startService(service);
  if (service === 'containerd') await node.untilContainerdAnswers();
}

await tier('the node loses power: the pods come back with their routes', async (t, cluster) => {
  const node = cluster.node('node-1');
  const before = stateOf(node);
  createPods(cluster, 'power', 10);
  await untilPodsAreReady(cluster, 'power');
  const journals = stateOf(node).journals.length;

  await node.cutPower();
  await node.boot();
  node.startService('containerd');
  await node.untilContainerdAnswers();
  node.startService('kubelet');
  await untilRoutesAreThere(cluster, 10);
  await cluster.untilReady();
  await untilPodsAreReady(cluster, 'power');
  await untilRoutesAreThere(cluster, 10);
  t.pass('each has every route');
  await until('the journals of the dead are gone', () => stateOf(node).journals.length === journals);
  await rollout(cluster, 'waymark', 'waymark');
  await rollout(cluster, 'kube-system', 'kube-multus-ds');
  await deletePods(cluster, 'power');
  for (const left of await untilOnlyIsLeft(node, before, whoForgot(node))) t.comment(left);
  t.strictSame(failuresOfOurs(node), [], 'no request failed because of our plugins');
});

// An agent that starts looks for journals whose namespace is gone.
async function untilAgentHasForgotten(cluster: Cluster): Promise<void> {
  const node = cluster.node('node-1');
  await killAgent(node);
  await until('the journals are gone', () => {
    const { journals } = stateOf(node);
    if (journals.length > 0) throw new Error(journals.join('\n'));
    return true;
  });
  await rollout(cluster, 'waymark', 'waymark');
}

// What a runtime asks for that knows of no attachment: https://www.cni.dev/docs/spec/#gc-clean-up-any-stale-resources
function collectGarbage(cluster: Cluster): void {
  for (const { metadata } of NETWORKS) {
    for (const type of PLUGINS) {
      const config = { cniVersion: '1.1.0', name: metadata.name, type, 'cni.dev/valid-attachments': [] };
      const env = { CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' };
      cluster.node('node-1').run([`/opt/cni/bin/${type}`], { env, input: JSON.stringify(config) });
    }
  }
}

function restartsOfMultus(cluster: Cluster): number {
  const pods = get(cluster, '-n=kube-system', 'pods', '-l=app=multus');
  const statuses = pods.flatMap(
    ({ status }) => (status as { containerStatuses?: { restartCount: number }[] }).containerStatuses,
  );
  return statuses.reduce((sum, status) => sum + (status?.restartCount ?? 0), 0);
}

// Multus gets hardly more memory than it has while there is nothing to do, until it is killed: too little on every machine.
function starve(node: ClusterNode): void {
  const script = `group=/sys/fs/cgroup/memory$(sed -n 's/.*:memory://p' "/proc/$(pgrep -f ^/usr/src/multus-cni/bin/multus-daemon)/cgroup")
    used=$(cat "$group/memory.usage_in_bytes")
    echo $((used + (1 << 20))) >"$group/memory.limit_in_bytes"`;
  node.run(['sh', '-c', script]);
}
