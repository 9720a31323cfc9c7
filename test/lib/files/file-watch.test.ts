import * as fs from 'node:fs';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FileWatch } from '../../../lib/files/file-watch.ts';
import { until } from '../../support/until.ts';

function watchOf(t: Test, everyMs = 1_000_000) {
  const folder = t.testdir({});
  const told: string[] = [];
  const files = new FileWatch({
    pathOf: (path) => join(folder, path),
    changed: (users, path) => told.push(`${path} ${users.join()}`),
    everyMs,
  });
  t.teardown(() => files.close());
  const contentOf = (path: string, user = 'a') => files.use(user, [path]).get(path);
  return { folder, files, told, contentOf };
}

t.test('tells its users of another content, by whichever way it came; not of the same one', async (t) => {
  const { folder, files, told, contentOf } = watchOf(t);
  writeFileSync(join(folder, 'map'), 'one');
  const [one, other] = [contentOf('map'), contentOf('map', 'b')];
  t.equal(one, other);
  writeFileSync(join(folder, 'map'), 'two');
  await until(() => told.length === 1);
  t.strictSame(told, ['map a,b']);
  t.not(contentOf('map'), one);
  writeFileSync(join(folder, 'new'), 'one');
  renameSync(join(folder, 'new'), join(folder, 'map'));
  await until(() => told.length === 2);
  t.equal(contentOf('map'), one, 'the same text for the same content');

  utimesSync(join(folder, 'map'), 1, 1);
  writeFileSync(join(folder, 'map'), 'one');
  writeFileSync(join(folder, 'another'), 'x');
  rmSync(join(folder, 'map'));
  await until(() => told.length === 3, 'that it is gone is a change');
  writeFileSync(join(folder, 'map'), 'one');
  await until(() => told.length === 4);

  files.use('a', []);
  writeFileSync(join(folder, 'map'), 'three');
  await until(() => told.length === 5);
  t.equal(told[4], 'map b', 'who does not use it any more is not told');
});

t.test('follows symbolic links that are swapped, and files behind them', async (t) => {
  const { folder, told, contentOf } = watchOf(t);
  const volume = (name: string, text: string) => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'map'), text);
    symlinkSync(name, join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
  };
  volume('..1', 'one');
  symlinkSync('..data/map', join(folder, 'map'));
  const one = contentOf('map');
  volume('..2', 'two');
  rmSync(join(folder, '..1'), { recursive: true });
  await until(() => told.length === 1);
  volume('..3', 'three');
  await until(() => told.length === 2);
  writeFileSync(join(folder, '..3/map'), 'one');
  await until(() => told.length === 3);
  t.equal(contentOf('map'), one);
});

t.test('a folder that comes later, or another one in its place, is found in time', async (t) => {
  const { folder, told, contentOf } = watchOf(t, 20);
  t.equal(contentOf('maps/map'), 'none');
  mkdirSync(join(folder, 'maps'));
  writeFileSync(join(folder, 'maps/map'), 'one');
  await until(() => told.length === 1);
  renameSync(join(folder, 'maps'), join(folder, 'old'));
  await until(() => told.length === 2);
  mkdirSync(join(folder, 'maps'));
  mkdirSync(join(folder, 'maps/map'));
  t.equal(contentOf('maps/map'), 'none', 'a folder is no file');
});

t.test('who has left is not told of what was about to be told, and nothing looks at intervals', async (t) => {
  const cleared: unknown[] = [];
  const clear = globalThis.clearInterval;
  t.intercept(globalThis, 'clearInterval', {
    value: (timer: NodeJS.Timeout) => {
      cleared.push(timer);
      clear(timer);
    },
  });
  const { folder, files, told, contentOf } = watchOf(t);
  writeFileSync(join(folder, 'map'), 'one');
  const before = watched();
  files.use('a', ['map', 'other']);
  files.use('a', ['map']);
  t.equal(cleared.length, 0);
  writeFileSync(join(folder, 'map'), 'two');
  contentOf('map');
  files.close();
  t.equal(cleared.length, 1);
  // Longer than an editor's steps are waited for.
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.strictSame([told, watched()], [[], before]);
});

/** How many things the kernel watches for this process (proc_pid_fdinfo(5)). */
function watched(): number {
  const texts = readdirSync('/proc/self/fdinfo').flatMap((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    } catch {
      return [];
    }
  });
  return texts.join('').match(/^inotify wd:/gm)?.length ?? 0;
}

