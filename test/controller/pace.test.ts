import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Pace } from '../../controller/pace.ts';

t.test('one after another, in their order, also after one that fails; and as long a rest as each took', async (t) => {
  const pace = new Pace();
  const done: string[] = [];
  const ends: number[] = [];
  const begins: number[] = [];
  const work = (name: string, ms: number) => async () => {
    begins.push(performance.now());
    await sleep(ms);
    done.push(name);
    ends.push(performance.now());
    if (name === 'bad') throw new Error(name);
    return name;
  };
  const [first, bad, last] = [pace.run(work('first', 60)), pace.run(work('bad', 1)), pace.run(work('last', 1))];
  await t.rejects(bad, { message: 'bad' });
  t.strictSame([await first, await last], ['first', 'last']);
  t.strictSame(done, ['first', 'bad', 'last']);
  t.ok((begins[1] ?? 0) - (ends[0] ?? 0) >= 55, 'timers may be a moment early');
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
