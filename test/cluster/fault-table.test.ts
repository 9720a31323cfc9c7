import t from 'tap';
import { earlierVersion, noEarlierVersion } from '../support/build/earlier-version.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { stateOf, untilStateIs } from '../support/cluster/node-state.ts';
import { apply, networkOf, podOf, untilReady } from '../support/cluster/objects.ts';
import { greenList } from '../support/containerd/pod-network.ts';
import { agentHung, outOfDescriptors, secondAgent, socketRemoved } from '../support/faults/agent.ts';
import {
  clockJump,
  damagedJournal,
  drift,
  fullRun,
  multusDown,
  olderExecutable,
  oldKernel,
  readOnlyFolder,
  VICTIM,
} from '../support/faults/node.ts';
import { observe } from '../support/faults/observe.ts';
import { exhausted, missingDefinition, missingMap, silentGateway, wrongList } from '../support/faults/pods.ts';

// Most of the faults of docs/faults.md, one by one: what event, alerts and doctor say is what the page says. The others are
// in faults.test.ts, hot-plug-faults.test.ts and rights.test.ts.

const tier = await clusterTier(t, { nodes: 1, multus: 'thick', waymark: 'agent' });

await tier('each fault is seen as docs/faults.md says', async (t, cluster) => {
  const node = cluster.node('node-1');
  const before = stateOf(node);
  apply(cluster, networkOf('green', greenList()), podOf(VICTIM, 'green'));
  await untilReady(cluster, VICTIM);
  const older = !noEarlierVersion && earlierVersion(t).shim('static-route');
  if (noEarlierVersion) t.comment(`without an executable that is replaced by an older one: ${noEarlierVersion}`);
  for (const fault of [
    socketRemoved(cluster),
    secondAgent(cluster),
    ...(older ? [olderExecutable(cluster, older)] : []),
    readOnlyFolder(cluster),
    fullRun(cluster),
    wrongList(cluster),
    missingMap(cluster),
    missingDefinition(cluster),
    exhausted(cluster),
    silentGateway(cluster),
    multusDown(cluster),
    oldKernel(cluster),
    drift(cluster),
    clockJump(cluster),
    outOfDescriptors(cluster),
    agentHung(cluster),
    damagedJournal(cluster),
  ]) {
    const begun = Date.now();
    await observe(t, cluster, fault);
    t.comment(`${fault.name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  }
  await untilStateIs(node, before);
  t.pass('nothing is left of any of them');
});
