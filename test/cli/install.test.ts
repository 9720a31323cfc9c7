import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import {
  everythingIn,
  INSTALL,
  INSTALLED,
  inodeOf,
  must,
  place,
  replace,
  runCall,
  runCommand,
  runInstaller,
  startInstaller,
  sums,
  until,
} from '../support/build/installer.ts';
import { EXECUTABLES, noCompiler, release } from '../support/build/releases.ts';
import { works } from '../support/namespaces/namespace.ts';
import { until as untilReady } from '../support/until.ts';

// `waymark install` as a process of its own. What it installs are stand-ins, but for the last tests: see releases.ts.

const ROOT = join(import.meta.dirname, '../..');
const notRoot: string | false = process.getuid?.() === 0 ? false : 'needs root';
const noSetpriv: string | false = works('setpriv', ['-V']) ? false : 'needs setpriv';
const noUnshare: string | false = notRoot || (works('unshare', ['-V']) ? false : 'needs unshare');

t.test('says what it did, and the second time that nothing was to do', { skip: noCompiler }, async (t) => {
  const { to, paths, netDir, binDir } = place(t);
  const { bin } = release(t, '1.0.0');
  const list = join(ROOT, 'conf/40-all-three.conflist');
  const target = join(netDir, '40-all-three.conflist');
  const args = ['--from', bin, '--once', '--net-list', list, ...to];
  t.strictSame(must(args), [...paths.map((path) => `installed ${path} 1.0.0`), `installed ${target}`]);
  t.strictSame(sums(target), sums(list));
  t.strictSame(must(args), [...paths.map((path) => `unchanged ${path} 1.0.0`), `unchanged ${target}`]);

  replace(paths[1] ?? '', 'changed');
  t.strictSame(must(['--uninstall', ...to]), [
    `removed ${target}`,
    `removed ${paths[4]}`,
    `removed ${paths[3]}`,
    `removed ${paths[2]}`,
    `left ${paths[1]}, which was changed since`,
    `removed ${paths[0]}`,
  ]);
  t.strictSame(everythingIn(binDir), ['static-route']);
  t.strictSame(must(['--uninstall', ...to]), [`nothing is installed in ${binDir}`]);
});

const REFUSED: [args: string[], message: RegExp][] = [
  [['--once'], /^waymark: this is not the single-file executable: name the folder to install from by --from$/m],
  [['--mode', 'other'], /'--mode <mode>' argument 'other' is invalid. Allowed choices are standalone, agent/],
  [['--listen', '9100', '--from', '/x'], /^waymark: "9100" is not of the form HOST:PORT$/m],
  [['--listen', '127.0.0.1:0', '--once', '--from', '/x'], /^waymark: --listen is of no use with --once$/m],
  [
    ['--net-list', '/x/a.json', '--once', '--from', '/x'],
    /^waymark: \/x\/a\.json is not a network configuration list: its name does not/m,
  ],
  [['--from', '/nowhere', '--once'], /^waymark: \/nowhere\/waymark cannot be installed: ENOENT/m],
  [['--frm', '/x'], /unknown option '--frm'/],
];

for (const [args, message] of REFUSED) {
  t.test(`refuses ${args.join(' ')}, and touches nothing`, async (t) => {
    const { to, binDir } = place(t);
    const { status, stderr, stdout } = runInstaller([...args, ...to]);
    t.equal(status, 1);
    t.match(stderr, message);
    t.equal(stdout, '');
    t.strictSame(everythingIn(binDir), []);
  });
}

t.test('refuses to install a folder onto itself', { skip: noCompiler }, async (t) => {
  const { bin } = release(t, '1.0.0');
  const { status, stderr } = runInstaller(['--from', bin, '--bin-dir', `${bin}/../bin`, '--once']);
  t.equal(status, 1);
  t.match(stderr, `${bin} is where it would be installed from, and to`);
});

