import * as childProcess from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { verifyPlugin, versionOf } from '../../../lib/install/verify.ts';
import { noCompiler, release } from '../../support/build/releases.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

const { signal } = new AbortController();

t.test(
  'takes a plugin that answers VERSION, and the version that the command says',
  { skip: noCompiler },
  async (t) => {
    const { bin, shim } = release(t, '1.2.3');
    await verifyPlugin(join(bin, 'static-route'), signal);
    await verifyPlugin(join(shim, 'static-route'), signal);
    t.equal(await versionOf(join(bin, 'waymark'), signal), '1.2.3');
  },
);

const BROKEN: [what: string, answer: string, exitCode: number, reason: RegExp][] = [
  ['fails', '{}', 3, /static-route does not work: ended with 3: it is broken/],
  ['answers nothing', '', 0, /does not name 1\.1\.0/],
  ['answers something that is no JSON', 'hello', 0, /does not name 1\.1\.0/],
  ['answers JSON that is no document', 'null', 0, /does not name 1\.1\.0/],
  ['knows older versions only', '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}', 0, /does not name 1\.1\.0/],
];

for (const [what, answer, exitCode, message] of BROKEN) {
  t.test(`refuses a plugin that ${what}`, { skip: noCompiler }, async (t) => {
    const { bin } = release(t, '1.2.3', { answer, exitCode });
    await t.rejects(verifyPlugin(join(bin, 'static-route'), signal), { name: 'InstallError', message });
  });
}

t.test('a plugin that ends before it was told all works as well', async (t) => {
  const path = join(scratchFolder(t), 'plugin');
  writeFileSync(path, '#!/bin/sh\necho \'{"supportedVersions":["1.1.0"]}\'\n');
  chmodSync(path, 0o755);
  const execFile = ((...args: Parameters<typeof childProcess.execFile>) => {
    const child = childProcess.execFile(...args);
    // As the kernel may tell whoever writes to it.
    process.nextTick(() => child.stdin?.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })));
    return child;
  }) as typeof childProcess.execFile;
  const { verifyPlugin: verify } = await t.mockImport<typeof import('../../../lib/install/verify.ts')>(
    '../../../lib/install/verify.ts',
    { 'node:child_process': { ...childProcess, execFile } },
  );
  await t.resolves(verify(path, signal));
});

t.test('refuses what cannot be run, and a command that says no version', async (t) => {
  const path = join(scratchFolder(t), 'waymark');
  writeFileSync(path, '\0\0\0\0 no program');
  chmodSync(path, 0o755);
  await t.rejects(verifyPlugin(path, signal), { name: 'InstallError', message: /does not work: ended with/ });
  for (const [script, how] of [
    ['exit 3', 'ended with 3'],
    ['kill -KILL $$', 'ended by SIGKILL'],
  ]) {
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    await t.rejects(versionOf(path, signal), { message: `${path} does not work: ${how}` });
  }
  await t.rejects(versionOf(`${path}.none`, signal), {
    name: 'InstallError',
    message: `${path}.none does not work: spawn ${path}.none ENOENT`,
  });
  await t.rejects(versionOf(path, AbortSignal.abort()), { name: 'AbortError' });
  writeFileSync(path, '#!/bin/sh\necho hello\n');
  await t.rejects(versionOf(path, signal), { name: 'InstallError', message: /prints no version/ });
  writeFileSync(path, '#!/bin/sh\nexec sleep 1000\n');
  await t.rejects(versionOf(path, signal, 500), { message: /does not work: no answer in 0\.5 seconds$/ });
});
