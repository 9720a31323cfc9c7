import { type Notices, Notifications } from '../lib/netlink/notifications.ts';
import type { Namespace } from '../lib/netns/netns.ts';

export type NamespaceWatchOptions = {
  /** It stays the caller's to close. */
  readonly namespace: Namespace;
  /** Called with what has changed: is it a reason to look? */
  readonly noticed: (notices: Notices) => boolean;
  /** Looks, and says in how many milliseconds to look again, if nothing changes before. */
  readonly look: () => Promise<number | undefined>;
  /** Called when the kernel tells nothing any more, or a look throws. */
  readonly failed: (error: Error) => void;
  /** What all watches of the process share. */
  readonly load: Load;
  readonly settleMs?: number;
};

/** How many watches have had something to do lately. */
export type Load = { resting: number };

/** What comes together is looked at together: somebody who flushes routes takes them one by one. */
const SETTLE_MS = 20;

/** After everything it does for a namespace it rests for so long, if that has not taken too much time lately. */
const REST_MS = 20;
const MAX_REST_MS = 5000;

/** Of the process' time, a namespace takes a fiftieth, after a tenth of a second that it may take at once. */
const SHARE = 1 / 50;
const CREDIT_MS = 100;
/** If many do something at the same time, all together take no more than a tenth. */
const SHARE_OF_ALL = 1 / 10;

/**
 * Looks at a namespace soon after something has changed there, and not more often than a share of the time allows: whoever
 * is in there may change things all the time. Without changes it costs nothing.
 */
export class NamespaceWatch {
  readonly #options: NamespaceWatchOptions;
  readonly #notifications: Notifications;
  #isClosed = false;
  #isLooking = false;
  /** When to look, by performance.now(). */
  #due: number | undefined;
  #restsUntil = 0;
  readonly #allowance = new Allowance(performance.now());
  #timer: NodeJS.Timeout | undefined;
  #resting: NodeJS.Timeout | undefined;
  #looked: Promise<void> = Promise.resolve();

  /** Throws NetlinkError, NamespaceError and AddonError. */
  constructor(options: NamespaceWatchOptions) {
    this.#options = options;
    this.#notifications = Notifications.open(options.namespace);
    this.#listen();
  }

  /** Looks in so many milliseconds, or before. */
  lookIn(ms: number): void {
    if (this.#isClosed) return;
    const due = Math.max(performance.now() + ms, this.#restsUntil);
    if (this.#due !== undefined && this.#due <= due) return;
    this.#due = due;
    clearTimeout(this.#timer);
    if (!this.#isLooking) this.#timer = setTimeout(() => this.#begin(), Math.max(0, due - performance.now()));
  }

  /** Reads what has changed until now, before it would by itself. Throws NetlinkError. */
  catchUp(): void {
    if (!this.#isClosed) this.#notice();
  }

  /** Closes the socket at once, and resolves when a look that runs has ended. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      clearTimeout(this.#timer);
      this.#endRest();
      this.#notifications.close();
    }
    await this.#looked;
  }

  #listen(): void {
    try {
      this.#notifications.wakeOnce(() => this.#read());
    } catch (error) {
      this.#rest(MAX_REST_MS);
      this.#options.failed(error as Error);
    }
  }

  #read(): void {
    const begun = processorMs();
    try {
      this.#notice();
      this.#rest(this.#restAfter(processorMs() - begun));
    } catch (error) {
      this.#rest(MAX_REST_MS);
      this.#options.failed(error as Error);
    }
  }

  // Throws NetlinkError.
  #notice(): void {
    if (this.#options.noticed(this.#notifications.read())) this.lookIn(this.#options.settleMs ?? SETTLE_MS);
  }

  #rest(ms: number): void {
    if (this.#isClosed) return;
    this.#options.load.resting++;
    this.#resting = setTimeout(() => {
      this.#endRest();
      this.#listen();
    }, ms);
  }

  #endRest(): void {
    if (this.#resting === undefined) return;
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#options.load.resting--;
  }

  #begin(): void {
    this.#looked = this.#look();
  }

  async #look(): Promise<void> {
    this.#due = undefined;
    this.#isLooking = true;
    const begun = processorMs();
    let again: number | undefined;
    try {
      again = await this.#options.look();
    } catch (error) {
      this.#options.failed(error as Error);
    }
    this.#isLooking = false;
    const ended = performance.now();
    this.#restsUntil = ended + this.#restAfter(processorMs() - begun);
    // What came meanwhile has not been rested for.
    const due = this.#due;
    this.#due = undefined;
    const next = [due === undefined ? undefined : due - ended, again].filter((ms) => ms !== undefined);
    if (next.length > 0) this.lookIn(Math.min(...next));
  }

  // After having taken so much time.
  #restAfter(ms: number): number {
    return this.#allowance.restAfter(ms, this.#options.load.resting, performance.now());
  }
}

/** How much of the process' time a namespace may take. Times are in milliseconds, `now` by one clock. */
export class Allowance {
  /** How much it may take at once, and since when. */
  #credit: { readonly ms: number; readonly at: number };

  constructor(now: number) {
    this.#credit = { ms: CREDIT_MS, at: now };
  }

  /** How long it rests after having taken so much time, while so many have something to do. */
  restAfter(ms: number, resting: number, now: number): number {
    const share = Math.min(SHARE, SHARE_OF_ALL / Math.max(1, resting));
    this.#credit = { ms: Math.min(CREDIT_MS, this.#credit.ms + (now - this.#credit.at) * share) - ms, at: now };
    return Math.min(Math.max(REST_MS, -this.#credit.ms / share), MAX_REST_MS);
  }
}

// What else runs on the machine does not count.
function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
