import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { unpackIntoOneOf } from '../../cli/unpack.ts';
import { noNamespaces, scratchFolder } from '../support/namespaces/namespace.ts';

const BUILD = '0123456789abcdef';
const ADDON = randomBytes(14_000);
const notRoot = process.getuid?.() === 0 ? false : 'needs root';

/** Two folders to choose from, neither there yet, and where the file is in each. */
function folders(t: Test) {
  const top = scratchFolder(t);
  const [first, second] = [join(top, 'first'), join(top, 'second')];
  const [inFirst, inSecond] = [first, second].map((folder) => join(folder, BUILD, 'socket.node')) as [string, string];
  return { top, first, second, inFirst, inSecond, unpack: () => unpackIntoOneOf([first, second], BUILD, ADDON) };
}

/** The first folder with the build's own in it, as an earlier call left them. */
function prepared(t: Test) {
  const all = folders(t);
  mkdirSync(dirname(all.inFirst), { recursive: true, mode: 0o700 });
  return all;
}

/** Everything in a folder, by name. */
function namesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

t.test('if there is nothing yet, writes the file for the owner only, and nothing else', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const { top, inFirst, unpack } = folders(t);
  t.equal(unpack(), inFirst);
  t.ok(readFileSync(inFirst).equals(ADDON));
  t.strictSame(namesBelow(top), ['first', `first/${BUILD}`, `first/${BUILD}/socket.node`]);
  t.equal(statSync(inFirst).mode & 0o7777, 0o600);
  t.equal(statSync(dirname(inFirst)).mode & 0o7777, 0o700);
  t.equal(statSync(join(top, 'first')).mode & 0o7777, 0o700);
});

t.test('where the file is there and whole, does not touch it', async (t) => {
  const { inFirst, unpack } = folders(t);
  unpack();
  const before = statSync(inFirst, { bigint: true });
  const folder = statSync(dirname(inFirst), { bigint: true });
  t.equal(unpack(), inFirst);
  t.strictSame(statSync(inFirst, { bigint: true }).ino, before.ino);
  t.strictSame(statSync(inFirst, { bigint: true }).mtimeNs, before.mtimeNs);
  t.strictSame(statSync(dirname(inFirst), { bigint: true }).mtimeNs, folder.mtimeNs, 'no file came or went beside it');
});

const damages: [string, Buffer][] = [
  ['is empty', Buffer.alloc(0)],
  ['was cut short', ADDON.subarray(0, 4096)],
  ['has one byte changed', Buffer.from(ADDON).fill((ADDON[7000] ?? 0) ^ 1, 7000, 7001)],
  ['has bytes after it', Buffer.concat([ADDON, Buffer.from('x')])],
  ['is zeros of the right length', Buffer.alloc(ADDON.length)],
];

for (const [what, content] of damages) {
  t.test(`a file that ${what} is replaced, not written into`, async (t) => {
    const { top, inFirst, unpack } = prepared(t);
    writeFileSync(inFirst, content);
    const { ino } = statSync(inFirst);
    t.equal(unpack(), inFirst);
    t.ok(readFileSync(inFirst).equals(ADDON));
    // A process that has the old one mapped must not see it change.
    t.not(statSync(inFirst).ino, ino);
    t.strictSame(namesBelow(top), ['first', `first/${BUILD}`, `first/${BUILD}/socket.node`]);
  });
}

t.test('builds do not touch each other’s files', async (t) => {
  const { first, unpack, inFirst } = folders(t);
  unpack();
  const other = unpackIntoOneOf([first], 'fedcba9876543210', Buffer.from('another'));
  t.equal(readFileSync(other, 'utf8'), 'another');
  t.ok(readFileSync(inFirst).equals(ADDON));
});

