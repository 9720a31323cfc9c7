import { join } from 'node:path';
import t from 'tap';
import { multiNetwork } from '../../../plugins/multi-network/main.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';

t.test('CHECK looks for what ADD recorded, unless the config skips it', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  const folder = scratchFolder(t);
  const check = (keys: object) =>
    call(multiNetwork, variables('CHECK', pod.path), {
      ...{ cniVersion: '1.0.0', name: 'net', type: 'multi-network', delegates: [{ type: 'a' }], prevResult: {} },
      ...{ dataDir: join(folder, 'data'), cniDir: join(folder, 'cni'), ...keys },
    });
  t.match((await check({})).document, { code: 106, msg: /^no ADD of container \S+ is recorded in / });
  t.equal((await check({ skipcheck: true })).code, 0);
  const { stderr } = await check({ skipcheck: true, unheardOf: 1 });
  t.match(stderr, /unheardOf/);
  t.equal(multiNetwork.runsOthers, true, 'so that its calls do not wait for those that they make');
});
