import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { AgentPart } from '../agent/part.ts';
import type { InstallationStatus } from '../agent/status.ts';
import { type Log, logBy } from '../lib/cni/log.ts';
import { Hashes } from '../lib/install/hashes.ts';
import type { Readiness } from '../lib/install/keep.ts';
import { bringInPlace, type InPlaceOptions, NOTHING_YET } from './in-place.ts';

/** Reading what is to be installed again costs little: contents are hashed once. */
const RETRY_MS = 10_000;

/**
 * Installs the node's executables and keeps them in place, so that a node needs one container. An agent that cannot
 * install goes on serving calls, tries again, and is not ready.
 */
export class Installs implements AgentPart {
  readonly name = 'installation';
  readonly #options: InPlaceOptions;
  readonly #log: Log;
  readonly #retryMs: number;
  readonly #hashes = new Hashes();
  readonly #readiness: Readiness = { problem: NOTHING_YET };
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: InPlaceOptions, log: Logger, retryMs = RETRY_MS) {
    this.#options = options;
    const lines = log.child({ component: 'install' });
    this.#log = logBy(
      (level) => lines.isLevelEnabled(level),
      (level, message, fields) => lines[level](fields, message),
    );
    this.#retryMs = retryMs;
  }

  status(): InstallationStatus {
    const { binDir, mode } = this.#options;
    const { problem } = this.#readiness;
    return { binDir, mode, ...(problem !== undefined && { problem }) };
  }

  problem(): string | undefined {
    return this.#readiness.problem;
  }

  register(registry: Registry): void {
    const isInPlace = () => this.#readiness.problem === undefined;
    new Gauge({
      name: 'waymark_installed',
      help: 'Is everything that this agent installs in place? 1 or 0',
      registers: [registry],
      collect() {
        this.set(isInPlace() ? 1 : 0);
      },
    });
  }

  start(): void {
    this.#running = this.#run(this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const around = {
      readiness: this.#readiness,
      hashes: this.#hashes,
      log: this.#log,
      say: (line: string) => this.#log.info(line),
    };
    while (!signal.aborted) {
      try {
        await bringInPlace(this.#options, signal, around);
      } catch (error) {
        if (signal.aborted) return;
        const { message } = error as Error;
        // Once, not every time.
        if (message !== this.#readiness.problem) this.#log.error(message);
        this.#readiness.problem = message;
        await sleep(this.#retryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