// What is in the way in the first folder, so that the second one is used and nothing in the first is touched.
const obstacles: [string, string | false, (all: ReturnType<typeof folders>) => void][] = [
  ['is a file', false, ({ first }) => writeFileSync(first, '')],
  [
    'is a symbolic link to a folder of our own',
    false,
    ({ first, top }) => {
      mkdirSync(join(top, 'real'), { mode: 0o700 });
      symlinkSync(join(top, 'real'), first);
    },
  ],
  ['is a symbolic link to nothing', false, ({ first, top }) => symlinkSync(join(top, 'nothing'), first)],
  [
    'belongs to another user',
    notRoot,
    ({ first }) => {
      mkdirSync(first, { mode: 0o700 });
      chownSync(first, 65534, 65534);
    },
  ],
  ['is writable by its group', false, ({ first }) => makeWith(first, 0o770)],
  ['is writable by everybody', false, ({ first }) => makeWith(first, 0o777)],
  [
    'has a symbolic link in the place of the build’s folder',
    false,
    ({ first, top, inFirst }) => {
      mkdirSync(first, { mode: 0o700 });
      mkdirSync(join(top, 'real'), { mode: 0o700 });
      symlinkSync(join(top, 'real'), dirname(inFirst));
    },
  ],
  [
    'has a build’s folder of another user',
    notRoot,
    ({ inFirst }) => {
      mkdirSync(dirname(inFirst), { recursive: true, mode: 0o700 });
      chownSync(dirname(inFirst), 65534, 65534);
    },
  ],
  [
    'has a build’s folder that is writable by everybody',
    false,
    ({ first, inFirst }) => {
      makeWith(first, 0o700);
      makeWith(dirname(inFirst), 0o777);
    },
  ],
  [
    'has a symbolic link in the place of the file, to the very bytes',
    false,
    ({ inFirst, top }) => {
      mkdirSync(dirname(inFirst), { recursive: true, mode: 0o700 });
      writeFileSync(join(top, 'bytes'), ADDON);
      symlinkSync(join(top, 'bytes'), inFirst);
    },
  ],
  [
    'has a folder in the place of the file',
    false,
    ({ inFirst }) => mkdirSync(inFirst, { recursive: true, mode: 0o700 }),
  ],
];

for (const [what, skip, prepare] of obstacles) {
  t.test(`a folder that ${what} is left alone, and the second is used`, { skip }, async (t) => {
    const all = folders(t);
    prepare(all);
    const before = pictureOf(all.top);
    t.equal(all.unpack(), all.inSecond);
    t.ok(readFileSync(all.inSecond).equals(ADDON));
    t.ok(lstatSync(all.inSecond).isFile());
    const after = pictureOf(all.top).filter((line) => !line.startsWith('second'));
    t.strictSame(after, before, 'nothing came, went or changed in the first');
  });
}

t.test('where neither can be used, throws 5 with the reasons of both', async (t) => {
  const { first, second, top, unpack } = folders(t);
  writeFileSync(first, '');
  symlinkSync(top, second);
  t.throws(unpack, {
    name: 'CniError',
    code: 5,
    message: `the native addon cannot be unpacked: ${first}: is not a folder`,
    details: new RegExp(`^${first}: is not a folder .*\n${second}: is not a folder \\(symbolic links are refused\\)$`),
  });
});

t.test('what killed calls left is removed when it is old, and not before', async (t) => {
  const { inFirst, unpack } = prepared(t);
  const own = dirname(inFirst);
  for (const [name, secondsAgo] of [
    ['.unpacking-old', 120],
    ['.unpacking-new', 5],
  ] as const) {
    mkdirSync(join(own, name));
    writeFileSync(join(own, name, 'socket.node'), 'half');
    const time = Date.now() / 1000 - secondsAgo;
    utimesSync(join(own, name), time, time);
  }
  symlinkSync('/nowhere', join(own, '.unpacking-link'));
  unpack();
  t.strictSame(readdirSync(own).sort(), ['.unpacking-link', '.unpacking-new', 'socket.node']);
});

