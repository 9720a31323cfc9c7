import { createHash } from 'node:crypto';
import { chmodSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { installationIn } from '../../../cli/doctor/installation.ts';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';

const LARGEST_SHIM = 4 * 1024 * 1024;

/** A node's folder, `/bin` there, with executables of these sizes by their names. */
function folderOf(t: Test, sizes: { [name: string]: number }, record?: object): (path: string) => string {
  const folder = t.testdir({ bin: { '.waymark': {} } });
  for (const [name, size] of Object.entries(sizes)) {
    writeFileSync(join(folder, 'bin', name), name, { mode: 0o755 });
    if (size > 0) truncateSync(join(folder, 'bin', name), size);
  }
  chmodSync(join(folder, 'bin/.waymark'), 0o700);
  if (record !== undefined)
    writeFileSync(join(folder, 'bin/.waymark/installed.json'), JSON.stringify(record), { mode: 0o600 });
  return (path) => join(folder, path);
}

const modeWith = async (t: Test, ...sizes: number[]) => {
  const plugins = Object.fromEntries(PLUGIN_NAMES.slice(0, sizes.length).map((name, at) => [name, sizes[at] ?? 0]));
  return (await installationIn('/bin', folderOf(t, plugins))).mode;
};

t.test('the mode is by the sizes of what is there: a shim has 4 MiB at most', async (t) => {
  t.equal(await modeWith(t), undefined);
  t.equal(await modeWith(t, LARGEST_SHIM), 'agent');
  t.equal(await modeWith(t, LARGEST_SHIM + 1), 'standalone');
  t.equal(await modeWith(t, 0, LARGEST_SHIM), 'agent');
  t.equal(await modeWith(t, LARGEST_SHIM, LARGEST_SHIM + 1), 'mixed');
  t.equal(await modeWith(t, LARGEST_SHIM + 1, LARGEST_SHIM + 1), 'standalone');
});

t.test('an executable is as installed, changed, not recorded, not executable, or missing', async (t) => {
  const [recorded = '', changed = '', other = '', last = ''] = PLUGIN_NAMES;
  const sha256 = createHash('sha256').update(recorded).digest('hex');
  // During an update, what is replaced is recorded too.
  const files = [{ path: recorded, sha256: 'x' }, ...[recorded, changed].map((path) => ({ path, sha256 }))];
  const pathOf = folderOf(t, { [recorded]: 0, [changed]: 0, [other]: 0, [last]: 0 }, { version: '1.2.3', files });
  chmodSync(pathOf(`/bin/${last}`), 0o644);
  const { version, recordProblem, executables } = await installationIn('/bin', pathOf);
  t.strictSame([version, recordProblem], ['1.2.3', undefined]);
  t.strictSame(Object.fromEntries(executables.map(({ path, state }) => [path, state])), {
    '/bin/waymark': 'missing',
    [`/bin/${recorded}`]: 'as installed',
    [`/bin/${changed}`]: 'changed',
    [`/bin/${other}`]: 'not recorded',
    [`/bin/${last}`]: 'not executable',
  });
});

t.test('a record that cannot be read is a problem, none is not', async (t) => {
  const pathOf = folderOf(t, {});
  t.strictSame((await installationIn('/bin', pathOf)).recordProblem, undefined);
  writeFileSync(pathOf('/bin/.waymark/installed.json'), 'nonsense');
  t.match((await installationIn('/bin', pathOf)).recordProblem, /installed\.json is damaged/);
});
