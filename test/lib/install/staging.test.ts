import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { openStaging, removeStagings, stage } from '../../../lib/install/staging.ts';
import type { WantedExecutable } from '../../../lib/install/wanted.ts';

const { signal } = new AbortController();
const ANSWER = '#!/bin/sh\necho \'{"supportedVersions":["1.1.0"]}\'\n';
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** A folder with executables to install, a staging folder, and what is installed. */
function folderOf(t: Test) {
  const folder = t.testdir({ from: {}, bin: {} });
  const wanted = (name: string, text = ANSWER, source = name): WantedExecutable => {
    writeFileSync(join(folder, 'from', source), text, { mode: 0o600 });
    return {
      name,
      source: join(folder, 'from', source),
      path: join(folder, 'bin', name),
      sha256: hashOf(text),
      mode: 0o755,
    };
  };
  const staging = openStaging(join(folder, 'bin'));
  const at = (name: string) => join(staging, name);
  return { folder, wanted, staging, at };
}

t.test('a staging folder is a new one beside what is replaced, and what killed installers left goes', async (t) => {
  const { folder, staging } = folderOf(t);
  t.match(staging, new RegExp(`^${folder}/bin/staging-`));
  const other = openStaging(join(folder, 'bin'));
  t.not(other, staging);
  writeFileSync(join(other, 'x'), '');
  writeFileSync(join(folder, 'bin/kept'), '');
  removeStagings(join(folder, 'bin'));
  t.strictSame(readdirSync(join(folder, 'bin')), ['kept']);
  t.throws(() => openStaging(join(folder, 'none')), { name: 'InstallError', message: /none cannot be written: / });
});

t.test('each content is copied once, with its mode, and the others are links', async (t) => {
  const { wanted, staging, at } = folderOf(t);
  const [a, b] = [wanted('a'), wanted('b', ANSWER, 'a')];
  await stage(staging, [a, b, wanted('waymark', 'no plugin')], [], new Hashes(), signal);
  t.equal(readFileSync(at('a'), 'utf8'), ANSWER);
  t.equal(statSync(at('a')).mode & 0o777, 0o755);
  t.equal(statSync(at('a')).ino, statSync(at('b')).ino);
  t.equal(readFileSync(at('waymark'), 'utf8'), 'no plugin', 'the command is asked elsewhere');
});

t.test('what is in place is linked, and not copied', async (t) => {
  const { wanted, staging, at } = folderOf(t);
  const there = wanted('there');
  writeFileSync(there.path, ANSWER);
  chmodSync(there.path, 0o755);
  await stage(staging, [wanted('a')], [there], new Hashes(), signal);
  t.equal(statSync(at('a')).ino, statSync(there.path).ino);
});

t.test('a source that changes meanwhile, does not work, or cannot be had is an error', async (t) => {
  const { wanted, staging, folder } = folderOf(t);
  const changed = { ...wanted('a'), sha256: hashOf('other') };
  await t.rejects(stage(staging, [changed], [], new Hashes(), signal), {
    name: 'InstallError',
    message: `${join(folder, 'from/a')} changed while it was being copied`,
  });
  const broken = wanted('broken', '#!/bin/sh\nexit 3\n');
  await t.rejects(stage(staging, [broken], [], new Hashes(), signal), {
    name: 'InstallError',
    message: /broken does not work/,
  });
  const gone = { ...wanted('gone'), source: join(folder, 'from/none') };
  await t.rejects(stage(staging, [gone], [], new Hashes(), signal), {
    name: 'InstallError',
    message: /from\/none cannot be installed: .*ENOENT/,
  });
  mkdirSync(join(staging, 'twice'));
  await t.rejects(stage(staging, [wanted('twice')], [], new Hashes(), signal), { message: /EEXIST/ });
});

t.test('a staging folder that another installer removes at the same moment is gone', async (t) => {
  const { folder } = folderOf(t);
  const readdirSync = (path: string) => [...fs.readdirSync(path), 'staging-gone'];
  const { removeStagings: remove } = await t.mockImport<typeof import('../../../lib/install/staging.ts')>(
    '../../../lib/install/staging.ts',
    { 'node:fs': { ...fs, readdirSync } },
  );
  remove(join(folder, 'bin'));
  t.strictSame(fs.readdirSync(join(folder, 'bin')), []);
});

t.test('what is copied is not open any more', async (t) => {
  const { wanted, staging } = folderOf(t);
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  await stage(staging, [wanted('waymark')], [], new Hashes(), signal);
  t.equal(open(), before);
});

t.test('an installer that is ended begins nothing more', async (t) => {
  const { wanted, staging } = folderOf(t);
  await t.rejects(stage(staging, [wanted('a')], [], new Hashes(), AbortSignal.abort()), { name: 'AbortError' });
  t.notOk(existsSync(join(staging, 'a')));
});