t.test('a read-only folder', { skip: noNamespaces }, async (t) => {
  /** Runs a process of its own with the first folder mounted read-only (root does not mind modes). */
  const unpackReadOnly = (all: ReturnType<typeof folders>, ...candidates: string[]) => {
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    const program = [
      process.execPath,
      join(import.meta.dirname, '../support/build/unpack-once.ts'),
      BUILD,
      ...candidates,
    ];
    return spawnSync('unshare', ['-m', 'sh', '-c', script, all.first, ...program], { input: ADDON, encoding: 'utf8' });
  };

  t.test('that has the file already is used', async (t) => {
    const all = folders(t);
    all.unpack();
    const { status, stdout } = unpackReadOnly(all, all.first, all.second);
    t.strictSame([status, stdout], [0, all.inFirst]);
  });

  t.test('without the file is passed over', async (t) => {
    const all = folders(t);
    mkdirSync(all.first, { mode: 0o700 });
    const { status, stdout } = unpackReadOnly(all, all.first, all.second);
    t.strictSame([status, stdout], [0, all.inSecond]);
    t.strictSame(readdirSync(all.first), []);
  });

  t.test('with half a file is passed over', async (t) => {
    const all = prepared(t);
    writeFileSync(all.inFirst, ADDON.subarray(0, 100));
    t.equal(unpackReadOnly(all, all.first, all.second).stdout, all.inSecond);
  });

  t.test('without a second is an error that says so', async (t) => {
    const all = folders(t);
    mkdirSync(all.first, { mode: 0o700 });
    const { status, stderr } = unpackReadOnly(all, all.first);
    t.equal(status, 1);
    t.match(stderr, `the native addon cannot be unpacked: ${all.first}/${BUILD}: cannot be made (EROFS)`);
  });
});

t.test('a full folder is passed over, and nothing half is left there', { skip: noNamespaces }, async (t) => {
  const all = folders(t);
  mkdirSync(all.first, { mode: 0o700 });
  // Two blocks: enough for the folders, not for the file. What is left in it is listed before it goes.
  const script =
    'mount -t tmpfs -o size=8k,mode=700 none "$0" && "$@" && echo && ls -AR "$0" | grep -v : | grep -v "^$"';
  const program = [process.execPath, join(import.meta.dirname, '../support/build/unpack-once.ts')];
  const { stdout } = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', script, all.first, ...program, BUILD, all.first, all.second],
    {
      input: ADDON,
      encoding: 'utf8',
    },
  );
  t.equal(stdout, `${all.inSecond}\n${BUILD}\n`);
});

t.test('fifty processes at once all get the whole file, and leave no other', { timeout: 900_000 }, async (t) => {
  const { top, first, second, inFirst } = prepared(t);
  // And something to clean away, which only one of them can.
  const stale = join(dirname(inFirst), '.unpacking-old');
  mkdirSync(stale);
  utimesSync(stale, 0, 0);
  const program = join(import.meta.dirname, '../support/build/unpack-once.ts');
  // Each waits for its stdin, so they are all started before the first can go on.
  const children = Array.from({ length: 50 }, () =>
    spawn(process.execPath, [program, BUILD, first, second], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const answers = children.map(async (child) => {
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    const [code] = await once(child, 'close');
    return `${code} ${stdout}`;
  });
  for (const child of children) child.stdin.end(ADDON);
  t.strictSame([...new Set(await Promise.all(answers))], [`0 ${inFirst}`]);
  t.ok(readFileSync(inFirst).equals(ADDON));
  t.strictSame(namesBelow(top), ['first', `first/${BUILD}`, `first/${BUILD}/socket.node`]);
  t.notOk(existsSync(second));
});

function makeWith(path: string, mode: number): void {
  mkdirSync(path);
  chmodSync(path, mode);
}

/** Names, kinds, modes, owners and times of all that is in a folder. */
function pictureOf(folder: string): string[] {
  return namesBelow(folder).map((name) => {
    const { mode, uid, ino, mtimeMs } = lstatSync(join(folder, name));
    return `${name} ${mode.toString(8)} ${uid} ${ino} ${mtimeMs}`;
  });
}
