import t from 'tap';
import { Rounds } from '../../controller/rounds.ts';

const QUIET = 60_000;

t.test('three times at once, then with growing pauses up to five minutes', async (t) => {
  const rounds = new Rounds();
  let now = 1_000_000;
  for (let round = 0; round < 3; round++) {
    t.equal(rounds.mayTry('a', now), true, `round ${round}`);
    rounds.add('a', now);
    now += 10;
  }
  t.equal(rounds.mayTry('a', now), false);
  t.equal(rounds.mayTry('b', now), true, 'others may');
  t.equal(rounds.nextMs(['b'], now), undefined);
  const pauses: number[] = [];
  for (let round = 0; round < 12; round++) {
    const pause = rounds.nextMs(['a', 'b'], now) ?? 0;
    pauses.push(pause);
    now += pause;
    t.equal(rounds.mayTry('a', now), true);
    rounds.add('a', now);
  }
  t.ok((pauses[0] ?? 0) <= 1000);
  t.ok(
    pauses.slice(0, 8).every((pause, index) => pause >= 490 * 2 ** index && pause <= 1000 * 2 ** index),
    `${pauses}`,
  );
  t.ok(pauses.slice(9).every((pause) => pause >= 150_000 && pause <= 300_000));
});

t.test('what has stayed for a minute begins anew, and what is older is forgotten', async (t) => {
  const rounds = new Rounds();
  const now = 1_000_000;
  rounds.add('a', now);
  rounds.add('a', now + 1);
  t.equal(rounds.isFought('a', now + QUIET), true);
  t.equal(rounds.isFought('a', now + 1 + QUIET), false);
  for (let round = 0; round < 3; round++) rounds.add('a', now + 1 + QUIET + round);
  t.equal(rounds.mayTry('a', now + 10 + QUIET), false, 'counted from one');
  t.equal(rounds.isFought('a', now + 10 + 2 * QUIET), true, 'a pause is no quiet time');
  t.equal(rounds.mayTry('a', now + 10_000 + 2 * QUIET), true);
});
