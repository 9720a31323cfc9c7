import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Call } from '../../../lib/cni/runner.ts';
import { isReady } from '../../../plugins/multi-network/readiness.ts';
import { handSetClock } from '../../support/clock.ts';

/** A call on a node whose files are below `folder`; `paused` is called for each pause, with how often there was one before. */
function callOf(t: Test, paused: (count: number) => void) {
  const folder = t.testdir();
  let count = 0;
  const pause = async () => paused(count++);
  const place = { pathOf: (path: string) => join(folder, path) };
  return { folder, call: { request: { document: {} }, pacing: { pause }, place } as unknown as Call };
}

t.test('waits until the file is there, on the node', async (t) => {
  const pauses: number[] = [];
  const { folder, call } = callOf(t, (count) => {
    pauses.push(count);
    if (count === 2) writeFileSync(join(folder, 'ready'), '');
  });
  await isReady('/ready', call);
  t.strictSame(pauses, [0, 1, 2]);
  await isReady('/ready', call);
  for (const none of ['', undefined]) await isReady(none, call);
  t.equal(pauses.length, 3, 'without a pause where it is there, or none is named');
});

t.test('gives up after 45 seconds, as Multus does, with 11', async (t) => {
  const clock = handSetClock(t);
  const { call } = callOf(t, () => {
    clock.ms += 9_000;
  });
  await t.rejects(isReady('/ready', call), {
    code: 11,
    message: "readinessindicatorfile: /ready does not exist; waited 45 s for the cluster's network",
  });
  t.equal(clock.ms, 1000 + 54_000, '45 s are not over before they are');
});
