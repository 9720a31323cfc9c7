import t from 'tap';
import { ANY_SET, PLUGIN_SETS } from '../support/plugin-set.ts';
import { GREEN_NAME, greenList, traces } from '../support/pod-network.ts';
import { podTier } from '../support/pod-tier.ts';
import { fiftyPods } from '../support/pods.ts';

// Pods of a real containerd.

const tier = await podTier(t);

for (const set of PLUGIN_SETS) {
  await tier(`fifty pods, by the ${set.name}`, async (t, node) => {
    await set.install(node);
    await set.start?.(node);
    t.teardown(() => set.stop?.(node));
    await fiftyPods(t, node, `fifty pods, ten at a time, by the ${set.name}`);
  });
}

await tier('a pod that keeps its first name, with the consistent one beside it', async (t, node) => {
  await ANY_SET.install(node);
  const before = await traces(node);
  await node.writeLists(greenList({ mode: 'altname' }, ['consistent-ifname']));
  const pod = await node.runPod('altname');
  t.match(pod.ipJson('link show dev eth0'), [{ ifname: 'eth0', altnames: [GREEN_NAME] }], 'has both');
  t.equal(pod.ipJson(`-4 route show proto 87 dev ${GREEN_NAME}`).length, 2, 'and routes by that name');
  await node.deletePod(pod.id);
  t.strictSame(await traces(node), before, 'which leave nothing');
});
