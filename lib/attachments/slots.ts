import { RuntimeError } from '../runtime/errors.ts';

/** The work has not begun, and will not: the agent stops. */
export class SlotsClosed extends RuntimeError {}

/**
 * Bounds how much runs at the same time: in all, and of each key, so that what is slow for one key leaves room for the
 * others.
 */
export class Slots {
  readonly #total: number;
  readonly #perKey: number;
  /** Their keys. */
  readonly #running: string[] = [];
  readonly #waiting: { key: string; start: () => void; refuse: (why: Error) => void }[] = [];
  #isClosed = false;

  constructor(total: number, perKey: number) {
    this.#total = total;
    this.#perKey = perKey;
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Runs the work when there is room for it; who waits longest comes first. Throws what the work throws, and SlotsClosed
   * instead of beginning it after `close`.
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw closed();
    if (!this.#hasRoom(key)) {
      await new Promise<void>((start, refuse) => this.#waiting.push({ key, start, refuse }));
    } else this.#take(key);
    try {
      return await work();
    } finally {
      this.#leave(key);
    }
  }

  /** Begins nothing more: what waits is refused, and what runs goes on. */
  close(): void {
    this.#isClosed = true;
    for (const { refuse } of this.#waiting.splice(0)) refuse(closed());
  }

  #hasRoom(key: string): boolean {
    const ofKey = this.#running.filter((other) => other === key);
    return this.#running.length < this.#total && ofKey.length < this.#perKey;
  }

  #take(key: string): void {
    this.#running.push(key);
  }

  #leave(key: string): void {
    this.#running.splice(this.#running.indexOf(key), 1);
    for (const next of [...this.#waiting]) {
      if (!this.#hasRoom(next.key)) continue;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      // Taken here, since somebody else may come before the waiting one goes on.
      this.#take(next.key);
      next.start();
    }
  }
}

function closed(): SlotsClosed {
  return new SlotsClosed('the agent stops, and leaves this to the next one');
}
