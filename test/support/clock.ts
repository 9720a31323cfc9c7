import type { Test } from 'tap';

/** From now until the test ends, `performance.now()` is what the test says. */
export function handSetClock(t: Test, ms = 1000): { ms: number } {
  const clock = { ms };
  t.intercept(performance, 'now', { value: () => clock.ms });
  return clock;
}
