import t from 'tap';
import { rollout } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import type { Service } from '../../scripts/cluster/node.ts';
import { until } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { failuresOfOurs, whoForgot } from '../support/cluster/forgotten.ts';
import {
  comeAndGoDespite,
  createPods,
  deletePods,
  differentRoutes,
  EXPECTED,
  NETWORKS,
  untilPodsAreReady,
} from '../support/cluster/many-pods.ts';
import { PLUGINS, stateOf, untilOnlyIsLeft } from '../support/cluster/node-state.ts';
import { apply, get } from '../support/cluster/objects.ts';

// What goes wrong in a cluster while pods with two networks each, by Multus, and our three plugins, by the agent, come and go.

const tier = await clusterTier(t, { nodes: 1, multus: 'thick', waymark: 'agent' }, (cluster) => {
  apply(cluster, ...NETWORKS);
});

// First, with the limit of Multus' own manifest. The pods of the other tests come while it has enough.
await tier('Multus is killed for memory while forty pods start: nothing of ours is left', async (t, cluster) => {
  const node = cluster.node('node-1');
  const before = stateOf(node);
  createPods(cluster, 'memory', 40);
  await until('Multus is killed', 240, () => restartsOfMultus(cluster) > 0, 500);
  t.comment('it was killed while pods started');
  // First the pods: while Multus is rolled out, pods start without it.
  await deletePods(cluster, 'memory');
  await limitMultus(cluster, '1Gi');
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

await tier('fifty pods come and go while the agent is killed every two seconds', async (t, cluster) => {
  let kills = 0;
  const act = async () => {
    if (await killAgent(cluster)) kills++;
  };
  await comeAndGoDespite(t, cluster, 'killed', { act, when: { every: 2 } }, 'nobody');
  t.ok(kills > 2, `it was killed ${kills} times`);
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
  const allThere = [{ pods: 10, routes: EXPECTED }];
  await until('the pods have their routes', 300, () => {
    const now = differentRoutes(cluster);
    if (JSON.stringify(now) !== JSON.stringify(allThere)) throw new Error(JSON.stringify(now));
    return true;
  });
  await cluster.untilReady();
  await untilPodsAreReady(cluster, 'power');
  t.strictSame(differentRoutes(cluster), allThere, 'each has every route');
  t.equal(stateOf(node).journals.length, journals, 'the journals of the dead are gone');
  await rollout(cluster, 'waymark', 'waymark');
  await rollout(cluster, 'kube-system', 'kube-multus-ds');
  await deletePods(cluster, 'power');
  for (const left of await untilOnlyIsLeft(node, before, whoForgot(node))) t.comment(left);
  t.strictSame(failuresOfOurs(node), [], 'no request failed because of our plugins');
});

async function killAgent(cluster: Cluster): Promise<boolean> {
  const kill = ['pkill', '-KILL', '-f', '^/opt/waymark/bin/waymark agent'];
  return (await cluster.node('node-1').finish(kill)).status === 0;
}

// An agent that starts looks for journals whose namespace is gone.
async function untilAgentHasForgotten(cluster: Cluster): Promise<void> {
  const node = cluster.node('node-1');
  await killAgent(cluster);
  await until('the journals are gone', 60, () => {
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

async function limitMultus(cluster: Cluster, memory: string): Promise<void> {
  const name = ['daemonset/kube-multus-ds', '-c=kube-multus'];
  cluster.kubectl(['-n', 'kube-system', 'set', 'resources', ...name, `--limits=memory=${memory},cpu=1`]);
  await rollout(cluster, 'kube-system', 'kube-multus-ds', 300);
}
