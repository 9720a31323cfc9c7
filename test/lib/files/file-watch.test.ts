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
  files.close();
  t.equal(watched(), before);
});
