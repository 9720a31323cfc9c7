import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { multiNetwork } from '../../../plugins/multi-network/main.ts';
import { multiNetworkNode } from '../../support/kubernetes/multi-network-node.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';
import { noReferencePlugins as skip } from '../../support/plugins/chain.ts';
import { previousResult } from '../../support/plugins/previous-result.ts';

t.test('a wrong config is refused before any folder is made', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = {
    cniVersion: '1.0.0',
    name: 'net',
    type: 'multi-network',
    dataDir,
    prevResult: previousResult('1.0.0', pod.path),
    binDir: 'relative',
  };
  const { code, document } = await call(multiNetwork, variables('ADD', pod.path), config);
  t.equal(code, 1);
  t.match(document, { code: 7, msg: /binDir/ });
  t.notOk(existsSync(dataDir));
});

t.test('below Multus, which records what it runs in the same place, it refuses to run itself', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const pod = node.pod('web');
  const list = { cniVersion: '1.0.0', name: 'waymark', plugins: [node.config()] };
  const bytes = Buffer.from(JSON.stringify(list)).toString('base64');
  mkdirSync(join(node.folder, 'cni'));
  writeFileSync(join(node.folder, 'cni', pod.containerID), JSON.stringify([{ Name: 'waymark', Bytes: bytes }]));
  const { document } = await pod.run('ADD');
  t.match(document, { msg: /is of a plugin that runs "multi-network" as the cluster’s network/ });
  t.strictSame(pod.links(), {});
  t.equal((await pod.run('DEL')).code, 0);
});
