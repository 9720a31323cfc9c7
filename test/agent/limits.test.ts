import t from 'tap';
import { Budget, DEFAULT_LIMITS, LARGE_CONFIG_BYTES } from '../../agent/limits.ts';

t.test('what the agent takes upon itself, as docs/agent.md has it', async (t) => {
  const [KiB, MiB] = [1024, 1024 * 1024];
  t.strictSame(DEFAULT_LIMITS, {
    ...{ running: 64, waiting: 1024, waitMs: 30_000, annotationSeconds: 60, protectedPrefixes: [] },
    ...{ configBytes: 512 * KiB, allConfigsBytes: 8 * MiB, dumpBytes: 2 * MiB },
  });
  t.equal(LARGE_CONFIG_BYTES, 64 * KiB);
});

t.test('a budget is taken up to its limit, or to a lower one, and given back', async (t) => {
  const budget = new Budget(10);
  t.strictSame([budget.take(6), budget.take(5), budget.used], [true, false, 6]);
  t.strictSame([budget.take(2, 7), budget.take(1, 7), budget.used], [false, true, 7]);
  t.ok(budget.take(3), 'all of it');
  budget.give(4);
  t.equal(budget.used, 6);
});
