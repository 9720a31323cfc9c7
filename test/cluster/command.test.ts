import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t from 'tap';
import { multusFolder } from '../../scripts/cluster/addons.ts';
import { ROOT } from '../../scripts/cluster/folder.ts';
import { missingForCluster } from '../../scripts/cluster/missing.ts';
import { end, finish, run, until } from '../../scripts/cluster/process.ts';

// `npm run cluster`, and what is left of a cluster.

const MAIN = join(import.meta.dirname, '../../scripts/cluster/main.ts');
const cluster = (...args: string[]) => [process.execPath, MAIN, ...args];
const optionsFor = (folder: string) => ({ env: { WAYMARK_CLUSTER: folder }, timeoutSeconds: 15 * 60 });
const [folder = '', other = ''] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'waymark-command-')));
const options = optionsFor(folder);

t.setTimeout(40 * 60_000);
t.teardown(() => [folder, other].map((folder) => run(cluster('down'), optionsFor(folder))));
const skip = missingForCluster();
const multus = multusFolder();
const noDemo = skip || ('missing' in multus && multus.missing);
// For the demo, while the first test runs.
const parts = noDemo ? [] : ['--multus', 'thick', '--waymark', 'agent'];
const otherStarts = skip ? undefined : finish(cluster('up', ...parts), optionsFor(other));

t.test('a cluster starts, answers kubectl, and ends; nothing of the machine has changed', { skip }, async (t) => {
  const before = machine();
  const { stdout: printed } = await finish(cluster('--nodes', '2'), options);
  t.match(printed, /([\d.]+) s {2}Kubernetes is ready, with 2 nodes/);
  t.comment(printed.split('\n')[0]);
  t.strictSame(
    run(cluster('kubectl', 'get', 'nodes', '-o', 'name'), options)
      .trim()
      .split('\n'),
    ['node/node-1', 'node/node-2'],
  );
  t.match(run(cluster('kubectl', 'version'), options), 'Server Version: v1.34');
  t.equal(end(cluster('up'), options).stderr, 'cluster: a cluster runs already: npm run cluster -- down\n');
  await untilEmpty('the machine is unchanged', () => difference(before, machine()));
  run(cluster('down'), options);
  await untilEmpty('nothing is left', () => [...remnants(folder), ...difference(before, machine())]);
  t.pass('the machine is as it was, while it ran and afterwards');
});

t.test('the demo prints what the README shows', { skip: noDemo }, async (t) => {
  t.match(await otherStarts, { status: 0 });
  const { status, stdout, stderr } = await finish(cluster('demo'), optionsFor(other));
  t.equal(status, 0, stderr);
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const shown = /npm run cluster -- demo\n```.*?```console\n(.*?)```/s.exec(readme)?.[1] ?? 'no example';
  // busybox ends lines with a blank, and a pod that is tried again has another address.
  const comparable = (text: string) => text.split('\n').map((line) => line.trimEnd().replace(/ src [\d.]+$/, ' src'));
  const printed = comparable(stdout);
  const missing = comparable(shown).filter((line) => !printed.includes(line));
  t.strictSame(missing, [], 'each line of it');
  if (missing.length > 0) t.comment(stdout);
});

t.test('a cluster whose first process is killed is gone as a whole', { skip }, async (t) => {
  t.match(await otherStarts, { status: 0 });
  t.not(remnants(other).length, 0, 'it is there');
  process.kill(Number(readFileSync(join(other, 'pid'), 'utf8')), 'SIGKILL');
  await untilEmpty('nothing is left', () => remnants(other));
  t.pass('nothing is left');
});

t.test('an argument that the command does not know is refused', async (t) => {
  for (const args of [
    ['--nodes', '0'],
    ['--multus', 'fat'],
    ['--waymark', 'none-such'],
  ]) {
    const { status, stderr } = end(cluster(...args), options);
    t.equal(status, 1);
    t.match(stderr, /^cluster: .*(0|fat|none-such)/);
  }
  t.equal(end(cluster('dance'), options).status, 2);
  t.equal(end(cluster('kubectl', 'get', 'pods'), options).stderr, 'cluster: no cluster runs: npm run cluster\n');
});

// Others may mount something for a moment. What a cluster mounts stays as long as it runs.
async function untilEmpty(what: string, lines: () => readonly string[]): Promise<void> {
  await until(what, () => {
    const left = lines();
    if (left.length > 0) throw new Error(left.join('\n'));
    return true;
  });
}

function difference(before: readonly string[], now: readonly string[]): string[] {
  return [
    ...now.filter((line) => !before.includes(line)).map((line) => `new: ${line}`),
    ...before.filter((line) => !line.startsWith('mount ') && !now.includes(line)).map((line) => `gone: ${line}`),
  ];
}

// What a cluster could change: links, routes, mounts and the kernel's parameters that the kubelet sets.
function machine(): string[] {
  const parameters = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'];
  return [
    ...run(['ip', '-o', 'link'])
      .replaceAll(/ state \w+| qlen \d+/g, '')
      .split('\n'),
    ...run(['ip', 'route']).split('\n'),
    // Other tests name network namespaces there.
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => !line.includes('/run/netns'))
      .map((line) => `mount ${line}`),
    ...parameters.map((name) => `${name} = ${readFileSync(`/proc/sys/${name}`, 'utf8').trim()}`),
  ];
}

// Its processes, by the folder in their arguments, its control groups and its files.
function remnants(folder: string): string[] {
  const name = basename(folder);
  const processes = readdirSync('/proc').filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(name)
      );
    } catch {
      return false;
    }
  });
  const groups = readdirSync('/sys/fs/cgroup').map((hierarchy) => join('/sys/fs/cgroup', hierarchy, name));
  return [...processes.map((pid) => `process ${pid}`), ...[...groups, folder].filter(existsSync)];
}
