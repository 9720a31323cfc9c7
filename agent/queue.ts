/** The work was not begun, since there is too much of it: it has to be tried again later. */
export class Overload extends Error {}

/** The work was not begun, and will not be; the message says why, in a word or two. */
export class NotBegun extends Error {}

export type QueueLimits = {
  /** Calls that run at the same time. */
  readonly running: number;
  /** Calls that wait for their turn. */
  readonly waiting: number;
  /** How long a call waits. */
  readonly waitMs: number;
};

type Job = { readonly key: string; start(): void; refuse(why: Error): void };

/**
 * Runs work of one key after another, in the order in which it came, and work of different keys at the same time, within
 * limits: what does not get its turn in time is refused with Overload, and never runs.
 */
export class Queue {
  readonly #limits: QueueLimits;
  readonly #busy = new Set<string>();
  readonly #waiting = new Set<Job>();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#busy.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Runs work when nothing else of its key does. Throws Overload or NotBegun, and what the work throws. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (!this.#isFree(key)) await this.#turn(key);
    this.#busy.add(key);
    try {
      return await work();
    } finally {
      this.#busy.delete(key);
      this.#startNext();
    }
  }

  /** Refuses everything that waits, with NotBegun, since nothing is begun any more. */
  refuseWaiting(): void {
    for (const job of this.#waiting) job.refuse(new NotBegun('stopping'));
  }

  #isFree(key: string): boolean {
    return this.#busy.size < this.#limits.running && !this.#busy.has(key);
  }

  #turn(key: string): Promise<void> {
    const { waiting, waitMs } = this.#limits;
    if (this.#waiting.size >= waiting) throw new Overload(`${waiting} calls are waiting already`);
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        this.#waiting.delete(job);
      };
      const job: Job = {
        key,
        start: () => {
          leave();
          // Taken here, not when the promise is looked at: another call may come in between.
          this.#busy.add(key);
          resolve();
        },
        refuse: (why) => {
          leave();
          reject(why);
        },
      };
      const timer = setTimeout(() => job.refuse(new Overload(`waited ${waitMs / 1000} s for other calls`)), waitMs);
      this.#waiting.add(job);
    });
  }

  #startNext(): void {
    for (const job of this.#waiting) {
      if (this.#busy.size >= this.#limits.running) break;
      if (this.#isFree(job.key)) job.start();
    }
  }
}
