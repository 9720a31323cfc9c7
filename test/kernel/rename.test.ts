import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BRIEF } from '../support/kernel/kinds.ts';
import { richPod, statesOf } from '../support/namespaces/link-state.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../support/namespaces/namespace.ts';
import { pretendOldKernel } from '../support/namespaces/old-kernel.ts';
import type { Sent } from '../support/namespaces/transport.ts';
import { success } from '../support/plugins/call.ts';
import { GREEN, namesOf, worldOf } from '../support/plugins/ifname-world.ts';

// Renames on a kernel that refuses those of a link that is up, as Linux does before 6.2. What can be shown of that on any
// kernel is in test/lib/change/rename.test.ts.

/** The messages are in fours: new, delete, get, set (linux/rtnetlink.h). */
const isChange = ({ type }: Sent) => type % 4 !== 2;

t.test('a kernel that refuses to rename a link that is up', { skip: noNamespaces }, async (t) => {
  if (renamesLiveLinks(t)) {
    t.pass('', { skip: 'this kernel renames links that are up' });
    return;
  }

  t.test('the link has the name, all that it had, and after DEL as before', async (t) => {
    const pod = richPod(t, { addresses: 'one' });
    const before = statesOf(pod);
    const { must } = worldOf(t, pod);
    await must('ADD');
    t.strictSame(namesOf(pod).name, GREEN);
    t.notMatch(pod.ip('-6 address show'), /tentative|dadfailed/, 'no address is checked for duplicates again');
    const renamed = statesOf(pod);
    for (const table of ['IPv4 routes', 'IPv6 routes', 'neighbours', 'sysctls']) {
      const expected = before[table]
        ?.replaceAll(/\beth0\b/g, GREEN)
        .split('\n')
        .sort();
      t.strictSame(renamed[table]?.split('\n').sort(), expected, table);
    }
    await must('CHECK');
    await must('DEL');
    t.strictSame(statesOf(pod), before);
  });

  if (BRIEF) return;

  t.test('killed before any change of an ADD, DEL or another ADD finds its way', async (t) => {
    const pod = richPod(t, { addresses: 'one' });
    const before = statesOf(pod);
    const world = worldOf(t, pod);
    let nth = 1;
    for (; await killedBefore(t, world, 'ADD', nth); nth++) {
      // Both ways out, in turn.
      if (nth % 2 === 0) {
        await world.must('ADD');
        t.equal(namesOf(pod).name, GREEN);
        await world.must('CHECK');
      }
      await world.must('DEL');
      t.strictSame(statesOf(pod), before, `killed before change ${nth}`);
    }
    t.ok(nth > 10, `${nth - 1} changes`);
    await world.must('DEL');
    t.strictSame(statesOf(pod), before);
  });

  t.test('killed before any change of a DEL, another DEL finds its way', async (t) => {
    const pod = richPod(t, { addresses: 'one' });
    const before = statesOf(pod);
    const world = worldOf(t, pod);
    let nth = 1;
    for (let isKilled = true; isKilled; nth++) {
      await world.must('ADD');
      isKilled = await killedBefore(t, world, 'DEL', nth);
      await world.must('DEL');
      t.strictSame(statesOf(pod), before, `killed before change ${nth}`);
    }
    t.ok(nth > 10, `${nth - 1} changes`);
    t.strictSame(readdirSync(join(world.dataDir, 'consistent-ifname')), []);
  });
});

function renamesLiveLinks(t: Test): boolean {
  const pod = scratchNamespace(t);
  pod.ip('link add eth0 type veth peer name far');
  pod.ip('link set eth0 up');
  try {
    pod.ip('link set eth0 name other');
    return true;
  } catch {
    return false;
  }
}

/**
 * Leaves what a process leaves that is killed before its nth change: the kernel as it is at this time, and the files. From
 * then on nothing of the call reaches the kernel any more, and what it does to files is taken back; a process for each point
 * would take longer than the machine has. False if the call has fewer changes, and is over.
 */
async function killedBefore(t: Test, world: ReturnType<typeof worldOf>, verb: string, nth: number): Promise<boolean> {
  const left = join(scratchFolder(t), 'left');
  let changes = 0;
  let isDead = false;
  const end = pretendOldKernel({
    isReal: true,
    beforeWrite: (sent) => {
      if (sent.some(isChange)) changes++;
      if (!isDead && changes < nth) return;
      if (!isDead) cpSync(world.dataDir, left, { recursive: true, force: true });
      isDead = true;
      throw new Error('killed');
    },
  });
  const answer = await world.ask(verb).finally(end);
  if (!isDead) {
    success(answer);
    return false;
  }
  rmSync(world.dataDir, { recursive: true });
  cpSync(left, world.dataDir, { recursive: true });
  return true;
}
