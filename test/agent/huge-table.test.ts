import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { agentHere, page, parseMetrics, shimEnv, shimOf } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { ran } from '../support/namespaces/enclosed.ts';
import { noNamespaces, run, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// A pod's table is as large as somebody in the pod likes, and outlives its processes.

const EXECUTABLE = join(import.meta.dirname, '../../dist/bin/waymark');
const skip = noNamespaces || (existsSync(EXECUTABLE) ? false : 'needs `npm run build`');

t.test('a pod with a table beyond the limit goes to the executable, and others are served', { skip }, async (t) => {
  const { socket, folder, log } = await agentHere(t, { limits: { dumpBytes: 100_000 } });
  const [huge, ordinary] = [scratchPod(t), scratchPod(t)];
  const routes = Array.from({ length: 5000 }, (_, i) => `route add blackhole 172.${16 + (i >> 8)}.${i & 255}.0/24`);
  run('ip', ['-n', huge.name, '-batch', '-'], `${routes.join('\n')}\n`);
  const before = huge.routes();
  const dataDir = join(folder, 'data');
  const config = JSON.stringify({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir,
    routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }],
  });
  const call = (verb: string, path: string, id: string) => {
    return ask(socket, { plugin: 'static-route', env: variables(verb, path, { CNI_CONTAINERID: id }), stdin: config });
  };

  const refused = await call('ADD', huge.path, 'huge');
  t.strictSame(refused, { accepted: true, stdout: '', stderr: '' });
  t.equal(huge.routes(), before, 'nothing was changed');
  t.strictSame(readdirSync(join(dataDir, 'static-route')), [], 'nothing was journalled, and no lock is left');
  t.match(log.at(-1), { level: 40, containerID: 'huge', reason: 'table too large', err: { message: /list routes/ } });
  const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  t.equal(metrics.get('waymark_connections_refused_total{reason="table too large"}'), 1);
  t.equal((await call('ADD', ordinary.path, 'ordinary')).code, 0);
  t.equal((await call('DEL', ordinary.path, 'ordinary')).code, 0);

  const byShim = (verb: string) => {
    const env = { ...shimEnv(socket, variables(verb, huge.path, { CNI_CONTAINERID: 'huge' })) };
    return ran(spawn(shimOf('static-route'), [], { env: { ...env, WAYMARK_STANDALONE: EXECUTABLE } }), config);
  };
  for (const verb of ['ADD', 'CHECK']) {
    const { code, stdout, stderr } = await byShim(verb);
    t.equal(code, 0, `${verb}: ${stdout}${stderr}`);
    t.equal(huge.ipJson('route show proto 87').length, 1, verb);
  }
  t.equal((await byShim('DEL')).code, 0);
  t.equal(huge.routes(), before);
  t.strictSame(
    readdirSync(join(dataDir, 'static-route')).filter((name) => name.endsWith('.json')),
    [],
  );
});
