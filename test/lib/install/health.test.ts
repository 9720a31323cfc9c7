import t from 'tap';
import { addressOf, parseAddress } from '../../../lib/http/address.ts';
import { serveHealth } from '../../../lib/install/health.ts';
import type { Readiness } from '../../../lib/install/keep.ts';

t.test('is healthy while it runs, and ready only without a problem, which it tells', async (t) => {
  const readiness: Readiness = { problem: '/opt/cni/bin/waymark is being repaired' };
  const server = await serveHealth(parseAddress('127.0.0.1:0'), readiness);
  t.teardown(() => server.close());
  const get = async (path: string) => {
    const response = await fetch(`http://${addressOf(server)}${path}`);
    return [response.status, await response.text()];
  };
  t.strictSame(await get('/healthz'), [200, 'ok\n']);
  t.strictSame(await get('/readyz'), [503, '/opt/cni/bin/waymark is being repaired\n']);
  readiness.problem = undefined;
  t.strictSame(await get('/readyz'), [200, 'ready\n']);
  t.equal((await get('/other'))[0], 404);
  await t.rejects(serveHealth(parseAddress(addressOf(server)), readiness), {
    name: 'InstallError',
    message: /EADDRINUSE/,
  });
});
