import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// The stand-ins are those of controller.test.ts.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

/** Succeeds with ADD, and fails with DEL. */
const STICKY = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || { echo '{"code":999,"msg":"out of order"}'; exit 1; }
echo '{"cniVersion":"1.0.0"}'
`;

onNode('says what a pod has, what would be done and why not, and changes nothing', async (t) => {
  const node = await hotPlugNode(t, { globalNamespaces: new Set() });
  node.define('blue');
  node.define('foreign', undefined, 'other');
  node.define('absent', { cniVersion: '1.0.0', plugins: [{ type: 'bridge' }, { type: 'no-such-plugin' }] });
  mkdirSync(join(node.folder, 'bin'));
  writeFileSync(join(node.folder, 'bin/sticky'), STICKY, { mode: 0o755 });
  node.define('sticky', { cniVersion: '1.0.0', plugins: [{ type: 'sticky' }, { type: 'tuning' }] });
  const pod = node.pod('web', 'blue@net1,sticky@s');
  await until(() => node.events('AddedInterface').length === 2);
  pod.select([
    { name: 'blue', interface: 'net1' },
    { name: 'missing', interface: 'c' },
    { name: 'absent', interface: 'd' },
    { name: 'foreign', namespace: 'other', interface: 'e' },
    { name: 'blue', interface: 'eth0' },
  ]);
  await until(() => node.controller.status().pending.length === 3);
  // Nothing else happens from here on.
  await node.controller.stop();
  const written = () => node.api.asked.filter(({ method }) => method !== 'GET').length;
  const [before, writes, left] = [JSON.stringify(pod.links()), written(), node.leftovers()];
  t.match(await node.controller.explain('default/web'), {
    pod: 'default/web',
    containerID: pod.containerID,
    netns: pod.scratch.path,
    attached: [
      { interface: 'net1', network: 'default/blue', by: 'agent', state: 'attached' },
      { interface: 's', network: 'default/sticky', by: 'agent', state: 'unfinished' },
    ],
    steps: [
      {
        kind: 'detach',
        interface: 's',
        network: 'default/sticky',
        why: 'not selected',
        plugins: ['tuning', 'sticky'],
        failed: { reason: /out of order/ },
      },
      { kind: 'attach', interface: 'c', problem: /not found/, failed: { reason: /not found/ } },
      { kind: 'attach', interface: 'd', network: 'default/absent', problem: /no plugin "no-such-plugin"/ },
    ],
    refused: [
      { interface: 'e', network: 'other/foreign', reason: /namespace isolation/ },
      { interface: 'eth0', network: 'default/blue', reason: /of somebody else/ },
    ],
  });
  t.equal(JSON.stringify(pod.links()), before);
  t.equal(written(), writes);
  t.strictSame(node.leftovers(), left);
  rmSync(join(node.folder, 'bin/sticky'));
  const [detach] = (await node.controller.explain('default/web')).steps;
  t.match(detach, { kind: 'detach', problem: /no plugin "sticky"/ });
});

onNode('names the plugins of an ADD that has not come to its turn', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web', 'late@net1');
  await until(() => node.controller.status().pending.length === 1);
  await node.controller.stop();
  node.define('late');
  const { steps } = await node.controller.explain('default/web');
  t.match(steps, [{ kind: 'attach', interface: 'net1', plugins: ['bridge'] }]);
  t.notOk(steps[0]?.problem);
  t.strictSame(Object.keys(pod.links()), ['eth0']);
});

onNode('says why nothing is done to a pod', async (t) => {
  const node = await hotPlugNode(t);
  const pod = node.pod('web', '');
  const why = async (name = 'default/web') => (await node.controller.explain(name)).idle;
  await until(async () => (await why()) === undefined);
  t.equal(await why('default/other'), 'node node-1 has no such pod');
  const object = node.api.get(pod.path) ?? t.fail();
  const put = (changes: object) => node.api.put(pod.path, { ...(object as object), ...changes });
  put({ spec: { nodeName: 'node-1', hostNetwork: true } });
  await until(async () => (await why()) === 'it is on the host’s network');
  put({ status: { phase: 'Pending' } });
  await until(async () => (await why()) === 'it does not run yet, or ends');
  put({ status: { phase: 'Running' } });
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  await until(async () => (await why()) === 'the container runtime has no sandbox for it');
});
