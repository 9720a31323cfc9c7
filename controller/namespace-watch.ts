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

/** After everything it does for a namespace it rests, for at least so long: some fifty times as long as that took. */
const REST_MS = 20;
const REST_FACTOR = 50;
const MAX_REST_MS = 5000;
/** If many do something at the same time, all together take no more than a tenth of the process' time. */
const REST_FACTOR_EACH = 10;

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
    if (!this.#isLooking) this.#timer = setTimeout(() => this.#begin(), due - performance.now());
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
    const begun = performance.now();
    try {
      if (this.#options.noticed(this.#notifications.read())) this.lookIn(this.#options.settleMs ?? SETTLE_MS);
      this.#rest(this.#restAfter(performance.now() - begun));
    } catch (error) {
      this.#rest(MAX_REST_MS);
      this.#options.failed(error as Error);
    }
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
    const begun = performance.now();
    let again: number | undefined;
    try {
      again = await this.#options.look();
    } catch (error) {
      this.#options.failed(error as Error);
    }
    this.#isLooking = false;
    const ended = performance.now();
    this.#restsUntil = ended + this.#restAfter(ended - begun);
    // What came meanwhile has not been rested for.
    const due = this.#due;
    this.#due = undefined;
    const next = [due === undefined ? undefined : due - ended, again].filter((ms) => ms !== undefined);
    if (next.length > 0) this.lookIn(Math.min(...next));
  }

  #restAfter(ms: number): number {
    const factor = Math.max(REST_FACTOR, REST_FACTOR_EACH * this.#options.load.resting);
    return Math.min(Math.max(REST_MS, ms * factor), MAX_REST_MS);
  }
}
