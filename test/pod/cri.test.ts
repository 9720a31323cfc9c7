import { join } from 'node:path';
import t from 'tap';
import { RuntimeService } from '../../lib/cri/runtime-service.ts';
import { podTier } from '../support/containerd/pod-tier.ts';
import { BRIDGE } from '../support/plugins/chain.ts';

const inNode = await podTier(t);

await inNode('containerd’s sandboxes are found by their pod, with their namespaces', async (t, node) => {
  await node.writeLists({ cniVersion: '1.0.0', name: 'pods', plugins: [BRIDGE] });
  const service = new RuntimeService(join(node.machine.folder, 'run/containerd/containerd.sock'));
  t.teardown(() => service.close());
  const pod = await node.runPod('web');
  const other = await node.runPod('other');
  const about = { name: 'web', namespace: 'default', uid: 'uid-of-web' };

  t.strictSame(await service.sandboxes('uid-of-web'), [{ id: pod.id, ...about, attempt: 0, isReady: true }]);
  t.equal(await service.networkNamespace(pod.id), pod.netns);
  t.ok((await service.sandboxes()).some(({ id }) => id === other.id));

  await node.cri.stopPod(pod.id);
  const again = await node.runPod('web', 1);
  const bothAttempts = (await service.sandboxes('uid-of-web')).sort((a, b) => a.attempt - b.attempt);
  t.strictSame(
    bothAttempts.map(({ id, attempt, isReady }) => ({ id, attempt, isReady })),
    [
      { id: pod.id, attempt: 0, isReady: false },
      { id: again.id, attempt: 1, isReady: true },
    ],
  );

  await node.restart('SIGTERM');
  t.equal(await service.networkNamespace(again.id), again.netns, 'also after containerd was restarted');
  for (const id of [pod.id, again.id, other.id]) await node.deletePod(id);
  t.equal(await service.networkNamespace(again.id), undefined);
  t.strictSame(await service.sandboxes('uid-of-web'), []);
});
