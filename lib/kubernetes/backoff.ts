export type Backoff = {
  readonly firstMs: number;
  readonly maxMs: number;
};

/**
 * How long to wait after so many failures in a row (1 or more): doubled each time up to the maximum, of which a random
 * part between a half and the whole, so that the nodes of a cluster do not come back in step.
 */
export function pauseMs(failures: number, { firstMs, maxMs }: Backoff, random: () => number = Math.random): number {
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return whole / 2 + (whole / 2) * random();
}

/** Resolves after so long, or at once when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
