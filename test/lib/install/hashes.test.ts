import { linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { sums } from '../../support/build/installer.ts';
import { run, scratchFolder } from '../../support/namespaces/namespace.ts';

t.test('is what sha256sum says, also after a change that keeps size and time, and through a hard link', async (t) => {
  const folder = scratchFolder(t);
  const [path, other] = [join(folder, 'a'), join(folder, 'b')];
  const hashes = new Hashes();
  writeFileSync(path, 'x'.repeat(3 << 20));
  linkSync(path, other);
  t.strictSame([await hashes.of(path)], sums(path));
  t.strictSame([await hashes.of(other)], sums(path));
  utimesSync(path, 1, 1);
  await hashes.of(path);
  writeFileSync(path, 'y'.repeat(3 << 20));
  utimesSync(path, 1, 1);
  t.strictSame([await hashes.of(path)], sums(path));
  t.strictSame([await hashes.of(other)], sums(path));
});

t.test('is undefined for what is no regular file, and does not wait for a FIFO', { timeout: 60_000 }, async (t) => {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, 'real'), '');
  symlinkSync('real', join(folder, 'link'));
  mkdirSync(join(folder, 'folder'));
  run('mkfifo', [join(folder, 'fifo')]);
  for (const name of ['link', 'folder', 'fifo', 'missing'])
    t.equal(await new Hashes().of(join(folder, name)), undefined);
});
