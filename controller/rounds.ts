import { type Backoff, pauseMs } from '../lib/kubernetes/backoff.ts';

export type RoundsOptions = {
  /** What was lost again so often waits. */
  readonly most?: number;
  /** What stays for so long is not fought about. */
  readonly quietMs?: number;
  readonly backoff?: Backoff;
};

type Round = { readonly count: number; readonly at: number; readonly until: number };

/** Somebody who takes a route away again and again does so on purpose. */
const MOST = 3;
const QUIET_MS = 60_000;
const BACKOFF: Backoff = { firstMs: 1000, maxMs: 300_000 };

/** How often each thing was put back, and when it may be again: at once for three times, and then with growing pauses. */
export class Rounds {
  readonly #most: number;
  readonly #quietMs: number;
  readonly #backoff: Backoff;
  readonly #rounds = new Map<string, Round>();

  constructor({ most = MOST, quietMs = QUIET_MS, backoff = BACKOFF }: RoundsOptions = {}) {
    this.#most = most;
    this.#quietMs = quietMs;
    this.#backoff = backoff;
  }

  /** May it be put back now? */
  mayTry(key: string, now: number): boolean {
    return (this.#current(key, now)?.until ?? 0) <= now;
  }

  /** It is put back. */
  add(key: string, now: number): void {
    for (const other of this.#rounds.keys()) {
      // The oldest come first.
      if (this.isFought(other, now)) break;
      this.#rounds.delete(other);
    }
    const count = (this.#current(key, now)?.count ?? 0) + 1;
    const until = count < this.#most ? 0 : now + pauseMs(count - this.#most + 1, this.#backoff);
    this.#rounds.delete(key);
    this.#rounds.set(key, { count, at: now, until });
  }

  /** Was it put back lately? */
  isFought(key: string, now: number): boolean {
    return this.#current(key, now) !== undefined;
  }

  /** When the next of these may be put back that may not now, in milliseconds; undefined if all may. */
  nextMs(keys: readonly string[], now: number): number | undefined {
    const times = keys.map((key) => (this.#current(key, now)?.until ?? 0) - now).filter((ms) => ms > 0);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  // One that has stayed for long, counted from when it could have been put back at the latest, begins anew.
  #current(key: string, now: number): Round | undefined {
    const round = this.#rounds.get(key);
    return round === undefined || Math.max(round.at, round.until) + this.#quietMs <= now ? undefined : round;
  }
}
