import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import {
  everythingIn,
  INSTALL,
  INSTALLED,
  must,
  place,
  runCall,
  runCommand,
  runInstaller,
  sums,
  until,
} from '../support/build/installer.ts';
import { EXECUTABLES, noCompiler, release } from '../support/build/releases.ts';
import { scratchFolder, works } from '../support/namespaces/namespace.ts';

// `waymark install` where something goes wrong or goes on meanwhile. What it installs are stand-ins: see releases.ts.

const noStrace: string | false = works('strace', ['-V']) ? false : 'needs strace';
const noUnshare: string | false =
  process.getuid?.() !== 0 ? 'needs root' : works('unshare', ['-V']) ? false : 'needs unshare';

t.test('no call fails while versions replace each other, and none is busy', { skip: noCompiler }, async (t) => {
  const { binDir, paths, to } = place(t);
  const releases = [release(t, '1.0.0'), release(t, '2.0.0')];
  must(['--from', releases[0]?.bin ?? '', '--once', ...to]);
  const ended = { ok: 0, versions: new Set<string>(), failures: [] as string[] };
  let inFlight = 0;
  let most = 0;
  let stopped = false;
  const call = async (name: string) => {
    most = Math.max(most, ++inFlight);
    const { code, stdout, error } = await runCall(join(binDir, name));
    inFlight--;
    const version = /"release":"(\d\.0\.0) bin"/.exec(stdout)?.[1];
    if (code === 0 && version !== undefined) {
      ended.ok++;
      ended.versions.add(version);
    } else ended.failures.push(`${name}: ${code} ${error} ${stdout}`);
  };
  const callers = Array.from({ length: 24 }, async (_, i) => {
    while (!stopped) await call(PLUGIN_NAMES[i % PLUGIN_NAMES.length] ?? '');
  });
  for (let i = 1; i <= 8; i++) {
    const { code, error } = await runCommand([...INSTALL, '--from', releases[i % 2]?.bin ?? '', '--once', ...to]);
    t.equal(code, 0, error || `installs for the ${i}th time`);
    // Before the next one comes, this one has been called.
    const calls = ended.ok;
    await until(() => ended.ok > calls + callers.length, 'calls go on');
  }
  stopped = true;
  await Promise.all(callers);
  t.strictSame(ended.failures, []);
  t.ok(ended.ok > 100, `${ended.ok} calls`);
  t.ok(most >= 20, `${most} at once`);
  t.strictSame([...ended.versions].sort(), ['1.0.0', '2.0.0']);
  t.strictSame(sums(...paths), sums(join(releases[0]?.bin ?? '', 'waymark')));
});

// Each system call by which it makes a difference, and every time that it makes it.
for (const syscall of ['mkdir', 'link', 'chmod', 'fsync', 'rename', 'unlink', 'rmdir']) {
  t.test(`killed before any ${syscall}, it leaves whole files`, { skip: noCompiler || noStrace }, async (t) => {
    const { binDir, netDir, paths, to } = place(t);
    const list = join(netDir, '10-a.conflist');
    const versions = [1, 2].map((version) => {
      const { bin } = release(t, `${version}.0.0`);
      const source = join(scratchFolder(t), '10-a.conflist');
      writeFileSync(source, JSON.stringify({ name: 'a', plugins: [{ type: 'bridge', version }] }));
      const args = ['--from', bin, '--net-list', source, '--once', ...to];
      return { args, sum: sums(join(bin, 'waymark'))[0] ?? '', listSum: sums(source)[0] ?? '' };
    });
    must(versions[0]?.args ?? []);
    for (let nth = 1; ; nth++) {
      const { args = [], sum, listSum } = versions[nth % 2] ?? {};
      const { status } = runInstaller(args, killedBefore(syscall, nth));
      t.ok(
        paths.every((path) => versions.some(({ sum }) => sums(path)[0] === sum)),
        `${nth}: whole executables`,
      );
      t.ok(
        versions.some(({ listSum }) => sums(list)[0] === listSum),
        `${nth}: a whole list`,
      );
      must(args);
      t.strictSame([sums(...paths), sums(list)], [[sum], [listSum]]);
      t.strictSame([everythingIn(binDir), everythingIn(netDir)], [INSTALLED, ['10-a.conflist']]);
      if (status !== 0) continue;
      t.ok(nth > 1, `killed ${nth - 1} times`);
      break;
    }
  });
}

/** What to run a program by, so that it is killed when it is about to make a system call for the nth time. */
function killedBefore(syscall: string, nth: number): string[] {
  const calls = { mkdir: 'mkdir,mkdirat', link: 'link,linkat', rename: '/^rename', unlink: 'unlink,unlinkat' }[syscall];
  const set = calls ?? (syscall === 'chmod' ? '/chmod' : syscall);
  const inject = `inject=${set}:signal=SIGKILL:when=${nth}`;
  // One thread for files, so that the nth is the nth of all.
  return ['env', 'UV_THREADPOOL_SIZE=1', 'strace', '-f', '-qqq', '-o', '/dev/null', '-e', `trace=${set}`, '-e', inject];
}

t.test('a full disk leaves the old files and no new ones', { skip: noUnshare || noCompiler }, async (t) => {
  const { binDir, to } = place(t);
  const [older, newer] = [1, 2].map((n) => release(t, `${n}.0.0`, { paddingBytes: 2 << 20 }));
  const install = [...INSTALL, ...to, '--once', '--from'];
  const { code, output, error } = await runCommand([
    ...['unshare', '-m', 'sh', '-c'],
    `mount -t tmpfs -o size=3m tmpfs ${binDir} && ${quote([...install, older?.bin ?? ''])} &&
     { ${quote([...install, newer?.bin ?? ''])}; echo "status $?"; cd ${binDir} && sha256sum * && find . | sort; }`,
  ]);
  t.equal(code, 0);
  t.match(output, 'status 1');
  t.match(error, /^waymark: .*\/bin\/waymark cannot be installed: ENOSPC: no space left on device/m);
  const [sum = ''] = sums(join(older?.bin ?? '', 'waymark'));
  for (const name of EXECUTABLES) t.match(output, `${sum}  ${name}\n`);
  t.strictSame(
    output.split('\n').filter((line) => line.startsWith('./')),
    INSTALLED.map((name) => `./${name}`),
  );
});

t.test(
  'a read-only folder is reported; it does not matter if there is nothing to do',
  { skip: noUnshare || noCompiler },
  async (t) => {
    const { binDir, to, paths } = place(t);
    const [older, newer] = [release(t, '1.0.0'), release(t, '2.0.0')];
    const readOnly = (from: string) =>
      runCommand([
        ...['unshare', '-m', 'sh', '-c'],
        `mount --bind ${binDir} ${binDir} && mount -o remount,ro,bind ${binDir} && ${quote([...INSTALL, ...to, '--once', '--from', from])}`,
      ]);
    const fresh = await readOnly(older.bin);
    t.equal(fresh.code, 1);
    t.match(fresh.error, `waymark: ${binDir}/.waymark: cannot be made (EROFS)`);
    must(['--from', older.bin, '--once', ...to]);
    t.match(await readOnly(older.bin), { code: 0, error: '' });
    const update = await readOnly(newer.bin);
    t.equal(update.code, 1);
    t.match(update.error, `waymark: ${binDir}/.waymark cannot be written: EROFS: read-only file system`);
    t.strictSame(sums(...paths), sums(join(older.bin, 'waymark')));
  },
);

function quote(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ');
}
