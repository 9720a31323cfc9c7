import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { endOrphans, ownedBy } from '../../../lib/attachments/orphans.ts';
import { until } from '../../support/until.ts';

// Of this process: whoever runs this test too has plugins of his own.
const STATE = `/var/lib/cni/mine-${process.pid}`;
const MINE = ownedBy(STATE);
const NET1 = { CNI_CONTAINERID: 'c1', CNI_IFNAME: 'net1' };

/** A shell with this environment, which waits for its child; and the child. */
async function plugin(t: Test, env: { readonly [name: string]: string | undefined }) {
  const script = 'sleep 1000 & echo $!; wait';
  const child = spawn('sh', ['-c', script], { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const exit = once(child, 'exit');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const below = Number(line.toString());
  // While it becomes another program, it has no environment that others could read.
  const read = (file: string) => readFileSync(`/proc/${below}/${file}`, 'utf8');
  await until(() => read('cmdline').startsWith('sleep') && read('environ') !== '');
  t.teardown(() => {
    for (const pid of [child.pid, below]) if (pid !== undefined && runs(pid)) process.kill(pid, 'SIGKILL');
  });
  return { exit, isRunning: () => [child.pid ?? 0, below].map(runs) };
}

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test('ends the plugins of these attachments with what they started, and no other process', async (t) => {
  const orphan = await plugin(t, { ...MINE, ...NET1 });
  const others = await Promise.all([
    plugin(t, { ...ownedBy(`${STATE}-another`), ...NET1 }),
    plugin(t, NET1),
    plugin(t, { ...MINE, ...NET1, CNI_IFNAME: 'net2' }),
    plugin(t, { ...MINE, ...NET1, CNI_CONTAINERID: 'c2' }),
  ]);
  t.equal(await endOrphans(STATE, []), 0);
  t.strictSame(orphan.isRunning(), [true, true]);
  t.equal(await endOrphans(STATE, [{ containerID: 'c1', ifname: 'net1' }]), 2);
  t.strictSame(await orphan.exit, [null, 'SIGKILL']);
  for (const other of others) t.strictSame(other.isRunning(), [true, true]);
  t.equal(await endOrphans(STATE, [{ containerID: 'c1', ifname: 'net1' }]), 0);
});

/** The module with a clock of its own, which a pause moves on; with one more process, whose environment nobody can read. */
async function withClock(t: Test) {
  let now = 0;
  let looks = 0;
  const setTimeout = async (ms: number) => {
    now += ms;
  };
  t.intercept(performance, 'now', { value: () => now });
  const readdirSync = (path: string) => {
    looks++;
    return [...fs.readdirSync(path), '4194999'];
  };
  const module = await t.mockImport<typeof import('../../../lib/attachments/orphans.ts')>(
    '../../../lib/attachments/orphans.ts',
    { 'node:fs': { ...fs, readdirSync }, 'node:timers/promises': { setTimeout } },
  );
  return { endOrphans: module.endOrphans, now: () => now, looks: () => looks };
}

t.test('what cannot be looked at is none of them, and for no attachment nothing is looked at', async (t) => {
  const { endOrphans: end, now, looks } = await withClock(t);
  t.equal(await end(STATE, []), 0);
  t.equal(looks(), 0);
  t.equal(await end(STATE, [{ containerID: 'c3', ifname: 'net1' }]), 0);
  t.strictSame([looks(), now()], [1, 0]);
});

t.test('plugins that do not end within five seconds are an error that names them', async (t) => {
  const orphan = await plugin(t, { ...MINE, ...NET1 });
  const { endOrphans: end, now } = await withClock(t);
  const killed: unknown[] = [];
  const capture = t.intercept(process, 'kill', { value: (...args: unknown[]) => killed.push(args) });
  await t.rejects(end(STATE, [{ containerID: 'c1', ifname: 'net1' }]), {
    message: /^plugins do not end: processes \d+, \d+$/,
  });
  capture.restore();
  t.equal(now(), 5020, 'the first look after them');
  t.match(killed[0], [Number, 'SIGKILL']);
  t.strictSame(orphan.isRunning(), [true, true]);
});
