import { getEventListeners } from 'node:events';
import t from 'tap';
import { pause, pauseMs } from '../../../lib/kubernetes/backoff.ts';

t.test('a pause doubles up to the maximum, of which it is at least a half', async (t) => {
  const backoff = { firstMs: 100, maxMs: 1000 };
  const least = (failures: number) => pauseMs(failures, backoff, () => 0);
  t.strictSame([1, 2, 3, 4, 5, 6, 1000].map(least), [50, 100, 200, 400, 500, 500, 500]);
  t.equal(
    pauseMs(2, backoff, () => 1),
    200,
  );
  t.equal(
    pauseMs(2, backoff, () => 0.5),
    150,
  );
  t.equal(
    pauseMs(1e6, { firstMs: 2, maxMs: 1e300 }, () => 1),
    2 ** 31,
    'doubled thirty times at most',
  );
  const random = pauseMs(1, backoff);
  t.ok(random >= 50 && random <= 100);
});

const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

t.test('a pause ends when it is over, or at once when it is broken off, and leaves nothing', async (t) => {
  const ending = new AbortController();
  const before = timers();
  await pause(1, ending.signal);
  t.equal(getEventListeners(ending.signal, 'abort').length, 0);
  const broken = pause(1_000_000, ending.signal);
  t.equal(getEventListeners(ending.signal, 'abort').length, 1);
  ending.abort();
  await broken;
  t.equal(getEventListeners(ending.signal, 'abort').length, 0);
  await pause(1_000_000, ending.signal);
  t.equal(timers(), before);
});
