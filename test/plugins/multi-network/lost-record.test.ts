import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { multiNetworkNode } from '../../support/kubernetes/multi-network-node.ts';
import { call } from '../../support/plugins/call.ts';
import { noReferencePlugins } from '../../support/plugins/chain.ts';

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';

t.test(
  'without its record, DEL takes the pod’s own network last, as with it',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await multiNetworkNode(t);
    // Before and after the first network by their names.
    for (const name of ['a-blue', 'z-green']) node.define(name);
    const pod = node.pod('web', { [NETWORKS]: 'a-blue,z-green' });
    await pod.add();
    rmSync(join(node.folder, 'cni', pod.containerID));
    // Every DEL fails where there are no plugins, and is reported in its turn.
    const binDir = join(node.folder, 'empty');
    mkdirSync(binDir);
    const { document } = await call(node.plugin, pod.env('DEL', { CNI_PATH: binDir }), node.config({ binDir }));
    const order = document?.details?.split('\n').map((line) => /a-blue|z-green|cluster/.exec(line)?.[0]) ?? [];
    t.strictSame([...order].sort(), ['a-blue', 'cluster', 'z-green']);
    t.equal(order.at(-1), 'cluster');
    t.equal((await pod.run('DEL')).code, 0);
    t.strictSame(pod.links(), {});
  },
);

t.test('what the record lacks is taken away too, and nothing twice', { skip: noReferencePlugins }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['blue', 'green']) node.define(name);
  const pod = node.pod('web', { [NETWORKS]: 'blue,green' });
  await pod.add();
  const record = join(node.folder, 'cni', pod.containerID);
  const [first, , third] = JSON.parse(readFileSync(record, 'utf8'));
  writeFileSync(record, JSON.stringify([first, third]));
  const binDir = join(node.folder, 'empty');
  mkdirSync(binDir);
  const { document } = await call(node.plugin, pod.env('DEL', { CNI_PATH: binDir }), node.config({ binDir }));
  t.match(document?.msg, /^3 networks could not be taken away/);
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
});

t.test('DEL without a lock leaves a record alone that it cannot read', { skip: noReferencePlugins }, async (t) => {
  const node = await multiNetworkNode(t);
  const pod = node.pod('web', {});
  const record = join(node.folder, 'cni', pod.containerID);
  mkdirSync(join(node.folder, 'cni'), { recursive: true });
  // As an ADD has it that has just begun.
  writeFileSync(record, '');
  t.equal((await pod.run('DEL')).code, 0);
  t.ok(existsSync(record));
  mkdirSync(join(node.folder, 'data/multi-network'), { recursive: true });
  t.equal((await pod.run('DEL')).code, 0);
  t.notOk(existsSync(record), 'with its lock it is removed');
});