t.test('stays, and repairs what is removed or changed', { skip: noCompiler }, async (t) => {
  const { binDir, netDir, paths, to } = place(t);
  const { bin } = release(t, '1.0.0');
  const list = join(netDir, '40-all-three.conflist');
  const source = join(ROOT, 'conf/40-all-three.conflist');
  const resident = await startInstaller(t, ['--from', bin, '--net-list', source, ...to]);
  const [sum] = sums(join(bin, 'waymark'));
  const isWhole = () =>
    paths.every((path) => existsSync(path) && lstatSync(path).isFile() && sums(path)[0] === sum) &&
    existsSync(list) &&
    sums(list)[0] === sums(source)[0];
  const [command = '', plugin = ''] = paths;
  const damages: [what: string, repaired: string[], damage: () => void][] = [
    ['a removed file', [plugin], () => unlinkSync(plugin)],
    ['a removed list', [list], () => unlinkSync(list)],
    ['a changed list', [list], () => writeFileSync(list, '{}')],
    ['a replaced file', [plugin], () => replace(plugin, '#!/bin/sh\n')],
    [
      'a file that became another’s link',
      [command],
      () => {
        symlinkSync('/bin/true', join(netDir, '../link'));
        renameSync(join(netDir, '../link'), command);
      },
    ],
    ['a changed file, which all its links are', paths, () => writeFileSync(plugin, 'changed')],
    ['a changed mode', paths, () => chmodSync(plugin, 0o700)],
    [
      'all of them',
      [...paths, list],
      () => {
        for (const path of [...paths, list]) unlinkSync(path);
      },
    ],
  ];
  for (const [what, repaired, damage] of damages) {
    const before = resident.log().length;
    damage();
    await until(() => resident.log().length >= before + repaired.length, what, resident.stderr);
    const lines = resident.log().slice(before);
    t.strictSame(lines.map(({ path }) => path).sort(), repaired.toSorted(), what);
    t.ok(lines.every(({ level, msg }) => level === 'warn' && msg === 'repaired'));
    t.ok(isWhole(), `${what}: all is in place`);
  }
  rmSync(join(binDir, '.waymark'), { recursive: true });
  await until(() => existsSync(join(binDir, '.waymark/installed.json')), 'the record is back', resident.stderr);
  await until(() => resident.log().at(-1)?.msg === 'repaired the record', 'it is reported', resident.stderr);
  t.strictSame(everythingIn(binDir), INSTALLED);
  writeFileSync(join(binDir, 'bridge'), 'another’s');
  process.kill(resident.pid, 'SIGTERM');
  t.equal(await resident.ended, 0);
  t.equal(readFileSync(join(binDir, 'bridge'), 'utf8'), 'another’s');
});

t.test('is ready while all is in place, and says what is not', { skip: notRoot || noCompiler }, async (t) => {
  const { binDir, paths, to } = place(t);
  const { bin } = release(t, '1.0.0');
  const resident = await startInstaller(t, ['--from', bin, '--listen', '127.0.0.1:0', ...to]);
  const base = `http://${/^listening on (.*)$/m.exec(resident.stdout())?.[1]}`;
  const get = async (path: string) => {
    const response = await fetch(base + path);
    return `${response.status} ${await response.text()}`;
  };
  t.equal(await get('/healthz'), '200 ok\n');
  t.equal(await get('/readyz'), '200 ready\n');

  // A folder in its place cannot be repaired, and is reported once.
  unlinkSync(paths[1] ?? '');
  mkdirSync(paths[1] ?? '');
  await until(() => resident.log().length > 0, 'it is reported', resident.stderr);
  t.match(resident.log(), [{ level: 'error', msg: `${paths[1]} is a folder` }]);
  t.equal(await get('/readyz'), `503 ${paths[1]} is a folder\n`);
  t.equal(await get('/healthz'), '200 ok\n');
  rmSync(paths[1] ?? '', { recursive: true });
  await untilReady(async () => (await get('/readyz')) === '200 ready\n', 'it is not ready again');
  t.strictSame(sums(...paths), sums(join(bin, 'waymark')));
  t.strictSame(everythingIn(binDir), INSTALLED);
});

t.test('steps back when another version is installed, until its own is again', { skip: noCompiler }, async (t) => {
  const { paths, to } = place(t);
  const [older, newer] = [release(t, '1.0.0'), release(t, '2.0.0')];
  const first = await startInstaller(t, ['--from', older.bin, '--listen', '127.0.0.1:0', ...to]);
  const ready = `http://${/^listening on (.*)$/m.exec(first.stdout())?.[1]}/readyz`;
  const second = await startInstaller(t, ['--from', newer.bin, ...to]);
  await until(() => first.log().length > 0, 'it steps back', first.stderr);
  t.match(first.log(), [{ level: 'warn', msg: /^version 2\.0\.0 was installed in .* this one steps back$/ }]);
  t.equal((await fetch(ready)).status, 503);
  const inodes = paths.map(inodeOf);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  t.strictSame(paths.map(inodeOf), inodes, 'they do not fight');
  t.strictSame(second.log(), []);
  t.strictSame(sums(...paths), sums(join(newer.bin, 'waymark')));

  // The newer one repairs, and the older one does not stand in its way.
  unlinkSync(paths[2] ?? '');
  await until(() => second.log().length > 0, 'the newer one repairs', second.stderr);
  t.equal(first.log().length, 1);
  t.strictSame(sums(...paths), sums(join(newer.bin, 'waymark')));

  for (const { pid, ended } of [first, second]) {
    process.kill(pid, 'SIGTERM');
    t.equal(await ended, 0);
  }
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`ends on ${signal} at once, with 0 and every file in place`, { skip: noCompiler }, async (t) => {
    const { binDir, to } = place(t);
    const resident = await startInstaller(t, ['--from', release(t, '1.0.0').bin, '--listen', '127.0.0.1:0', ...to]);
    const port = /^listening on 127.0.0.1:(\d+)$/m.exec(resident.stdout())?.[1];
    // A client that says nothing does not hold it up.
    const client = connect(Number(port), '127.0.0.1');
    t.teardown(() => client.destroy());
    client.on('error', () => {});
    await once(client, 'connect');
    process.kill(resident.pid, signal);
    t.equal(await resident.ended, 0);
    t.equal(resident.stderr(), '');
    t.strictSame(everythingIn(binDir), INSTALLED);
  });
}

