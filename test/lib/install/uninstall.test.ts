import { existsSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { ownFolder, recordDuring, writeRecord } from '../../../lib/install/record.ts';
import { uninstall } from '../../../lib/install/uninstall.ts';
import { everythingIn, sums } from '../../support/build/installer.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

/** A folder as an installer leaves it: the files, the record, what an executable unpacked; and another's plugin. */
function installed(t: Test): { binDir: string; paths: string[]; netDir: string } {
  const folder = scratchFolder(t);
  const [binDir, netDir] = [join(folder, 'bin'), join(folder, 'net.d')];
  mkdirSync(join(ownFolder(binDir), 'build-1'), { recursive: true, mode: 0o700 });
  mkdirSync(netDir);
  const paths = [join(binDir, 'waymark'), join(binDir, 'static-route'), join(netDir, '10-a.conflist')];
  for (const path of [...paths, join(binDir, 'bridge'), join(ownFolder(binDir), 'build-1/socket.node')])
    writeFileSync(path, path);
  const files = paths.map((path) => ({ path, sha256: sums(path)[0] ?? '' }));
  writeRecord(binDir, { version: '1.0.0', files });
  return { binDir, paths, netDir };
}

t.test('removes what it installed, lists first, and nothing else', async (t) => {
  const { binDir, netDir, paths } = installed(t);
  const outcomes = await uninstall(binDir, new Hashes());
  t.strictSame(
    outcomes,
    paths.toReversed().map((path) => ({ path, outcome: 'removed' })),
  );
  t.strictSame(everythingIn(binDir), ['bridge']);
  t.strictSame(everythingIn(netDir), []);
  t.strictSame(await uninstall(binDir, new Hashes()), []);
});

t.test('leaves what somebody has changed, or replaced by a link', async (t) => {
  const { binDir, paths } = installed(t);
  const [command = '', plugin = '', list = ''] = paths;
  writeFileSync(list, '{}');
  unlinkSync(plugin);
  symlinkSync(command, plugin);
  t.strictSame(await uninstall(binDir, new Hashes()), [
    { path: list, outcome: 'changed' },
    { path: plugin, outcome: 'changed' },
    { path: command, outcome: 'removed' },
  ]);
  t.equal(readFileSync(list, 'utf8'), '{}');
  t.strictSame(everythingIn(binDir), ['bridge', 'static-route']);
});

t.test('is fine when a file is gone already', async (t) => {
  const { binDir, paths } = installed(t);
  unlinkSync(paths[1] ?? '');
  const outcomes = (await uninstall(binDir, new Hashes())).map(({ outcome }) => outcome);
  t.strictSame(outcomes, ['removed', 'gone', 'removed']);
});

t.test('removes the old or the new file that a killed installer has left', async (t) => {
  for (const content of ['the old one', 'the new one']) {
    const { binDir, paths } = installed(t);
    const path = paths[0] ?? '';
    const record = (text: string) => {
      writeFileSync(path, text);
      return [{ path, sha256: sums(path)[0] ?? '' }];
    };
    const before = { version: '1.0.0', files: record('the old one') };
    writeRecord(binDir, recordDuring('2.0.0', before, record('the new one')));
    writeFileSync(path, content);
    t.strictSame(await uninstall(binDir, new Hashes()), [{ path, outcome: 'removed' }]);
  }
});

t.test('does nothing where nothing is installed, and removes what was only begun', async (t) => {
  const binDir = scratchFolder(t);
  t.strictSame(await uninstall(join(binDir, 'none'), new Hashes()), []);
  t.strictSame(everythingIn(binDir), []);
  t.strictSame(await uninstall(binDir, new Hashes()), []);
  mkdirSync(join(ownFolder(binDir), 'staging-abcdef'), { recursive: true, mode: 0o700 });
  t.strictSame(await uninstall(binDir, new Hashes()), []);
  t.strictSame(everythingIn(binDir), []);
});

t.test('touches nothing when the record is damaged, or the folder is a link', async (t) => {
  const { binDir, paths } = installed(t);
  writeFileSync(join(ownFolder(binDir), 'installed.json'), '{');
  await t.rejects(uninstall(binDir, new Hashes()), { name: 'InstallError', message: /installed\.json is damaged/ });
  t.ok(paths.every((path) => existsSync(path)));
  const other = scratchFolder(t);
  symlinkSync(ownFolder(binDir), ownFolder(other));
  await t.rejects(uninstall(other, new Hashes()), { name: 'FileError' });
});
