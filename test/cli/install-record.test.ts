import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Hashes } from '../../lib/install/hashes.ts';
import { install } from '../../lib/install/install.ts';
import { planExecutables } from '../../lib/install/plan.ts';
import { readSources } from '../../lib/install/wanted.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { everythingIn, must, place, runInstaller } from '../support/build/installer.ts';
import { noCompiler, release } from '../support/build/releases.ts';
import { scratchFolder, works } from '../support/namespaces/namespace.ts';

// What an installer that was killed has put there is in its record, so that uninstall finds it.

const noStrace: string | false = works('strace', ['-V']) ? false : 'needs strace';

t.test(
  'killed before any rename, it leaves nothing that uninstall does not take away',
  {
    skip: noCompiler || noStrace,
  },
  async (t) => {
    const list = join(scratchFolder(t), '10-a.conflist');
    writeFileSync(list, JSON.stringify({ name: 'a', plugins: [{ type: 'bridge' }] }));
    const { bin } = release(t, '1.0.0');
    const left: number[] = [];
    for (let nth = 1; ; nth++) {
      const { binDir, netDir, to } = place(t);
      const inject = `inject=/^rename:signal=SIGKILL:when=${nth}`;
      const strace = ['env', 'UV_THREADPOOL_SIZE=1', 'strace', '-f', '-qqq', '-o', '/dev/null', '-e', 'trace=/^rename'];
      const args = ['--from', bin, '--net-list', list, '--once', ...to];
      const { status } = runInstaller(args, [...strace, '-e', inject]);
      const before = [...everythingIn(binDir), ...everythingIn(netDir)].filter((name) => !name.startsWith('.waymark'));
      left.push(before.length);
      must(['--uninstall', ...to]);
      t.strictSame(
        [everythingIn(binDir), everythingIn(netDir)],
        [[], []],
        `killed before rename ${nth}, ${before} were there`,
      );
      if (status === 0) break;
    }
    t.ok(left.length > PLUGIN_NAMES.length + 2, `killed ${left.length - 1} times`);
    t.ok(Math.max(...left) > 1 && Math.min(...left) === 0, `${left} files were in place`);
  },
);

t.test('a source that changes after it was hashed is not installed', { skip: noCompiler }, async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  mkdirSync(binDir);
  const [older, newer] = [release(t, '1.0.0'), release(t, '2.0.0')];
  const hashes = new Hashes();
  const wanted = await readSources(planExecutables(PLUGIN_NAMES, older.bin, binDir, 'standalone'), [], hashes);
  // A release that works as well as the one that was looked at.
  renameSync(join(newer.bin, 'waymark'), join(older.bin, 'waymark'));
  const { signal } = new AbortController();
  await t.rejects(install({ binDir, wanted, hashes, signal }), {
    name: 'InstallError',
    message: /waymark changed while it was being copied$/,
  });
  t.strictSame(
    everythingIn(binDir).filter((name) => name !== '.waymark'),
    [],
    'nothing is in place',
  );
});
