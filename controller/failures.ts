import { type Backoff, pauseMs } from '../lib/kubernetes/backoff.ts';

/** Something that failed, and is tried again. */
export type Failure = {
  /** What is pending, as `attach net1 (default/blue)`. */
  readonly what: string;
  readonly network: string | undefined;
  readonly reason: string;
  readonly attempts: number;
  /** When it is tried again, in milliseconds of the clock. */
  readonly until: number;
};

/** How long it is until then, in whole seconds. */
export function secondsUntil(until: number): number {
  return Math.max(0, Math.round((until - Date.now()) / 1000));
}

/** What failed waits a second at first, and five minutes in the end. */
export const STEP_BACKOFF: Backoff = { firstMs: 1000, maxMs: 300_000 };

/** What failed for one pod, by a key for each thing that was tried. */
export class Failures {
  readonly #failures = new Map<string, Failure>();
  readonly #backoff: Backoff;

  constructor(backoff: Backoff = STEP_BACKOFF) {
    this.#backoff = backoff;
  }

  add(key: string, what: string, network: string | undefined, reason: string, now: number = Date.now()): void {
    const attempts = (this.#failures.get(key)?.attempts ?? 0) + 1;
    this.#failures.set(key, { what, network, reason, attempts, until: now + pauseMs(attempts, this.#backoff) });
  }

  of(key: string): Failure | undefined {
    return this.#failures.get(key);
  }

  attempts(key: string): number {
    return this.#failures.get(key)?.attempts ?? 0;
  }

  isWaiting(key: string, now: number = Date.now()): boolean {
    return (this.#failures.get(key)?.until ?? 0) > now;
  }

  /** Forgets what is not among these keys: nobody wants it any more, or it is done. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of this.#failures.keys()) if (!keys.has(key)) this.#failures.delete(key);
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Everything is tried at once, since something has changed; of one network, if one is given. */
  retry(network?: string): void {
    for (const [key, failure] of this.#failures) {
      if (network === undefined || failure.network === network)
        this.#failures.set(key, { ...failure, attempts: 0, until: 0 });
    }
  }

  /** How long until the next try of what is not among `heldUp`; undefined if nothing else failed. */
  nextMs(now: number = Date.now(), heldUp: ReadonlySet<string> = new Set()): number | undefined {
    const times = [...this.#failures].flatMap(([key, { until }]) => (heldUp.has(key) ? [] : Math.max(0, until - now)));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  all(): readonly Failure[] {
    return [...this.#failures.values()];
  }
}
