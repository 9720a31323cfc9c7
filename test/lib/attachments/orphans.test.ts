import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
