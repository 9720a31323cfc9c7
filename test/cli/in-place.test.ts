import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bringInPlace, type InPlaceOptions } from '../../cli/in-place.ts';
import { createLog } from '../../lib/cni/log.ts';
import { FRONT_LIST } from '../../lib/install/cluster-list.ts';
import { place } from '../support/build/installer.ts';
import { EXECUTABLES, noCompiler, release } from '../support/build/releases.ts';
import { until } from '../support/until.ts';

// What comes to be in place, in this process. The command and the agent around it: install.test.ts, agent-installs.test.ts.

const CLUSTER_LIST = '10-cluster.conflist';

function installer(t: Test, more: Partial<InPlaceOptions> = {}) {
  const { binDir, netDir } = place(t);
  const { bin } = release(t, '1.0.0');
  const options = { from: bin, binDir, mode: 'standalone', netList: [], netDir, ...more } as const;
  const readiness: { problem: string | undefined } = { problem: 'nothing yet' };
  const said: string[] = [];
  const logged: string[] = [];
  const log = createLog({ level: 'info', file: undefined, stderr: (line) => logged.push(JSON.parse(line).msg) }, {});
  const stopping = new AbortController();
  const begin = (now: InPlaceOptions = options) => {
    const ended = bringInPlace(now, stopping.signal, { readiness, say: (line) => said.push(line), log });
    const stop = () => {
      stopping.abort();
      return ended;
    };
    t.teardown(() => stop().catch(() => undefined));
    return { ended, stop };
  };
  const defineCluster = (name = CLUSTER_LIST) =>
    writeFileSync(
      join(netDir, name),
      JSON.stringify({ cniVersion: '1.0.0', name: 'cluster', plugins: [{ type: 'bridge' }] }),
    );
  const network = () => JSON.parse(readFileSync(join(netDir, FRONT_LIST), 'utf8')).plugins[0].clusterNetwork;
  return { ...{ options, from: bin, binDir, netDir, readiness, said, logged, begin, defineCluster, network } };
}

t.test('with `once`, what it did is said, and nothing is watched', { skip: noCompiler }, async (t) => {
  const { options, from, binDir, netDir, readiness, said, begin } = installer(t);
  const list = join(from, '..', '20-mine.conflist');
  writeFileSync(list, JSON.stringify({ cniVersion: '1.0.0', name: 'mine', plugins: [{ type: 'bridge' }] }));
  const now = { ...options, netList: [list], once: true };
  const lines = (what: string) => [
    ...EXECUTABLES.map((name) => `${what} ${join(binDir, name)} 1.0.0`),
    `${what} ${join(netDir, '20-mine.conflist')}`,
  ];
  await begin(now).ended;
  t.strictSame(said.splice(0), lines('installed'));
  await begin(now).ended;
  t.strictSame(said, lines('unchanged'));
  t.equal(readiness.problem, 'nothing yet', 'nobody asks any more');
});

t.test('what is in place is kept there until it is told to stop', { skip: noCompiler }, async (t) => {
  const { binDir, readiness, said, logged, begin } = installer(t);
  const { stop } = begin();
  await until(() => said.includes(`watching ${binDir}`));
  t.equal(readiness.problem, undefined);
  t.strictSame(said.length, EXECUTABLES.length + 1);
  rmSync(join(binDir, 'static-route'));
  await until(() => logged.includes('repaired'));
  t.strictSame(readdirSync(binDir).sort(), ['.waymark', ...EXECUTABLES].sort());
  await stop();
});

t.test(
  'a list of ours stands in front of the cluster’s, follows it and goes with it',
  { skip: noCompiler },
  async (t) => {
    const { options, netDir, readiness, said, begin, defineCluster, network } = installer(t, {
      mode: 'multi-network',
      nodeNetDir: '/etc/cni/net.d',
    });
    // As one that was killed has left it.
    writeFileSync(join(netDir, FRONT_LIST), '{}');
    const { stop } = begin();
    await until(() => said.includes(`waiting for a network list in ${netDir}`));
    t.strictSame(readdirSync(netDir), [], 'without the cluster’s network there is none');
    t.equal(readiness.problem, `${netDir} has no network list of the cluster's yet`);
    t.ok(existsSync(join(options.binDir, 'multi-network')), 'the executables are there before');
    defineCluster();
    await until(() => readiness.problem === undefined);
    t.equal(network(), `/etc/cni/net.d/${CLUSTER_LIST}`);
    defineCluster('05-other.conflist');
    await until(() => network() === '/etc/cni/net.d/05-other.conflist');
    rmSync(join(netDir, '05-other.conflist'));
    rmSync(join(netDir, CLUSTER_LIST));
    await until(() => readiness.problem?.includes('no network list') === true);
    t.strictSame(readdirSync(netDir), []);
    await stop();
  },
);

