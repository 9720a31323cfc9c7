import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { multiNetwork } from '../../../plugins/multi-network/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';
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
