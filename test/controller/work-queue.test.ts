import t from 'tap';
import { Failures } from '../../controller/failures.ts';
import { type Again, WorkQueue } from '../../controller/work-queue.ts';
import { Slots } from '../../lib/attachments/slots.ts';
import { until } from '../support/until.ts';

t.test('a key’s work never runs twice at the same time, and once more if it was asked for meanwhile', async (t) => {
  let running = 0;
  let runs = 0;
  const release: (() => void)[] = [];
  const queue = new WorkQueue(async () => {
    t.equal(++running, 1);
    runs++;
    await new Promise<void>((resolve) => release.push(resolve));
    running--;
    return undefined;
  });
  for (let i = 0; i < 5; i++) queue.kick('a');
  release.shift()?.();
  await until(() => runs === 2);
  release.shift()?.();
  await queue.stop();
  t.equal(runs, 2);
  queue.kick('a');
  t.equal(runs, 2, 'nothing begins after the end');
});

t.test('keys do not wait for each other; one that wants to look again is called again', async (t) => {
  const seen: string[] = [];
  let again: Again = { afterMs: 5 };
  let release = () => {};
  const queue = new WorkQueue(async (key) => {
    seen.push(key);
    if (key === 'slow')
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    return key === 'again' ? again : undefined;
  });
  queue.kick('slow');
  queue.kick('again');
  await until(() => seen.filter((key) => key === 'again').length >= 3);
  again = undefined;
  t.equal(queue.running, 1);
  release();
  await queue.stop();
});

t.test('what is slow for one network leaves room for others', async (t) => {
  const slots = new Slots(3, 2);
  const release: (() => void)[] = [];
  const began: string[] = [];
  const run = (key: string) =>
    slots.run(key, () => {
      began.push(key);
      return new Promise<void>((resolve) => release.push(resolve));
    });
  const all = ['slow', 'slow', 'slow', 'quick', 'quick'].map(run);
  t.strictSame(began, ['slow', 'slow', 'quick']);
  t.equal(slots.waiting, 2);
  release.pop()?.();
  await until(() => began.length === 4);
  t.strictSame(began.at(-1), 'quick', 'who waits longest comes first, if there is room for it');
  release.shift()?.();
  await until(() => began.length === 5);
  for (const end of release) end();
  await Promise.all(all);
  t.equal(slots.running, 0);
});

t.test('pauses grow up to the maximum, and end at once when something changes', async (t) => {
  const failures = new Failures({ firstMs: 1000, maxMs: 8000 });
  const pauses: number[] = [];
  for (let i = 0; i < 6; i++) {
    failures.add('key', 'attach', 'default/blue', 'reason', 0);
    pauses.push(failures.nextMs(0) ?? 0);
  }
  const bounds = [1000, 2000, 4000, 8000, 8000, 8000];
  pauses.forEach((pause, i) => {
    const most = bounds[i] ?? 0;
    t.ok(pause >= most / 2 && pause <= most, `${pause} of ${most}`);
  });
  t.ok(failures.isWaiting('key', 0));
  failures.retry('default/other');
  t.ok(failures.isWaiting('key', 0), 'another network is nothing to it');
  failures.retry('default/blue');
  t.notOk(failures.isWaiting('key', 0));
  failures.keep(new Set());
  t.equal(failures.nextMs(0), undefined);
});

t.test('what another step holds up does not bring the next look forward', async (t) => {
  const failures = new Failures({ firstMs: 1000, maxMs: 1000 });
  failures.add('attach', 'attach net1', 'default/blue', 'reason', 0);
  t.equal(failures.nextMs(5000), 0);
  t.equal(failures.nextMs(5000, new Set(['attach'])), undefined);
  failures.add('detach', 'detach net1', 'default/blue', 'reason', 5000);
  t.ok((failures.nextMs(5000, new Set(['attach'])) ?? 0) >= 500);
});