t.test(
  'once in front: at once, in the place of a list of that name, or not at all',
  { skip: noCompiler },
  async (t) => {
    const { options, from, netDir, begin, defineCluster, network } = installer(t, {
      mode: 'multi-network',
      once: true,
    });
    await t.rejects(begin().ended, {
      name: 'InstallError',
      message: `${netDir} has no network list of the cluster's to stand in front of`,
    });
    t.strictSame(readdirSync(options.binDir), [], 'nothing is installed then');
    defineCluster();
    await begin().ended;
    t.equal(network(), join(netDir, CLUSTER_LIST), 'as the node calls it, which is as we do');
    const given = join(from, '..', FRONT_LIST);
    writeFileSync(given, JSON.stringify({ cniVersion: '1.0.0', name: 'mine', plugins: [{ type: 'bridge' }] }));
    await begin({ ...options, netList: [given] }).ended;
    t.equal(network(), join(netDir, CLUSTER_LIST));
    await t.rejects(begin({ ...options, binDir: join(options.binDir, 'absent') }).ended, {
      message: /does not exist$/,
    });
  },
);

t.test('what fails at first is thrown; later it is logged and tried again', { skip: noCompiler }, async (t) => {
  const { options, binDir, netDir, readiness, said, logged, begin, defineCluster } = installer(t, {
    mode: 'multi-network',
  });
  const absent = { message: `${binDir} does not exist` };
  rmSync(binDir, { recursive: true });
  await t.rejects(begin().ended, absent, 'without a list of the cluster’s');
  defineCluster();
  await t.rejects(begin().ended, absent, 'with one');
  mkdirSync(binDir);
  const { stop } = begin();
  await until(() => said.includes(`watching ${binDir}`));
  // Our list cannot be taken away with the cluster's.
  const front = join(netDir, FRONT_LIST);
  rmSync(front);
  mkdirSync(front);
  rmSync(join(netDir, CLUSTER_LIST));
  const complaints = () => logged.filter((line) => line.startsWith(`${front}: cannot be removed`));
  await until(() => complaints().length > 0);
  rmdirSync(front);
  await until(() => readiness.problem?.includes('no network list') === true);
  t.equal(complaints().length, 1);
  t.ok(existsSync(join(options.binDir, 'multi-network')));
  await stop();
});

t.test('nothing is installed from where it goes, or from nowhere', { skip: noCompiler }, async (t) => {
  const { options, from, binDir, begin } = installer(t);
  symlinkSync(binDir, join(from, '../same'));
  for (const same of [binDir, join(from, '../same')])
    await t.rejects(begin({ ...options, from: same }).ended, {
      name: 'InstallError',
      message: `${binDir} is where it would be installed from, and to`,
    });
  await t.rejects(begin({ ...options, from: '/nowhere' }).ended, {
    message: /^\/nowhere\/waymark cannot be installed/,
  });
  await t.rejects(begin({ ...options, from: undefined }).ended, {
    message: 'this is not the single-file executable: name the folder to install from by --from',
  });
});

t.test('the single-file executable installs those beside it', async (t) => {
  const { bringInPlace: inSingle } = await t.mockImport<typeof import('../../cli/in-place.ts')>(
    '../../cli/in-place.ts',
    {
      'node:sea': { isSea: () => true },
    },
  );
  const { binDir, netDir } = place(t);
  const log = createLog({ level: 'info', file: undefined, stderr: () => undefined }, {});
  const around = { readiness: { problem: undefined }, say: () => undefined, log };
  const options = { binDir, netDir, mode: 'standalone', netList: [] } as const;
  const own = join(process.execPath, '..');
  // Node.js itself, beside which there is no executable of ours.
  await t.rejects(inSingle(options, new AbortController().signal, around), {
    message: new RegExp(`^${own}/waymark cannot be installed: ENOENT`),
  });
});

t.test(
  'a list that would fail every pod is refused, and one that is not there is told',
  { skip: noCompiler },
  async (t) => {
    const { options, from, binDir, begin } = installer(t, { once: true });
    const list = join(from, '..', '20-wrong.conflist');
    await t.rejects(begin({ ...options, netList: [list] }).ended, { message: /20-wrong\.conflist cannot be .*ENOENT/ });
    writeFileSync(
      list,
      JSON.stringify({ cniVersion: '1.0.0', name: 'x', plugins: [{ type: 'static-route', routs: [] }] }),
    );
    await t.rejects(begin({ ...options, netList: [list] }).ended, {
      message: /20-wrong\.conflist would fail: .*routs.* \(see waymark explain\)$/,
    });
    t.strictSame(readdirSync(binDir), []);
  },
);
