import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { call, variables } from './support/plugins/call.ts';
import { PLUGINS } from './support/plugins/plugins.ts';

// Multus' thick daemon lays its own config over that of a network of a single plugin which it attaches to a running pod.
// scripts/record-multus-overlay.sh recorded what comes out of its own function.

const OVERLAID = JSON.parse(readFileSync(join(import.meta.dirname, 'golden/multus-overlay.json'), 'utf8'));
const { routes: _, type: __, ...overlay } = OVERLAID;

/** What Multus' daemon takes for `logLevel` (pkg/logging). */
const MULTUS_LEVELS = ['panic', 'error', 'verbose', 'debug', 'Verbose'];

for (const { name, plugin, config } of PLUGINS) {
  t.test(`${name} attaches and detaches under Multus' daemon`, { skip: noNamespaces }, async (t) => {
    const pod = scratchPod(t);
    const before = pod.routes();
    for (const logLevel of [overlay.logLevel, ...MULTUS_LEVELS]) {
      const stdin = { ...overlay, type: name, ...config, logLevel, dataDir: join(scratchFolder(t), 'data') };
      for (const verb of ['ADD', 'DEL']) {
        const { code, stdout, stderr } = await call(plugin, variables(verb, pod.path), stdin);
        t.equal(code, 0, `${verb} with logLevel "${logLevel}" succeeds ${stdout}`);
        t.notMatch(stderr, /"level":"error"/);
      }
      t.equal(pod.routes(), before, 'DEL leaves the routes as they were');
    }
  });
}

t.test('the whole recorded config adds its route', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const [{ plugin }] = PLUGINS.filter(({ name }) => name === OVERLAID.type) as [(typeof PLUGINS)[number]];
  const stdin = { ...OVERLAID, dataDir: join(scratchFolder(t), 'data') };
  const { code, stdout } = await call(plugin, variables('ADD', pod.path), stdin);
  t.equal(code, 0, stdout);
  t.match(pod.ipJson('route show 10.9.0.0/16'), [{ gateway: '10.244.1.1', dev: 'eth0' }]);
});
