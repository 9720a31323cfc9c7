import t from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { call, variables } from '../../support/call.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespace.ts';

t.test('ADD', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir: `${scratchFolder(t)}/data`,
    routes: [{ dst: '10.9.0.0/16', gw: 'auto' }],
  };
  const before = pod.routes();
  const answer = await call(staticRoute, variables('ADD', pod.path), config);
  t.equal(answer.code, 0, answer.stdout);
  t.match(pod.ipJson('route show 10.9.0.0/16'), [{ dst: '10.9.0.0/16', gateway: '10.244.1.1', dev: 'eth0' }]);
  t.equal((await call(staticRoute, variables('DEL', pod.path), config)).code, 0);
  t.equal(pod.routes(), before);
});