t.test('ends on SIGTERM as the first process of a container', { skip: noUnshare || noCompiler }, async (t) => {
  const { to } = place(t);
  const prefix = ['unshare', '--pid', '--fork', '--kill-child'];
  const resident = await startInstaller(t, ['--from', release(t, '1.0.0').bin, ...to], prefix);
  const child = readFileSync(`/proc/${resident.pid}/task/${resident.pid}/children`, 'utf8').trim();
  process.kill(Number(child), 'SIGTERM');
  t.equal(await resident.ended, 0);
});

t.test('interrupted while it installs, it leaves no half and no temporary file', { skip: noCompiler }, async (t) => {
  const { binDir, paths, to } = place(t);
  const older = release(t, '1.0.0');
  must(['--from', older.bin, '--once', ...to]);
  const slow = release(t, '2.0.0');
  for (const name of EXECUTABLES) replace(join(slow.bin, name), '#!/bin/sh\nexec sleep 20\n');
  for (const [once, status] of [
    ['--once', 1],
    [undefined, 0],
  ] as const) {
    const child = runCommand([...INSTALL, '--from', slow.bin, ...(once ? [once] : []), ...to], (pid) => {
      void until(() => everythingIn(binDir).some((name) => /staging-.*consistent-ifname/.test(name)), 'it stages').then(
        () => setTimeout(() => process.kill(pid, 'SIGTERM'), 100),
      );
    });
    const { code, error } = await child;
    t.equal(code, status);
    t.equal(error, once ? 'waymark: interrupted; nothing is half done\n' : '');
    t.strictSame(sums(...paths), sums(join(older.bin, 'waymark')));
    t.strictSame(everythingIn(binDir), INSTALLED);
  }
});

t.test('needs no capability, as root', { skip: notRoot || noCompiler || noSetpriv }, async (t) => {
  const { to, paths, binDir } = place(t);
  const prefix = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
  const [older, newer] = [release(t, '1.0.0'), release(t, '2.0.0')];
  for (const { bin } of [older, newer]) {
    const { status, stderr } = runInstaller(['--from', bin, '--once', ...to], prefix);
    t.equal(status, 0, stderr || 'installs');
    t.strictSame(sums(...paths), sums(join(bin, 'waymark')));
  }
  t.equal(runInstaller(['--uninstall', ...to], prefix).status, 0);
  t.strictSame(everythingIn(binDir), []);
});

const DIST = join(ROOT, 'dist/bin');
const noExecutable = existsSync(join(DIST, 'waymark')) ? false : 'needs dist/bin: the single-file executables';

t.test('the single-file executable installs itself and those beside it', { skip: noExecutable }, async (t) => {
  const { paths, binDir, to } = place(t);
  const install = (args: string[]) => runCommand([join(DIST, 'waymark'), 'install', ...args, ...to]);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const first = await install(['--once']);
  t.strictSame(first, { code: 0, error: '', output: paths.map((path) => `installed ${path} ${version}\n`).join('') });
  t.equal(new Set(paths.map(inodeOf)).size, 1);
  t.strictSame(sums(paths[0] ?? ''), sums(join(DIST, 'waymark')));
  const { code, output } = await runCall(join(binDir, 'static-route')).then(({ code, stdout }) => ({
    code,
    output: stdout,
  }));
  t.equal(code, 0);
  t.match(JSON.parse(output).supportedVersions, ['0.1.0']);
  t.match((await install(['--once'])).output, `unchanged ${paths[0]}`);
  t.equal((await install(['--uninstall'])).code, 0);
  t.strictSame(everythingIn(binDir), []);
});

const noShim = existsSync(join(ROOT, 'dist/shim/static-route')) ? noExecutable : 'needs dist/shim: the agent’s clients';

t.test('the single-file executable installs the agent’s clients', { skip: noShim }, async (t) => {
  const { paths, to } = place(t);
  const { code, error } = await runCommand([join(DIST, 'waymark'), 'install', '--mode', 'agent', '--once', ...to]);
  t.equal(code, 0, error || 'succeeds');
  const [command = '', ...plugins] = paths;
  t.strictSame(sums(command), sums(join(DIST, 'waymark')));
  t.strictSame(sums(...plugins), sums(join(ROOT, 'dist/shim/static-route')));
});
