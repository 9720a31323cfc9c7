import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HERE } from '../../../lib/cni/place.ts';
import { run } from '../../../lib/cni/runner.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder } from '../../support/namespaces/namespace.ts';

/** The answer of STATUS with this data folder. */
async function status(dataDir: string, place = HERE) {
  let stdout = '';
  const code = await run(staticRoute, {
    env: { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' },
    ...{ args: [], place, writeStderr: () => undefined },
    readStdin: () => Buffer.from(JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir })),
    writeStdout: (text) => {
      stdout += text;
    },
  });
  return code === 0 ? stdout : JSON.parse(stdout);
}

t.test('a node can serve where it can write, and leaves nothing there', { skip: noNamespaces }, async (t) => {
  const folder = scratchFolder(t);
  const open = readdirSync('/proc/self/fd').length;
  t.equal(await status(join(folder, 'data')), '');
  t.strictSame(readdirSync(join(folder, 'data/static-route')), []);
  t.equal(readdirSync('/proc/self/fd').length, open);
  writeFileSync(join(folder, 'file'), '');
  t.match(await status(join(folder, 'file')), { code: 50, msg: /^this node cannot serve an ADD: dataDir: .*ENOTDIR/ });
  mkdirSync(join(folder, 'open'));
  const place = { ...HERE, ownNamespace: join(folder, 'file') };
  t.match(await status(join(folder, 'data'), place), { code: 50, msg: /file is not a namespace$/ });
});
