import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { unmapCode } from '../lib/native/memory.ts';
import type { AgentPart } from './part.ts';

/** What the process has in memory, in bytes: of its own, and of files that are mapped, its executable above all. */
export type Resident = { readonly own: number; readonly mapped: number };

export type IdleMemoryOptions = {
  /** How long nothing is to do before memory is given back, and how often it is looked at, in milliseconds. */
  readonly everyMs: number;
  readonly resident?: () => Resident;
  /** How long the event loop has been at work since the process started, in milliseconds. */
  readonly busyMs?: () => number;
  readonly collect?: () => void;
  readonly unmap?: () => void;
};

/** What is worth it: V8 drops some of its optimized code on the way. */
const WORTHWHILE_BYTES = 16 * 1024 * 1024;

/** What the first collection empties, the second one, some time later, gives back. */
const COLLECTIONS = 2;

/** Whoever looks at metrics, and the agent at itself, take less than this part of the time. */
const IDLE_SHARE = 0.01;

/**
 * Gives back to the system what a burst of calls has made the process grow by, once nothing is to do: the heap, since V8
 * collects garbage when somebody allocates, and an idle agent does not; and the pages of the executable, most of which
 * only a start needs.
 */
export class IdleMemory implements AgentPart {
  readonly name = 'memory';
  readonly #options: Required<IdleMemoryOptions>;
  #timer: NodeJS.Timeout | undefined;
  #busyBefore = 0;
  /** What stayed the last time is needed; of what there is after the start, some is not. */
  #atRest: Resident = { own: 0, mapped: 0 };
  #collections = 0;
  #left = 0;

  constructor(options: IdleMemoryOptions) {
    const busyMs = () => performance.eventLoopUtilization().active;
    this.#options = { resident: residentNow, busyMs, collect: collectGarbage, unmap: unmapCode, ...options };
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
    const { everyMs, resident, busyMs } = this.#options;
    const busy = busyMs();
    const isIdle = busy - this.#busyBefore < everyMs * IDLE_SHARE;
    this.#busyBefore = busy;
    if (!isIdle) {
      this.#left = 0;
      return;
    }
    if (this.#left === 0 && resident().own >= this.#atRest.own + WORTHWHILE_BYTES) this.#left = COLLECTIONS;
    if (this.#left > 0) this.#collect();
    // After a collection, which uses more code than most calls do.
    if (this.#left === 0 && resident().mapped >= this.#atRest.mapped + WORTHWHILE_BYTES) this.#unmap();
    this.#busyBefore = busyMs();
  }

  #collect(): void {
    this.#options.collect();
    this.#collections++;
    this.#left--;
    if (this.#left === 0) this.#atRest = { ...this.#atRest, own: this.#options.resident().own };
  }

  #unmap(): void {
    this.#options.unmap();
    this.#atRest = { ...this.#atRest, mapped: this.#options.resident().mapped };
  }
}

function residentNow(): Resident {
  const status = readFileSync('/proc/self/status', 'utf8');
  return { own: kibibytes(status, /^RssAnon:\s+(\d+) kB$/m), mapped: kibibytes(status, /^RssFile:\s+(\d+) kB$/m) };
}

function kibibytes(text: string, line: RegExp): number {
  return Number(line.exec(text)?.[1]) * 1024;
}

// Without a pool of pages meanwhile, in which V8 would keep what is empty.
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--memory-pool-timeout=0');
  const collect: () => void = runInNewContext('gc');
  collect();
  setFlagsFromString('--memory-pool-timeout=8');
}
