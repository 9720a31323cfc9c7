import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { sums } from '../../support/build/installer.ts';
import { run, scratchFolder } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

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
  await clockMovesOn(path);
  writeFileSync(path, 'y'.repeat(3 << 20));
  utimesSync(path, 1, 1);
  t.strictSame([await hashes.of(path)], sums(path));
  t.strictSame([await hashes.of(other)], sums(path));
});

/** What this process has read until now (proc_pid_io(5)). */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

t.test('is read once, and nothing stays open', async (t) => {
  const path = join(scratchFolder(t), 'a');
  const hashes = new Hashes();
  writeFileSync(path, 'x'.repeat(3 << 20));
  const open = readdirSync('/proc/self/fd').length;
  const before = bytesRead();
  const first = await hashes.of(path);
  const between = bytesRead();
  t.equal(await hashes.of(path), first);
  const [once, again] = [between - before, bytesRead() - between];
  t.ok(once >= 3 << 20 && again < 1 << 20, `${once} bytes, and then ${again}`);
  t.equal(readdirSync('/proc/self/fd').length, open);
});

/** Waits until what changes in a folder gets another time than this file in it: some kernels' clocks have 100 a second. */
async function clockMovesOn(path: string): Promise<void> {
  const now = `${path}.now`;
  const changedAt = (file: string) => statSync(file, { bigint: true }).ctimeNs;
  await until(() => {
    writeFileSync(now, '');
    return changedAt(now) > changedAt(path);
  });
}

t.test('is that of the file, or undefined, if it is removed or becomes a link meanwhile', async (t) => {
  const folder = scratchFolder(t);
  const path = join(folder, 'a');
  const right = new Set([undefined, ...sums('/dev/null')]);
  for (let turn = 0; turn < 400; turn++) {
    writeFileSync(path, '');
    const asked = new Hashes().of(path);
    for (let i = 0; i < turn % 4; i++) await new Promise((resolve) => setImmediate(resolve));
    rmSync(path);
    if (turn % 2 === 1) symlinkSync('nowhere', path);
    const answer = await asked;
    if (!right.has(answer)) t.fail(`turn ${turn}: ${answer}`);
    rmSync(path, { force: true });
  }
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
