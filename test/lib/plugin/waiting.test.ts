import t from 'tap';
import type { JsonObject } from '../../../lib/cni/json.ts';
import type { Call, Pacing } from '../../../lib/cni/runner.ts';
import { waitingOf } from '../../../lib/plugin/waiting.ts';
import { handSetClock } from '../../support/clock.ts';

/** How a call with this config waits; `warnings` are what it logs. */
function waiting(pacing: Pacing, document: JsonObject = {}) {
  const warnings: string[] = [];
  const log = { warn: (message: string) => warnings.push(message) };
  return { ...waitingOf({ request: { document }, pacing, log } as unknown as Call), warnings };
}

t.test('a pause is a tenth of what has passed, but 20 ms at least and half a second at most', async (t) => {
  const clock = handSetClock(t);
  const pauses: number[] = [];
  const { pause } = waiting({ pause: async (ms) => void pauses.push(ms) });
  for (const passed of [0, 199, 200, 300, 4990, 5010, 60_000]) {
    clock.ms = 1000 + passed;
    await pause(1000);
  }
  t.strictSame(pauses, [20, 20, 20, 30, 499, 500, 500]);
});

t.test('without another way to wait, it lets time pass', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const waited = waiting({}).pause(performance.now());
  t.equal(timers(), before + 1);
  await waited;
});

t.test('what an annotation asks for is limited by the node, what the network asks for is not', async (t) => {
  const asked = { args: { cni: { waitSeconds: 30 } } };
  const limited = waiting({ annotationSeconds: 10 }, asked);
  t.equal(limited.seconds('waitSeconds', 10), 10);
  t.strictSame(limited.warnings, []);
  t.equal(limited.seconds('verifySeconds', 30), 30, 'another key, which is the network’s');
  t.equal(limited.seconds('waitSeconds', 30), 10);
  t.strictSame(limited.warnings, ['args.cni.waitSeconds: 30 s is more than this node allows; it waits 10 s']);
  t.equal(waiting({ annotationSeconds: 10 }).seconds('waitSeconds', 30), 30);
  t.equal(waiting({}, asked).seconds('waitSeconds', 30), 30, 'a node without a limit');
});
