import { createHash } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { findMissing, readSources } from '../../../lib/install/wanted.ts';

const notRoot = process.getuid?.() === 0 ? false : 'needs root';
const LIST = '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"}]}';
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

function folderOf(t: Test) {
  const folder = t.testdir({ from: { a: 'text', 'net.conflist': LIST, folder: {} }, to: {} });
  symlinkSync('a', join(folder, 'from/link'));
  const planned = (name: string, source = name) => ({
    name,
    source: join(folder, 'from', source),
    path: join(folder, 'to', name),
  });
  return { folder, planned };
}

t.test('executables are known by what is in them, links by what they lead to; lists have their content', async (t) => {
  const { planned, folder } = folderOf(t);
  const { executables, lists } = await readSources(
    [planned('a'), planned('b', 'link')],
    [planned('net.conflist')],
    new Hashes(),
  );
  t.strictSame(executables, [
    { ...planned('a'), sha256: hashOf('text'), mode: 0o755 },
    { ...planned('b', 'a'), sha256: hashOf('text'), mode: 0o755 },
  ]);
  t.strictSame(lists, [{ ...planned('net.conflist'), content: Buffer.from(LIST), sha256: hashOf(LIST), mode: 0o600 }]);
  t.equal(executables[1]?.source, join(folder, 'from/a'));
});

t.test('a source that is missing, no file, or no list is an error', async (t) => {
  const { planned, folder } = folderOf(t);
  const read = (name: string) => readSources([planned(name)], [], new Hashes());
  await t.rejects(read('none'), { name: 'InstallError', message: /from\/none cannot be installed: .*ENOENT/ });
  await t.rejects(read('folder'), { name: 'InstallError', message: `${join(folder, 'from/folder')} is not a file` });
  await t.rejects(readSources([], [planned('a')], new Hashes()), { name: 'RuntimeError' });
});

t.test('what is in place has the content, the mode and the owner, and is a file', async (t) => {
  const { planned } = folderOf(t);
  const { executables: wanted } = await readSources([planned('a')], [], new Hashes());
  const isMissing = async () => (await findMissing(wanted, new Hashes())).length === 1;
  const path = planned('a').path;
  const put = (text = 'text', mode = 0o755) => {
    rmSync(path, { recursive: true, force: true });
    writeFileSync(path, text);
    chmodSync(path, mode);
  };
  t.ok(await isMissing(), 'nothing is there');
  put();
  t.notOk(await isMissing());
  put('other');
  t.ok(await isMissing());
  for (const mode of [0o644, 0o4755, 0o777]) {
    put('text', mode);
    t.ok(await isMissing(), mode.toString(8));
  }
  rmSync(path);
  symlinkSync(planned('a').source, path);
  t.ok(await isMissing(), 'a link');
  rmSync(path);
  mkdirSync(path);
  t.ok(await isMissing(), 'a folder');
});

t.test('what belongs to another user is not in place', { skip: notRoot }, async (t) => {
  const { planned } = folderOf(t);
  const { executables: wanted } = await readSources([planned('a')], [], new Hashes());
  const { path } = planned('a');
  writeFileSync(path, 'text');
  chmodSync(path, 0o755);
  chownSync(path, 1, 0);
  t.strictSame(await findMissing(wanted, new Hashes()), wanted);
});
