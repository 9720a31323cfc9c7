import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { holderOf, isHeld, removeOrphans, tryLock } from '../../../lib/files/lock.ts';
import { AddonError } from '../../../lib/native/errors.ts';
import { nativeSockets, withAddon } from '../../../lib/native/native.ts';
import { scratchFolder, works } from '../../support/namespaces/namespace.ts';

const noFlock: string | false = works('flock', ['--version']) ? false : 'needs flock (util-linux)';

/** A process that holds the lock, by flock(1), until the test ends or it is killed. */
async function holder(t: Test, path: string) {
  // The lock is flock's own, so that it is free once that has ended.
  const child = spawn('flock', ['--close', path, 'sh', '-c', 'echo locked; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await gone;
  };
  t.teardown(end);
  await once(child.stdout, 'data');
  return { pid: child.pid, end };
}

t.test('a lock', async (t) => {
  t.test('is held once, by a file of mode 0600 that is gone with it', async (t) => {
    const folder = scratchFolder(t);
    const path = join(folder, '.a.lock');
    const lock = tryLock(path);
    t.ok(lock);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(tryLock(path), undefined, 'nor by the same process a second time');
    lock?.release();
    t.strictSame(readdirSync(folder), []);
    const again = tryLock(path);
    t.ok(again);
    again?.release();
  });

  t.test('is not confused by a file that was removed and made again while it was held', async (t) => {
    const path = join(scratchFolder(t), '.a.lock');
    const first = tryLock(path);
    unlinkSync(path);
    const second = tryLock(path);
    t.ok(second, 'the file at the path counts');
    t.equal(tryLock(path), undefined);
    second?.release();
    first?.release();
  });

  t.test('of a file that its holder removed before it could be locked is not held by anybody', async (t) => {
    const path = join(scratchFolder(t), '.a.lock');
    const real = nativeSockets();
    let tries = 0;
    const lockFile = (fd: number) => {
      if (tries++ === 0) unlinkSync(path);
      return real.lockFile(fd);
    };
    await withAddon({ ...real, lockFile }, async () => {
      const lock = tryLock(path);
      t.ok(statSync(path).isFile(), 'the file is there that is locked');
      t.equal(tryLock(path), undefined);
      lock?.release();
    });
  });

  t.test('is refused through a symbolic link, and in a folder that does not exist', async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, 'target'), 'text');
    symlinkSync(join(folder, 'target'), join(folder, '.a.lock'));
    t.throws(() => tryLock(join(folder, '.a.lock')), { name: 'FileError', message: /cannot be locked \(ELOOP/ });
    t.throws(() => tryLock(join(folder, 'missing/.a.lock')), { name: 'FileError', message: /ENOENT/ });
  });
});

t.test('a lock of another process', { skip: noFlock }, async (t) => {
  const folder = scratchFolder(t);
  const path = join(folder, '.a.lock');
  const { pid, end } = await holder(t, path);
  t.equal(tryLock(path), undefined);
  t.match(holderOf(path), /^process \d+ \(\w+\)$/);
  t.match(holderOf(path), `process ${pid} `, 'the one that took it');
  removeOrphans(folder, '.lock');
  t.strictSame(readdirSync(folder), ['.a.lock'], 'is no orphan');
  await end();
  t.strictSame(readdirSync(folder), ['.a.lock'], 'a killed one leaves its file');
  const lock = tryLock(path);
  t.ok(lock, 'and not its lock');
  lock?.release();
  t.strictSame(readdirSync(folder), []);
});

