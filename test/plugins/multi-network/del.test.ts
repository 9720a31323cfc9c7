import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { begun, writeBirthRecord } from '../../../lib/attachments/birth-record.ts';
import { podOf } from '../../../lib/attachments/pod.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import { cacheResult } from '../../../lib/runtime/cache.ts';
import type { Cluster } from '../../../plugins/multi-network/cluster.ts';
import { del } from '../../../plugins/multi-network/del.ts';
import type { Network } from '../../../plugins/multi-network/networks.ts';
import { failed, networkNamed, workOf } from '../../support/plugins/delegation.ts';

const [CLUSTER, BLUE, GREEN] = [
  networkNamed('cluster', 'eth0', { isDefault: true }),
  networkNamed('blue', 'net1'),
  networkNamed('green', 'net2'),
];
const ALL = [CLUSTER, BLUE, GREEN];

/** A sandbox with a record of these networks, and DEL of it. */
function recordOf(t: Test, networks: readonly Network[], options: Parameters<typeof workOf>[2] = {}) {
  const work = workOf(t, { path: '/n' }, options);
  const entries = networks.map(({ name, list, input, isDefault, request }) =>
    begun(name, list, input, { isDefault, request }),
  );
  writeBirthRecord(work.folder, 'c', entries);
  const left = () => {
    const path = join(work.folder, 'c');
    return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).map(({ Name }: { Name: string }) => Name) : [];
  };
  return { ...work, left, run: (hasLock = true) => del(work, hasLock) };
}

t.test('each network goes, the last first, and then the record', async (t) => {
  const { run, standIn, left } = recordOf(t, ALL);
  t.equal(await run(), undefined);
  t.strictSame(standIn.asked, ['DEL green net2', 'DEL blue net1', 'DEL cluster eth0']);
  t.strictSame(left(), []);
  t.equal(await run(), undefined, 'twice');
  t.equal(standIn.asked.length, 3);
});

t.test('without a namespace the plugins get no path to one', async (t) => {
  const { run, standIn } = recordOf(t, [BLUE], { hasNamespace: false });
  await run();
  t.strictSame(standIn.asked, ['DEL blue net1 without a namespace']);
});

t.test('with --noop it says what it would do', async (t) => {
  const { run, standIn, left } = recordOf(t, [CLUSTER, BLUE], { noop: true });
  t.strictSame(await run(), {
    ...{ cniVersion: '1.0.0', plugin: 'multi-network', command: 'DEL' },
    changes: ['detach net1 from default/blue', 'detach eth0 from default/cluster'],
  });
  t.strictSame([standIn.asked, left()], [[], ['default/cluster', 'default/blue']]);
});

t.test('what fails is reported once all were tried, and stays recorded', async (t) => {
  const { run, standIn, left } = recordOf(t, ALL);
  standIn.fails['DEL blue net1'] = failed('stuck');
  await t.rejects(run(), { code: 104, message: 'DEL of network default/blue: stuck' });
  t.equal(standIn.asked.length, 3);
  t.strictSame(left(), ['default/blue']);
  const both = recordOf(t, ALL);
  both.standIn.fails['DEL blue net1'] = failed('stuck');
  both.standIn.fails['DEL green net2'] = new Error('odd');
  await t.rejects(both.run(), {
    code: 999,
    message: '2 networks could not be taken away',
    details: 'DEL of network default/green: odd\nDEL of network default/blue: stuck',
  });
  t.strictSame(both.left(), ['default/blue', 'default/green']);
});

t.test('a record that cannot be read is a warning, and what is cached is taken away', async (t) => {
  const { run, standIn, folder, logs } = recordOf(t, ALL);
  for (const { list, input } of ALL) cacheResult(folder, list, input, {});
  writeFileSync(join(folder, 'c'), '{');
  await run();
  t.match(logs, [/^warn the record of a sandbox cannot be read .*is not JSON/]);
  t.strictSame(standIn.asked, ['DEL green net2', 'DEL blue net1', 'DEL cluster eth0']);
});

