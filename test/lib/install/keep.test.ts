import { EventEmitter, once } from 'node:events';
import * as fs from 'node:fs';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { createLog } from '../../../lib/cni/log.ts';
import { Hashes } from '../../../lib/install/hashes.ts';
import { install } from '../../../lib/install/install.ts';
import { keepInstalled, type Readiness } from '../../../lib/install/keep.ts';
import { planExecutables } from '../../../lib/install/plan.ts';
import { writeRecord } from '../../../lib/install/record.ts';
import { readSources } from '../../../lib/install/wanted.ts';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { sums, until } from '../../support/build/installer.ts';
import { EXECUTABLES, noCompiler, release } from '../../support/build/releases.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

const CHECK_EVERY_MS = 500;

// What a resident installer does is in test/cli/install.test.ts; here is what takes a shorter period to see.
async function keeping(t: Test, binDir: string) {
  const { bin } = release(t, '1.0.0');
  const hashes = new Hashes();
  const stop = new AbortController();
  const wanted = await readSources(planExecutables(PLUGIN_NAMES, bin, binDir, 'standalone'), [], hashes);
  const installation = { binDir, wanted, hashes, signal: stop.signal };
  await install(installation);
  const readiness: Readiness = { problem: 'not checked yet' };
  const lines: string[] = [];
  const log = createLog({ level: 'info', file: undefined, stderr: (line) => lines.push(line) }, {});
  const kept = keepInstalled(installation, readiness, log, CHECK_EVERY_MS);
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  await until(() => readiness.problem === undefined, 'it is checked');
  const [sum] = sums(join(bin, 'waymark'));
  return { readiness, lines, isWhole: (folder: string) => hasAll(folder, sum) };
}

function hasAll(folder: string, sum: string | undefined): boolean {
  try {
    return EXECUTABLES.every((name) => sums(join(folder, name))[0] === sum);
  } catch {
    return false;
  }
}

t.test(
  'sees by the time what the kernel does not tell: another folder by the same path',
  { skip: noCompiler },
  async (t) => {
    const folder = scratchFolder(t);
    const [one, other, binDir] = ['one', 'other', 'bin'].map((name) => join(folder, name)) as [string, string, string];
    mkdirSync(one);
    mkdirSync(other);
    symlinkSync(one, binDir);
    const { isWhole, lines } = await keeping(t, binDir);
    t.ok(isWhole(one));
    await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS / 2));
    symlinkSync(other, `${binDir}.new`);
    renameSync(`${binDir}.new`, binDir);
    await until(
      () => isWhole(other),
      'it is repaired',
      () => lines.join(''),
    );
    // And that one is watched now.
    unlinkSync(join(other, 'waymark'));
    await until(() => isWhole(other), 'it is repaired again');
  },
);

t.test('a watch that fails is a reason to look again, and one that cannot be had is told on request', async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  mkdirSync(join(binDir, '.waymark'), { recursive: true, mode: 0o700 });
  writeRecord(binDir, { version: '1.0.0', files: [] });
  const stop = new AbortController();
  const [open, waits]: [Set<number>, number[]] = [new Set(), []];
  let watches = 0;
  const watch = () => {
    const number = ++watches;
    if (number === 3) throw new Error('ENOSPC');
    open.add(number);
    const watcher = Object.assign(new EventEmitter(), { close: () => open.delete(number) });
    // Once somebody waits for it.
    setImmediate(() => watcher.emit('error', new Error('EIO')));
    return watcher as unknown as fs.FSWatcher;
  };
  // What comes close together is handled together; the second time without a watch, time goes by.
  const setTimeout = async (ms: number, _: undefined, { signal }: { signal: AbortSignal }) => {
    waits.push(ms);
    if (ms === CHECK_EVERY_MS && watches < 3 && !signal.aborted) await once(signal, 'abort');
    if (watches === 3) stop.abort();
  };
  const { keepInstalled: keep } = await t.mockImport<typeof import('../../../lib/install/keep.ts')>(
    '../../../lib/install/keep.ts',
    { 'node:fs': { ...fs, watch }, 'node:timers/promises': { setTimeout } },
  );
  const lines: string[] = [];
  const log = createLog({ level: 'debug', file: undefined, stderr: (line) => lines.push(line) }, {});
  const installation = {
    binDir,
    wanted: { executables: [], lists: [] },
    hashes: new Hashes(),
    signal: stop.signal,
  };
  await keep(installation, { problem: undefined }, log, CHECK_EVERY_MS);
  t.strictSame(waits, [CHECK_EVERY_MS, 100, CHECK_EVERY_MS, 100, CHECK_EVERY_MS, 100]);
  t.strictSame([watches, [...open]], [3, []]);
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ level: 'debug', msg: `${binDir} cannot be watched: ENOSPC` }],
  );
  t.equal(lines.length, 1);
});

t.test('what fails because it is ended is no problem to tell', async (t) => {
  const stop = new AbortController();
  const lines: string[] = [];
  const log = createLog({ level: 'info', file: undefined, stderr: (line) => lines.push(line) }, {});
  const readiness: Readiness = { problem: 'not checked yet' };
  const hashes = {
    of: async () => {
      stop.abort();
      throw new Error('ended');
    },
  } as unknown as Hashes;
  const path = join(scratchFolder(t), 'a');
  writeFileSync(path, '');
  chmodSync(path, 0o755);
  const executable = { name: 'a', source: path, path, sha256: '', mode: 0o755 };
  const wanted = { executables: [executable], lists: [] };
  await keepInstalled({ binDir: dirname(path), wanted, hashes, signal: stop.signal }, readiness, log);
  t.strictSame([lines, readiness], [[], { problem: 'not checked yet' }]);
});

t.test('steps back from what another installer has put there, and tells it once', { skip: noCompiler }, async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  mkdirSync(binDir);
  const { lines, readiness } = await keeping(t, binDir);
  writeRecord(binDir, { version: '9.9.9', files: [{ path: join(binDir, 'waymark'), sha256: 'f'.repeat(64) }] });
  rmSync(join(binDir, 'waymark'));
  const problem = `version 9.9.9 was installed in ${binDir} by another installer; this one steps back`;
  await until(() => readiness.problem === problem, 'it steps back');
  await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS + 100));
  t.notOk(existsSync(join(binDir, 'waymark')));
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ level: 'warn', msg: problem }],
  );
  t.equal(lines.length, 1);
});

t.test('a record that is lost is written again', { skip: noCompiler }, async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  mkdirSync(binDir);
  const { lines, readiness } = await keeping(t, binDir);
  rmSync(join(binDir, '.waymark/installed.json'));
  await until(
    () => existsSync(join(binDir, '.waymark/installed.json')) && readiness.problem === undefined,
    'it is there',
  );
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ level: 'warn', msg: 'repaired the record' }],
  );
  t.equal(lines.length, 1);
});

t.test('tells once what it cannot repair, tries again, and is ready when it could', { skip: noCompiler }, async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  mkdirSync(binDir);
  const { isWhole, lines, readiness } = await keeping(t, binDir);
  rmSync(binDir, { recursive: true });
  await until(() => readiness.problem === `${binDir} does not exist`, 'it is reported');
  await new Promise((resolve) => setTimeout(resolve, 3 * CHECK_EVERY_MS));
  t.equal(lines.length, 1);
  mkdirSync(binDir);
  await until(
    () => isWhole(binDir),
    'it is repaired',
    () => lines.join(''),
  );
  await until(() => readiness.problem === undefined, 'it is ready');
});