t.test('a lock that cannot be had, or may not be asked for, leaves nothing open', async (t) => {
  const folder = scratchFolder(t);
  const path = join(folder, '.a.lock');
  const open = () => readdirSync('/proc/self/fd').length;
  const real = nativeSockets();
  const failing = (error: Error) => ({
    ...real,
    lockFile: () => {
      throw error;
    },
  });
  const held = tryLock(path);
  const before = open();
  t.equal(tryLock(path), undefined);
  await withAddon(failing(Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 })), async () => {
    t.throws(() => tryLock(path), { name: 'FileError', message: `${path}: cannot be locked (EIO: i/o error)` });
    t.match(removeOrphans(folder, '.lock'), [{ name: 'FileError' }]);
  });
  await withAddon(failing(new AddonError(new Error('noexec'))), async () => {
    for (const work of [() => tryLock(path), () => removeOrphans(folder, '.lock')])
      t.throws(work, { name: 'AddonError' });
  });
  t.equal(open(), before);
  held?.release();
  t.equal(open(), before - 1);
  t.throws(() => real.lockFile(-1), { message: 'flock: Bad file descriptor' });
  const wrong = real.lockFile as (...args: unknown[]) => unknown;
  for (const args of [[], ['3']]) t.throws(() => wrong(...args), TypeError);
});

// A line of proc_locks(5), of this process unless it says otherwise.
const entry = (inode: number, kind = 'FLOCK', pid: number | string = process.pid) =>
  `1: ${kind}  ADVISORY  WRITE ${pid} 08:01:${inode} 0 EOF\n`;

t.test('who holds a lock is what the kernel’s table says of its file', async (t) => {
  const path = join(scratchFolder(t), '.a.lock');
  writeFileSync(path, '');
  const { ino } = statSync(path);
  const own = `process ${process.pid} (${readFileSync('/proc/self/comm', 'utf8').trim()})`;
  const tables: [table: string | undefined, isHeld: boolean, holder: string][] = [
    [entry(ino), true, own],
    [entry(ino + 1) + entry(ino), true, own],
    [entry(ino, 'FLOCK', 0), true, 'another process'],
    [entry(ino, 'FLOCK', -1), true, 'another process'],
    [entry(ino, 'FLOCK', 1), true, `process 1 (${readFileSync('/proc/1/comm', 'utf8').trim()})`],
    [entry(ino, 'FLOCK', 4_194_999), true, 'process 4194999'],
    [entry(ino + 1), false, 'another process'],
    [entry(ino, 'POSIX'), false, 'another process'],
    [entry(ino, '-> FLOCK'), false, 'another process'],
    ['', false, 'another process'],
    [undefined, false, 'another process'],
  ];
  for (const [table, isHeld, holder] of tables) {
    const read = (...args: Parameters<typeof fs.readFileSync>) => {
      if (args[0] !== '/proc/locks') return fs.readFileSync(...args);
      if (table !== undefined) return table;
      throw new Error('EACCES');
    };
    const lock = await t.mockImport<typeof import('../../../lib/files/lock.ts')>('../../../lib/files/lock.ts', {
      'node:fs': { ...fs, readFileSync: read },
    });
    t.strictSame([lock.isHeld(path), lock.holderOf(path)], [isHeld, holder], table ?? 'no table');
  }
  t.strictSame([isHeld(`${path}.none`), holderOf(`${path}.none`)], [false, 'another process']);
  const lock = tryLock(path);
  t.equal(isHeld(path), true);
  lock?.release();
  t.equal(isHeld(path), false);
});

t.test('the table is not read for a file that is not there', async (t) => {
  let reads = 0;
  const readFileSync = () => {
    reads++;
    return '';
  };
  const { isHeld: held } = await t.mockImport<typeof import('../../../lib/files/lock.ts')>(
    '../../../lib/files/lock.ts',
    { 'node:fs': { ...fs, readFileSync } },
  );
  const path = join(scratchFolder(t), '.a.lock');
  t.strictSame([held(path), reads], [false, 0]);
  writeFileSync(path, '');
  t.strictSame([held(path), reads], [false, 1]);
});

t.test('orphans are removed, and nothing else', async (t) => {
  const folder = scratchFolder(t);
  for (const name of ['.a.lock', '.a.json.tmp', 'a.lock', 'a.json']) writeFileSync(join(folder, name), '');
  const held = tryLock(join(folder, '.held.lock'));
  removeOrphans(folder, '.lock');
  t.strictSame(readdirSync(folder).sort(), ['.a.json.tmp', '.held.lock', 'a.json', 'a.lock']);
  held?.release();
  removeOrphans(join(folder, 'missing'), '.lock');
});
