/** What the work of a key came to: when to look again, if at all. */
export type Again = { readonly afterMs: number } | undefined;

type Entry = { isRunning: boolean; isDirty: boolean; timer?: NodeJS.Timeout | undefined };

/**
 * Runs the work of each key when somebody says that there may be some: never twice at the same time for one key, and once
 * more if it was asked for while it ran. Keys do not wait for each other.
 */
export class WorkQueue {
  readonly #work: (key: string) => Promise<Again>;
  readonly #entries = new Map<string, Entry>();
  readonly #idle: (() => void)[] = [];
  #isStopped = false;

  /** `work` must not throw. */
  constructor(work: (key: string) => Promise<Again>) {
    this.#work = work;
  }

  /** How many keys have work that runs. */
  get running(): number {
    return [...this.#entries.values()].filter(({ isRunning }) => isRunning).length;
  }

  /** There may be work for this key, now. */
  kick(key: string): void {
    if (this.#isStopped) return;
    const entry = this.#entries.get(key) ?? { isRunning: false, isDirty: false };
    this.#entries.set(key, entry);
    clearTimeout(entry.timer);
    entry.timer = undefined;
    if (entry.isRunning) entry.isDirty = true;
    else void this.#run(key, entry);
  }

  /** Begins nothing more, and resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    if (this.running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #run(key: string, entry: Entry): Promise<void> {
    entry.isRunning = true;
    let again: Again;
    do {
      entry.isDirty = false;
      again = await this.#work(key);
    } while (entry.isDirty && !this.#isStopped);
    entry.isRunning = false;
    if (again === undefined) this.#entries.delete(key);
    else if (!this.#isStopped) entry.timer = setTimeout(() => this.kick(key), again.afterMs);
    if (this.#isStopped && this.running === 0) for (const resolve of this.#idle) resolve();
  }
}
