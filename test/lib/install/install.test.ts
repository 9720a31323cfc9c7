import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Hashes } from '../../../lib/install/hashes.ts';
import { type Guard, type Installed, install } from '../../../lib/install/install.ts';
import { type InstallMode, planExecutables, planLists } from '../../../lib/install/plan.ts';
import { readSources } from '../../../lib/install/wanted.ts';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { everythingIn, INSTALLED, inodeOf, sums } from '../../support/build/installer.ts';
import { EXECUTABLES, noCompiler, type Release, release } from '../../support/build/releases.ts';
import { run, scratchFolder } from '../../support/namespaces/namespace.ts';

const LIST = { cniVersion: '1.1.0', name: 'green', plugins: [{ type: 'bridge' }] };

type Place = {
  readonly binDir: string;
  readonly netDir: string;
  readonly paths: readonly string[];
  install(from: Release, options?: { mode?: InstallMode; lists?: string[]; guard?: Guard }): Promise<Installed>;
};

function place(t: Test): Place {
  const folder = scratchFolder(t);
  const [binDir, netDir] = [join(folder, 'bin'), join(folder, 'net.d')];
  for (const made of [binDir, netDir]) mkdirSync(made);
  return {
    binDir,
    netDir,
    paths: EXECUTABLES.map((name) => join(binDir, name)),
    install: async ({ bin }, { mode = 'standalone', lists = [], guard } = {}) => {
      const hashes = new Hashes();
      const wanted = await readSources(
        planExecutables(PLUGIN_NAMES, bin, binDir, mode),
        planLists(lists, netDir),
        hashes,
      );
      const { signal } = new AbortController();
      return install({ binDir, wanted, hashes, signal }, guard);
    },
  };
}

