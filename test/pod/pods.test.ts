import t from 'tap';
import { ANY_SET, PLUGIN_SETS, putInPlace } from '../support/containerd/plugin-set.ts';
import { GREEN_NAME, greenList, traces } from '../support/containerd/pod-network.ts';
import { podTier } from '../support/containerd/pod-tier.ts';
import { agentServed, comeAndGo } from '../support/containerd/pods.ts';

// Pods on a real containerd.

const tier = await podTier(t);

for (const set of PLUGIN_SETS) {
  await tier(`fifty pods with the ${set.name}`, async (t, node) => {
    await putInPlace(t, set, node);
    await comeAndGo(t, node, 50, `the ${set.name}`);
    if (set.agent) agentServed(t, node, 50);
  });
}

await tier('a pod whose interface keeps its first name and gets the consistent one as an altname', async (t, node) => {
  await ANY_SET.install(node);
  const before = await traces(node);
  await node.writeLists(greenList({ mode: 'altname' }, ['consistent-ifname']));
  const pod = await node.runPod('altname');
  t.match(pod.ipJson('link show dev eth0'), [{ ifname: 'eth0', altnames: [GREEN_NAME] }], 'has both');
  t.equal(pod.ipJson(`-4 route show proto 87 dev ${GREEN_NAME}`).length, 2, 'and routes through that name');
  await node.deletePod(pod.id);
  t.strictSame(await traces(node), before, 'and leaves nothing behind');
});