t.test('nothing is watched once nobody uses it, however often it was looked at', async (t) => {
  const { folder, files, told, contentOf } = watchOf(t);
  const before = watched();
  mkdirSync(join(folder, 'real'));
  symlinkSync('real/map', join(folder, 'map'));
  contentOf('map');
  for (const text of ['one', 'two', 'three']) {
    const count = told.length;
    writeFileSync(join(folder, 'real/map'), text);
    // The folder of the link's target is watched only since it is there.
    contentOf('map');
    await until(() => told.length > count);
  }
  t.equal(watched(), before + 2, 'the folder of the name, and that of the file');
  files.use('a', []);
  t.equal(watched(), before);
});

t.test('a look that comes before the one that was planned takes its place', async (t) => {
  const planned = new Set<() => void>();
  const works = new Map<unknown, () => void>();
  let regular = () => {};
  t.intercept(globalThis, 'setInterval', {
    value: (work: () => void) => {
      regular = work;
      return setTimeout(() => undefined).unref();
    },
  });
  t.intercept(globalThis, 'setTimeout', {
    value: (work: () => void) => {
      const timer = { unref: () => timer };
      works.set(timer, work);
      planned.add(work);
      return timer;
    },
  });
  t.intercept(globalThis, 'clearTimeout', { value: (timer: unknown) => planned.delete(works.get(timer) ?? regular) });
  const { folder, files, told, contentOf } = watchOf(t);
  writeFileSync(join(folder, 'map'), 'one');
  contentOf('map');
  planned.clear();
  writeFileSync(join(folder, 'map'), 'two');
  contentOf('map');
  t.equal(planned.size, 1);
  regular();
  // And one more, which finds no change.
  regular();
  t.strictSame([told, planned.size], [['map a'], 0]);
  files.close();
});

t.test('a folder whose watch has failed is watched again', async (t) => {
  const watchers: fs.FSWatcher[] = [];
  const watch = (folder: string, options: fs.WatchOptions, listener: () => void) => {
    const watcher = fs.watch(folder, options, listener);
    watchers.push(watcher);
    return watcher;
  };
  const { FileWatch: Watch } = await t.mockImport<typeof import('../../../lib/files/file-watch.ts')>(
    '../../../lib/files/file-watch.ts',
    { 'node:fs': { ...fs, watch } },
  );
  const folder = t.testdir({ map: 'one', 'another folder': { map: 'one' } });
  const told: string[] = [];
  const files = new Watch({ pathOf: (path) => join(folder, path), changed: (_, path) => told.push(path) });
  t.teardown(() => files.close());
  files.use('a', ['map', 'another folder/map']);
  t.equal(watchers.length, 2);
  for (const text of ['two', 'three']) {
    const count = told.length;
    // It has closed itself by then.
    watchers.at(-1)?.close();
    watchers.at(-1)?.emit('error', new Error('EIO'));
    writeFileSync(join(folder, 'another folder/map'), text);
    files.use('a', ['map', 'another folder/map']);
    await until(() => told.length > count);
  }
  t.strictSame([told, watchers.length], [['another folder/map', 'another folder/map'], 4]);
});

t.test('the folder of a file that a link leads to elsewhere by now is not watched any more', async (t) => {
  const { folder, told, contentOf } = watchOf(t);
  for (const name of ['old', 'new']) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'map'), name);
  }
  symlinkSync('old/map', join(folder, 'map'));
  contentOf('map');
  const before = watched();
  symlinkSync('new/map', join(folder, 'next'));
  renameSync(join(folder, 'next'), join(folder, 'map'));
  await until(() => told.length === 1);
  t.equal(watched(), before);
});

t.test('a file that looks as it did is not read again, once its times can tell', async (t) => {
  let reads = 0;
  let ctimeMs = 0n;
  const statSync = (path: string, options: fs.StatSyncOptions) =>
    Object.assign(fs.statSync(path, options) as fs.BigIntStats, { ctimeMs });
  const readFileSync = (...args: Parameters<typeof fs.readFileSync>) => {
    reads++;
    return fs.readFileSync(...args);
  };
  const { FileWatch: Watch } = await t.mockImport<typeof import('../../../lib/files/file-watch.ts')>(
    '../../../lib/files/file-watch.ts',
    { 'node:fs': { ...fs, statSync, readFileSync } },
  );
  const folder = t.testdir({ map: 'one' });
  const files = new Watch({ pathOf: (path) => join(folder, path), changed: () => undefined });
  t.teardown(() => files.close());
  // It was changed in the future, or long ago.
  for (const [time, times] of [
    [BigInt(Date.now()) * 2n, 3],
    [0n, 1],
  ] as const) {
    [reads, ctimeMs] = [0, time];
    for (let i = 0; i < 3; i++) files.use('a', ['map']);
    t.equal(reads, times);
  }
});