function listFile(t: Test, name: string, content: object | string = LIST): string {
  const path = join(scratchFolder(t), name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

t.test('installs hard links of one file, mode 0755, and leaves nothing else', { skip: noCompiler }, async (t) => {
  const umask = process.umask(0o077);
  t.teardown(() => process.umask(umask));
  const { binDir, paths, ...there } = place(t);
  const first = release(t, '1.0.0');
  t.strictSame(await there.install(first), { version: '1.0.0', replaced: paths });
  t.strictSame(sums(...paths), sums(join(first.bin, 'waymark')));
  t.equal(new Set(paths.map(inodeOf)).size, 1);
  t.equal(lstatSync(paths[0] ?? '').mode & 0o7777, 0o755);
  t.equal(lstatSync(join(binDir, '.waymark')).mode & 0o7777, 0o700);
  t.strictSame(everythingIn(binDir), INSTALLED);
});

t.test('a second run replaces nothing, also by a release of the same content', { skip: noCompiler }, async (t) => {
  const { binDir, paths, ...there } = place(t);
  await there.install(release(t, '1.0.0'));
  const before = paths.map((path) => lstatSync(path, { bigint: true }));
  const changedAt = () => lstatSync(join(binDir, '.waymark'), { bigint: true }).mtimeNs;
  const ownBefore = changedAt();
  t.strictSame(await there.install(release(t, '1.0.0')), { version: '1.0.0', replaced: [] });
  t.strictSame(
    paths.map((path) => lstatSync(path, { bigint: true })),
    before,
  );
  t.equal(changedAt(), ownBefore, 'and stages nothing');
});

t.test('goes up and down between versions', { skip: noCompiler }, async (t) => {
  const { binDir, paths, ...there } = place(t);
  const [older, newer] = [release(t, '1.0.0'), release(t, '2.0.0')];
  for (const { bin } of [older, newer, older]) {
    await there.install({ bin, shim: '' });
    t.strictSame(sums(...paths), sums(join(bin, 'waymark')));
  }
  t.strictSame(everythingIn(binDir), INSTALLED);
});

t.test('one that is missing becomes a link of those in place, without a copy', { skip: noCompiler }, async (t) => {
  const { paths, ...there } = place(t);
  const first = release(t, '1.0.0');
  await there.install(first);
  const inode = inodeOf(paths[0] ?? '');
  unlinkSync(paths[2] ?? '');
  t.strictSame((await there.install(first)).replaced, [paths[2]]);
  t.strictSame([...new Set(paths.map(inodeOf))], [inode]);
});

t.test('for the agent, the plugins are its clients and the command is not', { skip: noCompiler }, async (t) => {
  const { paths, ...there } = place(t);
  const [command = '', ...plugins] = paths;
  const first = release(t, '1.0.0');
  await there.install(first);
  t.strictSame((await there.install(first, { mode: 'agent' })).replaced, plugins);
  t.strictSame(sums(command), sums(join(first.bin, 'waymark')));
  t.strictSame(sums(...plugins), sums(join(first.shim, 'static-route')));
  t.equal(new Set(plugins.map(inodeOf)).size, 1);
  t.match(run(plugins[0] ?? '', []), /"release":"1\.0\.0 shim"/);
  await there.install(first);
  t.equal(new Set(paths.map((path) => sums(path)[0])).size, 1);
});

const REPLACED: [what: string, put: (path: string, elsewhere: string) => void][] = [
  ['a symbolic link', (path, elsewhere) => symlinkSync(elsewhere, path)],
  ['a link to nothing', (path) => symlinkSync('/nowhere', path)],
  ['another file', (path) => writeFileSync(path, 'other', { mode: 0o755 })],
  ['a FIFO', (path) => run('mkfifo', [path])],
];

for (const [what, put] of REPLACED) {
  t.test(`${what} in its place is replaced, and never followed`, { skip: noCompiler }, async (t) => {
    const { paths, ...there } = place(t);
    const elsewhere = join(scratchFolder(t), 'elsewhere');
    writeFileSync(elsewhere, 'untouched');
    const path = paths[1] ?? '';
    put(path, elsewhere);
    const first = release(t, '1.0.0');
    await there.install(first);
    t.ok(lstatSync(path).isFile());
    t.strictSame(sums(path), sums(join(first.bin, 'waymark')));
    t.equal(readFileSync(elsewhere, 'utf8'), 'untouched');
  });
}

t.test('a file with another mode is replaced, though its content is right', { skip: noCompiler }, async (t) => {
  const { paths, ...there } = place(t);
  const first = release(t, '1.0.0');
  await there.install(first);
  chmodSync(paths[0] ?? '', 0o777);
  t.strictSame((await there.install(first)).replaced, paths);
  t.equal(lstatSync(paths[3] ?? '').mode & 0o7777, 0o755);
});

t.test(
  'installs lists with mode 0600, after the executables, and replaces changed ones',
  { skip: noCompiler },
  async (t) => {
    const { paths, netDir, ...there } = place(t);
    const first = release(t, '1.0.0');
    const lists = [listFile(t, '10-green.conflist'), listFile(t, '20-old.conf', { name: 'old', type: 'bridge' })];
    const targets = ['10-green.conflist', '20-old.conf'].map((name) => join(netDir, name));
    t.strictSame((await there.install(first, { lists })).replaced, [...paths, ...targets]);
    t.equal(lstatSync(targets[0] ?? '').mode & 0o7777, 0o600);
    t.strictSame(JSON.parse(readFileSync(targets[0] ?? '', 'utf8')), LIST);
    t.strictSame(everythingIn(netDir), ['10-green.conflist', '20-old.conf']);
    writeFileSync(targets[0] ?? '', '{}');
    t.strictSame((await there.install(first, { lists })).replaced, [targets[0]]);
    t.strictSame((await there.install(first, { lists })).replaced, []);
  },
);

t.test('a list is text for text the one that was given', { skip: noCompiler }, async (t) => {
  const { netDir, ...there } = place(t);
  const source = listFile(t, 'a.conflist', ` ${JSON.stringify(LIST)}\r\n\n`);
  await there.install(release(t, '1.0.0'), { lists: [source] });
  t.strictSame(sums(join(netDir, 'a.conflist')), sums(source));
});

t.test('refuses a wrong list before anything is touched', { skip: noCompiler }, async (t) => {
  const { binDir, netDir, ...there } = place(t);
  const first = release(t, '1.0.0');
  for (const [content, message] of [
    ['{', /a\.conflist cannot be read/],
    ['[]', /must be a JSON object/],
    [{ name: 'a' }, /the list has no plugins/],
    [{ plugins: [{ type: 'bridge' }] }, /has no "name"/],
    [{ name: 'a', plugins: [{}] }, /has no "type"/],
  ] as const) {
    await t.rejects(there.install(first, { lists: [listFile(t, 'a.conflist', content)] }), { message });
  }
  t.strictSame([...everythingIn(binDir), ...everythingIn(netDir)], []);
});

const BAD_SOURCES: [what: string, spoil: (bin: string) => void, message: RegExp][] = [
  ['has no plugin', (bin) => unlinkSync(join(bin, 'seamless-gateway')), /seamless-gateway cannot be installed: ENOENT/],
  ['is missing', (bin) => rmSync(bin, { recursive: true }), /waymark cannot be installed: ENOENT/],
  [
    'has a folder instead of a plugin',
    (bin) => {
      unlinkSync(join(bin, 'static-route'));
      mkdirSync(join(bin, 'static-route'));
    },
    /static-route is not a file/,
  ],
  [
    'has an empty plugin',
    (bin) => {
      writeFileSync(join(bin, 'empty'), '');
      renameSync(join(bin, 'empty'), join(bin, 'consistent-ifname'));
    },
    /consistent-ifname does not work/,
  ],
  [
    'has half a plugin',
    (bin) => {
      writeFileSync(join(bin, 'half'), readFileSync(join(bin, 'waymark')).subarray(0, 5000));
      renameSync(join(bin, 'half'), join(bin, 'consistent-ifname'));
    },
    /consistent-ifname does not work/,
  ],
];

for (const [what, spoil, message] of BAD_SOURCES) {
  t.test(`the old files stay, all of them, when the source ${what}`, { skip: noCompiler }, async (t) => {
    const { binDir, paths, ...there } = place(t);
    await there.install(release(t, '1.0.0'));
    const before = paths.map((path) => lstatSync(path, { bigint: true }));
    const record = readFileSync(join(binDir, '.waymark/installed.json'));
    const next = release(t, '2.0.0');
    spoil(next.bin);
    await t.rejects(there.install(next), { name: 'InstallError', message });
    t.strictSame(
      paths.map((path) => lstatSync(path, { bigint: true })),
      before,
    );
    t.strictSame(readFileSync(join(binDir, '.waymark/installed.json')), record);
    t.strictSame(everythingIn(binDir), INSTALLED);
  });
}

t.test('the old files stay when a new one does not answer VERSION as it should', { skip: noCompiler }, async (t) => {
  const { binDir, paths, ...there } = place(t);
  const old = release(t, '1.0.0');
  await there.install(old);
  const broken = release(t, '2.0.0', { answer: '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' });
  await t.rejects(there.install(broken), { name: 'InstallError', message: /static-route does not work/ });
  await t.rejects(there.install(release(t, '2.0.0', { exitCode: 1 }), { mode: 'agent' }), { name: 'InstallError' });
  t.strictSame(sums(...paths), sums(join(old.bin, 'waymark')));
  t.strictSame(everythingIn(binDir), INSTALLED);
});

t.test('removes what a killed installer has left', { skip: noCompiler }, async (t) => {
  const { binDir, netDir, ...there } = place(t);
  const lists = [listFile(t, 'a.conflist')];
  mkdirSync(join(binDir, '.waymark/staging-abcdef'), { recursive: true, mode: 0o700 });
  writeFileSync(join(binDir, '.waymark/staging-abcdef/waymark'), 'half');
  writeFileSync(join(binDir, '.waymark/.installed.json.tmp'), '{');
  writeFileSync(join(netDir, '.a.conflist.tmp'), '{');
  mkdirSync(join(binDir, '.waymark/build-1'));
  await there.install(release(t, '1.0.0'), { lists });
  t.strictSame(everythingIn(binDir), [...INSTALLED, '.waymark/build-1'].sort());
  t.strictSame(everythingIn(netDir), ['a.conflist']);
});

t.test('begins again when another installer removed its staging folder', { skip: noCompiler }, async (t) => {
  const { binDir, paths, ...there } = place(t);
  let calls = 0;
  const guard = () => {
    calls++;
    if (calls === 1) run('sh', ['-c', `rm -r ${binDir}/.waymark/staging-*`]);
  };
  const next = release(t, '1.0.0');
  await there.install(next, { guard });
  t.equal(calls, 2);
  t.strictSame(sums(...paths), sums(join(next.bin, 'waymark')));
});

t.test('gives up the third time that its staging folder is removed', { skip: noCompiler }, async (t) => {
  const { binDir, ...there } = place(t);
  let calls = 0;
  const guard = () => {
    calls++;
    run('sh', ['-c', `rm -r ${binDir}/.waymark/staging-*`]);
  };
  await t.rejects(there.install(release(t, '1.0.0'), { guard }), { code: 'ENOENT' });
  t.equal(calls, 3);
});

t.test('what fails in the middle is recorded as it was and as it was to be', { skip: noCompiler }, async (t) => {
  const { binDir, netDir, paths, ...there } = place(t);
  const recorded = () => {
    const { files } = JSON.parse(readFileSync(join(binDir, '.waymark/installed.json'), 'utf8'));
    return files.map(({ path, sha256 }: { path: string; sha256: string }) => `${join(binDir, path)} ${sha256}`);
  };
  const [old, next] = [release(t, '1.0.0'), release(t, '2.0.0')];
  await there.install(old);
  const list = listFile(t, 'a.conflist');
  const target = join(netDir, 'a.conflist');
  const inTheWay = (path: string) => () => {
    rmSync(path, { force: true });
    mkdirSync(join(path, 'x'), { recursive: true });
  };
  await t.rejects(there.install(old, { lists: [list], guard: inTheWay(target) }), { name: 'FileError' });
  t.ok(recorded().includes(`${target} ${sums(list)}`), 'a list alone');
  rmSync(target, { recursive: true });
  const failing = there.install(next, { lists: [list], guard: inTheWay(paths[1] ?? '') });
  await t.rejects(failing, { code: /EISDIR|ENOTEMPTY|EEXIST/ });
  const sumOf = ({ bin }: Release) => sums(join(bin, 'waymark'))[0];
  for (const path of paths) for (const each of [old, next]) t.ok(recorded().includes(`${path} ${sumOf(each)}`), path);
});

t.test(
  'a file that is not as it was put there, as on some file systems, is an error',
  { skip: noCompiler },
  async (t) => {
    const { binDir, netDir } = place(t);
    const hashes = new Hashes();
    const lists = planLists([listFile(t, 'a.conflist')], netDir);
    const wanted = await readSources(planExecutables([], release(t, '1.0.0').bin, binDir, 'standalone'), lists, hashes);
    // Lists are written with mode 0600.
    const other = { ...wanted, lists: wanted.lists.map((file) => ({ ...file, mode: 0o644 })) };
    const { signal } = new AbortController();
    await t.rejects(install({ binDir, wanted: other, hashes, signal }), {
      name: 'InstallError',
      message: `${join(netDir, 'a.conflist')} was replaced, but still differs from what was installed`,
    });
  },
);

t.test('a guard’s refusal leaves everything as it was', { skip: noCompiler }, async (t) => {
  const { binDir, ...there } = place(t);
  const guard = () => {
    throw new Error('not now');
  };
  await t.rejects(there.install(release(t, '1.0.0'), { guard }), { message: 'not now' });
  t.strictSame(everythingIn(binDir), ['.waymark']);
});

t.test('refuses a folder that is not there, and a folder in the place of a file', { skip: noCompiler }, async (t) => {
  const { binDir, netDir, paths, ...there } = place(t);
  const first = release(t, '1.0.0');
  mkdirSync(paths[3] ?? '');
  await t.rejects(there.install(first), { name: 'InstallError', message: `${paths[3]} is a folder` });
  t.strictSame(everythingIn(binDir), ['consistent-ifname']);
  rmSync(netDir, { recursive: true });
  rmSync(paths[3] ?? '', { recursive: true });
  const lists = [listFile(t, 'a.conflist')];
  await t.rejects(there.install(first, { lists }), { message: `${netDir} does not exist` });
  rmSync(binDir, { recursive: true });
  await t.rejects(there.install(first), { message: `${binDir} does not exist` });
});

t.test('refuses an own folder that is a link, or that others can write to', { skip: noCompiler }, async (t) => {
  const { binDir, ...there } = place(t);
  const elsewhere = scratchFolder(t);
  symlinkSync(elsewhere, join(binDir, '.waymark'));
  const first = release(t, '1.0.0');
  await t.rejects(there.install(first), { name: 'FileError', message: /symbolic links are refused/ });
  unlinkSync(join(binDir, '.waymark'));
  mkdirSync(join(binDir, '.waymark'));
  chmodSync(join(binDir, '.waymark'), 0o777);
  await t.rejects(there.install(first), { name: 'FileError', message: /writable by other users/ });
  t.strictSame(everythingIn(binDir), ['.waymark']);
  t.strictSame(everythingIn(elsewhere), []);
});

t.test('a copy that was never recorded counts as installed', { skip: noCompiler }, async (t) => {
  const { binDir, paths, ...there } = place(t);
  const first = release(t, '1.0.0');
  for (const name of ['waymark', ...PLUGIN_NAMES]) run('cp', [join(first.bin, name), binDir]);
  t.strictSame((await there.install(first)).replaced, []);
  const { files } = JSON.parse(readFileSync(join(binDir, '.waymark/installed.json'), 'utf8'));
  t.strictSame(
    files.map(({ sha256 }: { sha256: string }) => sha256),
    paths.flatMap((path) => sums(path)),
  );
});
