import t from 'tap';
import { Failures } from '../../controller/failures.ts';

const BACKOFF = { firstMs: 1000, maxMs: 300_000 };

t.test('the pauses of what fails grow to five minutes, and not beyond', async (t) => {
  const failures = new Failures(BACKOFF);
  let now = 1_000_000;
  const pauses: number[] = [];
  for (let attempt = 0; attempt < 15; attempt++) {
    failures.add('a', 'attach a', 'shop/blue', 'not found', now);
    const pause = failures.nextMs(now) ?? 0;
    pauses.push(pause);
    t.ok(failures.isWaiting('a', now));
    now += pause;
    t.notOk(failures.isWaiting('a', now), 'its turn has come');
  }
  t.equal(failures.attempts('a'), 15);
  t.ok((pauses[0] ?? 0) <= 2000, String(pauses[0]));
  t.ok(pauses.every((pause) => pause > 0 && pause <= 300_000 * 1.5));
  t.ok((pauses.at(-1) ?? 0) > 100_000, String(pauses.at(-1)));
});

t.test('what changes is tried at once: all of it, or the steps of one network', async (t) => {
  const failures = new Failures(BACKOFF);
  failures.add('a', 'attach a', 'shop/blue', 'not found', 0);
  failures.add('b', 'attach b', 'shop/green', 'not found', 0);
  failures.retry('shop/blue');
  t.notOk(failures.isWaiting('a', 0));
  t.ok(failures.isWaiting('b', 0));
  t.equal(failures.attempts('a'), 0);
  failures.retry();
  t.notOk(failures.isWaiting('b', 0));
  t.match(failures.of('b'), { what: 'attach b', reason: 'not found' });
});

t.test('forgets what nobody wants any more, and does not wake for what another step holds up', async (t) => {
  const failures = new Failures(BACKOFF);
  t.equal(failures.nextMs(0), undefined);
  failures.add('a', 'attach a', 'shop/blue', 'x', 0);
  failures.add('b', 'attach b', 'shop/green', 'y', 0);
  t.ok(failures.nextMs(0, new Set(['b'])));
  t.equal(failures.nextMs(0, new Set(['a', 'b'])), undefined);
  failures.keep(new Set(['b']));
  t.equal(failures.of('a'), undefined);
  t.match(failures.all(), [{ what: 'attach b' }], 'and nothing else');
  failures.forget('b');
  t.strictSame(failures.all(), []);
});
