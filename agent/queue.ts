import { breathe } from './breathe.ts';

/**
 * The call is not answered here, and its shim goes to the single-file executable. The message says why, in a word or
 * two: it is the reason that the metrics count.
 */
export class NotServed extends Error {}

export type QueueLimits = {
  /** Calls that run at the same time. */
  readonly running: number;
  /** Calls that wait: for their turn, or patiently for something that is not there yet. */
  readonly waiting: number;
  /** How long a call waits for its turn. */
  readonly waitMs: number;
};

/** The place of some work among those that run. */
export type Turn = {
  /**
   * Gives the place to others for some milliseconds, and takes one again; the key stays taken. `onGone` registers what is
   * called when nobody waits for the work any more, and returns what takes that back. Throws NotServed: 'caller gone',
   * 'stopping', or 'queue full' if too many wait already. The work must end then.
   */
  pause(ms: number, onGone: (listener: () => void) => () => void): Promise<void>;
};

/** `large` work runs one at a time, and only after others had a chance to be served. */
export type WorkOptions = { readonly large?: boolean };

type Job = { readonly key: string; readonly large: boolean; readonly start: () => void; readonly refuse: Refuse };
type Refuse = (why: NotServed) => void;

/**
 * Runs work of one key after another, in the order in which it came, and work of different keys at the same time, within
 * limits: what does not get its turn in time is refused with NotServed, and never runs.
 */
export class Queue {
  readonly #limits: QueueLimits;
  readonly #keys = new Set<string>();
  readonly #waiting = new Set<Job>();
  /** Those that were patient, and want to go on. */
  readonly #resuming = new Set<Job>();
  readonly #patient = new Set<Refuse>();
  #running = 0;
  #largeRuns = false;
  #stopped = false;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.size + this.#resuming.size;
  }

  /** How many wait for something else than their turn. */
  get patient(): number {
    return this.#patient.size;
  }

  /** Runs work when nothing else of its key does. Throws NotServed, and what the work throws. */
  async run<T>(key: string, work: (turn: Turn) => Promise<T>, { large = false }: WorkOptions = {}): Promise<T> {
    if (this.#hasRoom(large) && !this.#isAwaited(key)) this.#enter(large);
    else await this.#turn(key, large);
    this.#keys.add(key);
    let runs = true;
    const pause: Turn['pause'] = async (ms, onGone) => {
      this.#assertRoomToWait();
      runs = false;
      this.#leave(large);
      await this.#rest(ms, onGone);
      await this.#resume(key, large);
      runs = true;
    };
    try {
      // Or one large call would follow another, and nobody would be heard in between.
      if (large) await breathe();
      return await work({ pause });
    } finally {
      this.#keys.delete(key);
      if (runs) this.#leave(large);
      else this.#startNext();
    }
  }

  /**
   * Ends all waiting, with NotServed, now and from now on: patience is over. What runs goes on, as long as it does not
   * pause.
   */
  stop(): void {
    this.#stopped = true;
    const why = new NotServed('stopping');
    for (const { refuse } of [...this.#waiting, ...this.#resuming]) refuse(why);
    for (const refuse of this.#patient) refuse(why);
  }

  #hasRoom(large: boolean): boolean {
    return this.#running < this.#limits.running && !(large && this.#largeRuns);
  }

  // Large work waits also while its key is free, and what comes after it of the same key must not overtake it.
  #isAwaited(key: string): boolean {
    if (this.#keys.has(key)) return true;
    for (const job of this.#waiting) if (job.key === key) return true;
    return false;
  }

  #assertRoomToWait(): void {
    if (this.#stopped) throw new NotServed('stopping');
    if (this.waiting + this.patient >= this.#limits.waiting) throw new NotServed('queue full');
  }

  #enter(large: boolean): void {
    this.#running++;
    this.#largeRuns ||= large;
  }

  #leave(large: boolean): void {
    this.#running--;
    if (large) this.#largeRuns = false;
    this.#startNext();
  }

  async #turn(key: string, large: boolean): Promise<void> {
    this.#assertRoomToWait();
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#place(this.#waiting, key, large, (refuse) => {
        timer = setTimeout(() => refuse(new NotServed('waited too long')), this.#limits.waitMs);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #resume(key: string, large: boolean): Promise<void> {
    if (this.#hasRoom(large)) this.#enter(large);
    else await this.#place(this.#resuming, key, large);
  }

  // The place is taken when it becomes free, not when the promise is looked at: another call may come in between.
  #place(line: Set<Job>, key: string, large: boolean, begun: (refuse: Refuse) => void = () => {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        line.delete(job);
        this.#keys.add(key);
        this.#enter(large);
        resolve();
      };
      const refuse: Refuse = (why) => {
        line.delete(job);
        reject(why);
      };
      const job: Job = { key, large, start, refuse };
      line.add(job);
      begun(refuse);
    });
  }

  async #rest(ms: number, onGone: (listener: () => void) => () => void): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let off = () => {};
    let end: Refuse = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(resolve, ms);
        end = reject;
        this.#patient.add(end);
        off = onGone(() => reject(new NotServed('caller gone')));
      });
    } finally {
      clearTimeout(timer);
      off();
      this.#patient.delete(end);
    }
  }

  #startNext(): void {
    for (const job of this.#resuming) if (this.#hasRoom(job.large)) job.start();
    const passed = new Set<string>();
    for (const job of this.#waiting) {
      if (this.#running >= this.#limits.running) return;
      if (this.#hasRoom(job.large) && !this.#keys.has(job.key) && !passed.has(job.key)) job.start();
      else passed.add(job.key);
    }
  }
}
