import { SlotsClosed } from '../lib/attachments/slots.ts';
import { pause } from '../lib/kubernetes/backoff.ts';

/** Nothing that is done to one pod keeps the others waiting longer than that. */
const MAX_PAUSE_MS = 1000;

/**
 * Does one piece of work after another, and nothing for as long as each took: however many pods an edit concerns, half of the
 * process' time is left for calls.
 */
export class Pace {
  readonly #stopping = new AbortController();
  readonly #rest: typeof pause;
  #last: Promise<void> = Promise.resolve();

  /** `rest` lets so many milliseconds pass, or fewer if it is broken off. */
  constructor(rest: typeof pause = pause) {
    this.#rest = rest;
  }

  /** Does some work when its turn comes. Throws what the work throws, and SlotsClosed instead of beginning it after `stop`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    const mine = this.#last.then(async () => {
      if (signal.aborted) throw new SlotsClosed('the agent stops, and leaves this to the next one');
      const begun = performance.now();
      try {
        return await work();
      } finally {
        rest = Math.min(MAX_PAUSE_MS, performance.now() - begun);
      }
    });
    let rest = 0;
    const over = () => this.#rest(rest, signal);
    this.#last = mine.then(over, over);
    return mine;
  }

  /** Begins nothing more. */
  stop(): void {
    this.#stopping.abort();
  }
}