t.test('what is cached and not recorded goes too, the pod’s own network last, and nothing twice', async (t) => {
  const { run, standIn, folder } = recordOf(t, [BLUE]);
  for (const { list, input } of ALL) cacheResult(folder, list, input, {});
  cacheResult(folder, GREEN.list, { ...GREEN.input, containerID: 'other' }, {});
  const meta = { ...GREEN.list, name: 'meta', source: JSON.stringify({ name: 'meta', plugins: [{ type: 'multus' }] }) };
  cacheResult(folder, meta, { ...GREEN.input, ifname: 'net5' }, {});
  const single = {
    ...GREEN.list,
    name: 'single',
    source: JSON.stringify({ name: 'single', cniVersion: '0.4.0', type: 'b' }),
  };
  cacheResult(folder, single, { ...GREEN.input, ifname: 'net6' }, {});
  await run();
  t.strictSame(standIn.asked, ['DEL single net6', 'DEL green net2', 'DEL blue net1', 'DEL cluster eth0']);
});

t.test('without record and cache, what the runtime itself cached for another network', async (t) => {
  const { run, standIn, folder } = recordOf(t, []);
  const runtime = join(folder, '../var/lib/cni');
  for (const network of [CLUSTER, BLUE, networkNamed('waymark', 'eth0')])
    cacheResult(runtime, network.list, network.input, {});
  await run();
  t.strictSame(standIn.asked, ['DEL cluster eth0', 'DEL blue net1'], 'not our own, whose DEL this is');
  rmSync(join(folder, '../var'), { recursive: true });
  standIn.asked.length = 0;
  await run();
  t.strictSame(standIn.asked, []);
});

t.test('without a lock, nothing is written where nothing is known', async (t) => {
  const { run, folder } = recordOf(t, []);
  writeFileSync(join(folder, 'c'), '[]');
  await run(false);
  t.ok(existsSync(join(folder, 'c')));
  await run(true);
  t.notOk(existsSync(join(folder, 'c')));
  const known = recordOf(t, [BLUE]);
  await known.run(false);
  t.strictSame(known.left(), []);
});

t.test('a record that cannot be written is a warning', async (t) => {
  const { run, folder, logs, standIn } = recordOf(t, [BLUE]);
  standIn.fails['DEL blue net1'] = failed('stuck');
  // The folder becomes a file before the record is written.
  standIn.asked.push = (...lines: string[]) => {
    rmSync(folder, { recursive: true, force: true });
    writeFileSync(folder, '');
    return Array.prototype.push.apply(standIn.asked, lines);
  };
  await t.rejects(run(), { message: 'DEL of network default/blue: stuck' });
  t.match(logs, [/^warn the record of a sandbox says more than it has /]);
});

t.test('one network that kactus’ podagent names goes alone, and from the pod’s status', async (t) => {
  const published: unknown[] = [];
  const pod = podOf({ metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1' } });
  let fault: Error | undefined;
  let closed = 0;
  const cluster = {
    pod: async () => {
      if (fault !== undefined) throw fault;
      return pod;
    },
    publish: async (_: unknown, compose: (before: object[]) => object[]) =>
      void published.push(compose([{ interface: 'net1' }, { interface: 'net2' }])),
    close: async () => void closed++,
  } as unknown as Cluster;
  const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web', K8S_POD_NETWORK: 'blue' };
  const world = (more: object = {}) =>
    recordOf(t, ALL, {
      args: { ...args, ...more },
      document: { delegates: [{ type: 'a' }] },
      services: { cluster: async () => cluster },
    });
  const { run, standIn, left } = world();
  await run();
  t.strictSame(standIn.asked, ['DEL blue net1']);
  t.strictSame(left(), ['default/cluster', 'default/green']);
  t.strictSame([published, closed], [[[{ interface: 'net2' }]], 1]);

  fault = new ApiError('no answer');
  const silent = world();
  await silent.run();
  t.match(silent.logs, [/^warn the status of a pod could not be written .*no answer/]);
  t.equal(closed, 2);
  fault = new TypeError('ours');
  await t.rejects(world().run(), { name: 'TypeError' });
  const whole = recordOf(t, ALL, { args: { ...args, K8S_POD_NETWORK: '' } });
  await whole.run();
  t.equal(whole.standIn.asked.length, 3, 'an empty name is none');
  const nameless = world({ K8S_POD_NAME: '' });
  await nameless.run();
  t.strictSame([nameless.standIn.asked, nameless.logs], [['DEL blue net1'], []]);
});
