import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Pace } from '../../controller/pace.ts';
import { handSetClock } from '../support/clock.ts';

t.test('one after another, in their order, also after one that fails', async (t) => {
  const pace = new Pace();
  const done: string[] = [];
  const work = (name: string, ms: number) => async () => {
    await sleep(ms);
    done.push(name);
    if (name === 'bad') throw new Error(name);
    return name;
  };
  const [first, bad, last] = [pace.run(work('first', 20)), pace.run(work('bad', 1)), pace.run(work('last', 1))];
  await t.rejects(bad, { message: 'bad' });
  t.strictSame([await first, await last], ['first', 'last']);
  t.strictSame(done, ['first', 'bad', 'last']);
});

t.test('rests as long as each took, but no longer than a second', async (t) => {
  const clock = handSetClock(t, 7000);
  const rests: number[] = [];
  const pace = new Pace(async (ms) => void rests.push(ms));
  for (const ms of [60, 0, 999, 1001, 90_000]) {
    await pace.run(async () => {
      clock.ms += ms;
    });
  }
  await t.rejects(
    pace.run(async () => {
      clock.ms += 5;
      throw new Error('bad');
    }),
    { message: 'bad' },
  );
  await pace.run(async () => undefined);
  t.strictSame(rests, [60, 0, 999, 1000, 1000, 5, 0]);
});

t.test('begins nothing after the stop, and ends what runs', async (t) => {
  const pace = new Pace();
  let release = () => {};
  const running = pace.run(() => new Promise<void>((resolve) => (release = resolve)));
  const waiting = pace.run(async () => t.fail('must not begin'));
  await sleep(1);
  pace.stop();
  release();
  await running;
  await t.rejects(waiting, { message: 'the agent stops, and leaves this to the next one' });
  await t.rejects(
    pace.run(async () => undefined),
    { message: 'the agent stops, and leaves this to the next one' },
  );
});
