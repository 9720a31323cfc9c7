import { join } from 'node:path';
import t from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';

// Found by test/bad-input-property.test.ts.
t.test('a replaced route whose gateway lies in a replaced subnet comes back too', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('route add 10.200.0.0/16 via 10.244.1.2');
  const before = pod.routes();
  const config = (subnet: object) => ({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir: join(scratchFolder(t), 'data'),
    onConflict: 'replace',
    routes: [
      { dst: '10.244.1.0/24', ...subnet },
      { dst: '10.200.0.0/16', dev: 'eth0' },
    ],
  });

  await t.test('after an ADD that the kernel refused', async (t) => {
    // Without the subnet's own route, its gateway is out of reach.
    const answer = await call(staticRoute, variables('ADD', pod.path), config({ gw: '10.244.1.1' }));
    t.match(answer.document, { code: 104, msg: 'routes[0]' });
    t.equal(pod.routes(), before);
  });

  await t.test('after a DEL', async (t) => {
    const stdin = config({ gw: '10.244.1.1', onlink: true });
    t.equal((await call(staticRoute, variables('ADD', pod.path), stdin)).code, 0);
    t.equal((await call(staticRoute, variables('DEL', pod.path), stdin)).code, 0);
    t.equal(pod.routes(), before);
  });
});
