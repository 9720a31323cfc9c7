import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { multusOn } from '../../../cli/doctor/multus.ts';

const list = (...types: string[]) => JSON.stringify({ plugins: types.map((type) => ({ type })) });

/** What a node with these files has of Multus. */
function nodeWith(
  t: Test,
  lists: { [name: string]: string },
  binaries: string[] = [],
  pods: { [pod: string]: { [container: string]: { [log: string]: string } } } = {},
) {
  const folder = t.testdir({
    net: lists,
    bin: Object.fromEntries(binaries.map((name) => [name, ''])),
    var: { log: { pods } },
  });
  return {
    path: (path: string) => join(folder, path),
    look: (daemons: number[] = []) =>
      multusOn({ netDir: '/net', binDir: '/bin', pathOf: (path) => join(folder, path) }, daemons),
  };
}

t.test('what it is shows in the lists, and whether it is there in the folder of executables', async (t) => {
  const cases: [lists: { [name: string]: string }, binaries: string[], expected: object][] = [
    [{}, [], { kind: undefined, isInList: false, isInstalled: false }],
    [{ a: list('bridge') }, ['bridge'], { kind: undefined, isInList: false, isInstalled: false }],
    [{ a: list('bridge'), b: list('multus') }, ['multus'], { kind: 'thin', isInList: true, isInstalled: true }],
    [{ a: list('multus-shim') }, ['multus-shim'], { kind: 'thick', isInList: true, isInstalled: true }],
    [{ a: list('multus', 'multus-shim') }, [], { kind: 'thick', isInList: true, isInstalled: false }],
    [{ a: list('multi-network') }, [], { kind: undefined, isInList: true, isInstalled: false }],
  ];
  for (const [lists, binaries, expected] of cases)
    t.match(nodeWith(t, lists, binaries).look(), { ...expected, hasDaemon: false, restarts: 0 }, JSON.stringify(lists));
});

t.test('the container that was started again most often counts, and when the one before it ended', async (t) => {
  const pods = {
    'kube-system_kube-multus-ds-x_uid': { 'kube-multus': { '0.log': '', '4.log': '', '5.log': '', 'x.log': '' } },
    'kube-system_multus-y_uid': { once: { '0.log': '' }, twice: { '2.log': '' } },
    multus_other_uid: { never: { '9.log': '' } },
  };
  const { path, look } = nodeWith(t, {}, [], pods);
  t.equal(look().restarts, 5);
  utimesSync(path('/var/log/pods/kube-system_kube-multus-ds-x_uid/kube-multus/4.log'), 1000, 1000);
  t.equal(look().lastEnd, 1_000_000);
  t.notOk('lastEnd' in nodeWith(t, {}, [], { a_multus_u: { c: { '2.log': '' } } }).look(), 'where its log is gone');
});

t.test(
  'a daemon that runs is the thick one, with the memory limit of its control group of either version',
  async (t) => {
    const { path, look } = nodeWith(t, {});
    t.match(look([process.pid]), { kind: 'thick', isInList: false, hasDaemon: true });
    t.equal(look([process.pid]).memoryLimit, undefined);
    // This process is the daemon.
    const groups = readFileSync('/proc/self/cgroup', 'utf8');
    const write = (file: string, text: string) => {
      mkdirSync(dirname(path(file)), { recursive: true });
      writeFileSync(path(file), text);
    };
    const [, first = ''] = /^\d+:memory:(.*)$/m.exec(groups) ?? [];
    write(`/sys/fs/cgroup/memory${first}/memory.limit_in_bytes`, '4096\n');
    t.equal(look([process.pid]).memoryLimit, 4096);
    t.equal(look().memoryLimit, undefined, 'of no other');
    const [, unified = ''] = /^0::(.*)$/m.exec(groups) ?? [];
    write(`/sys/fs/cgroup${unified}/memory.max`, '8192\n');
    t.equal(look([process.pid]).memoryLimit, 8192);
    write(`/sys/fs/cgroup${unified}/memory.max`, 'max\n');
    t.equal(look([process.pid]).memoryLimit, undefined, 'none');
  },
);
