import type { Prefix } from '../lib/address/prefix.ts';
import type { QueueLimits } from './queue.ts';

/** What the agent takes upon itself. What exceeds it goes to the single-file executable. Sizes in bytes. */
export type AgentLimits = QueueLimits & {
  /** The largest config of a call. */
  readonly configBytes: number;
  /** The configs and variables of all calls that are being read, wait or run. */
  readonly allConfigsBytes: number;
  /** The largest table that is read from the kernel. */
  readonly dumpBytes: number;
  /** The longest wait that a pod's annotation may ask for, in seconds. */
  readonly annotationSeconds: number;
  /** Destinations that a pod's annotation must not lead elsewhere. */
  readonly protectedPrefixes: readonly Prefix[];
};

/**
 * Chosen for the memory limit of `manifests/components/agent`, with room for a multiple of a config's size once it is
 * read, checked and planned.
 */
export const DEFAULT_LIMITS: AgentLimits = {
  running: 64,
  waiting: 1024,
  waitMs: 30_000,
  configBytes: 512 << 10,
  allConfigsBytes: 8 << 20,
  dumpBytes: 2 << 20,
  annotationSeconds: 60,
  protectedPrefixes: [],
};

/** A config beyond this is read and planned for long enough to be felt by others. */
export const LARGE_CONFIG_BYTES = 64 << 10;

/** Counts the bytes of the configs that the agent holds. */
export class Budget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes so many bytes, if no more than `most` are used then. Is it done? */
  take(bytes: number, most = this.#limit): boolean {
    if (this.#used + bytes > most) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}
