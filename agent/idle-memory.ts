import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { AgentPart } from './part.ts';

export type IdleMemoryOptions = {
  /** How long nothing is to do before memory is given back, and how often it is looked at, in milliseconds. */
  readonly everyMs: number;
  /** What is resident, in bytes. */
  readonly resident?: () => number;
  /** How long the event loop has been at work since the process started, in milliseconds. */
  readonly busyMs?: () => number;
  readonly collect?: () => void;
};

/** What is worth it: V8 drops some of its optimized code on the way. */
const WORTHWHILE_BYTES = 16 * 1024 * 1024;

/** What the first collection empties, the second one, some time later, gives back. */
const COLLECTIONS = 2;

/** Whoever looks at metrics, and the agent at itself, take less than this part of the time. */
const IDLE_SHARE = 0.01;

/**
 * Gives back to the system what a burst of calls has made the heap grow by, once nothing is to do: V8 collects garbage when
 * somebody allocates, and an idle agent does not.
 */
export class IdleMemory implements AgentPart {
  readonly name = 'memory';
  readonly #options: Required<IdleMemoryOptions>;
  #timer: NodeJS.Timeout | undefined;
  #busyBefore = 0;
  #atRest: number;
  #collections = 0;
  #left = 0;

  constructor(options: IdleMemoryOptions) {
    const resident = () => process.memoryUsage.rss();
    const busyMs = () => performance.eventLoopUtilization().active;
    this.#options = { resident, busyMs, collect: collectGarbage, ...options };
    this.#atRest = this.#options.resident();
  }

  status(): object {
    return { collections: this.#collections };
  }

  register(): void {}

  start(): void {
    this.#timer = setInterval(() => this.look(), this.#options.everyMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
  }

  /** What happens every `everyMs`. */
  look(): void {
    const { everyMs, resident, busyMs, collect } = this.#options;
    const busy = busyMs();
    const isIdle = busy - this.#busyBefore < everyMs * IDLE_SHARE;
    this.#busyBefore = busy;
    if (!isIdle) {
      this.#left = 0;
      return;
    }
    if (this.#left === 0 && resident() >= this.#atRest + WORTHWHILE_BYTES) this.#left = COLLECTIONS;
    if (this.#left === 0) return;
    collect();
    this.#collections++;
    this.#left--;
    this.#busyBefore = busyMs();
    // What stays is needed.
    if (this.#left === 0) this.#atRest = resident();
  }
}

// Without a pool of pages meanwhile, in which V8 would keep what is empty.
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--memory-pool-timeout=0');
  const collect: () => void = runInNewContext('gc');
  collect();
  setFlagsFromString('--memory-pool-timeout=8');
}
