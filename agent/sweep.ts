import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from 'pino';
import { isKnown } from '../lib/change/attachment-journal.ts';
import { goneOf } from '../lib/change/gone-namespaces.ts';
import { forgetGone, journalNames, type Located, locate } from '../lib/journal/gone.ts';
import { writer } from '../lib/journal/writer.ts';

export type SweepOptions = {
  readonly dataDir: string;
  readonly plugins: readonly string[];
  readonly log: Logger;
  /** Called for each journal that was forgotten, with its plugin. */
  readonly forgotten: (plugin: string) => void;
  readonly everyMs: number;
};

/**
 * Forgets journals whose network namespace is gone, at start and from time to time: nobody is going to DEL them if the
 * runtime has lost its records. Why it is certain: docs/decisions/0015-journals-of-namespaces-that-are-gone.md.
 */
export class Sweep {
  readonly #options: SweepOptions;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #stopped = false;
  #said = '';

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#sweeping = this.#sweep();
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.#sweep());
    }, this.#options.everyMs);
  }

  /** Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    try {
      const journals = (await this.#journals()).filter(wasSeenFromHere);
      if (journals.length > 0 && !seesAllProcesses()) throw new Error('CAP_SYS_PTRACE is missing');
      const gone = await goneOf(new Set(journals.map(({ namespace }) => namespace)), () => this.#breathe());
      for (const journal of journals) {
        if (gone.has(journal.namespace)) this.#forget(journal);
        await this.#breathe();
      }
      this.#said = '';
    } catch (error) {
      if (!(error instanceof Stopped)) this.#keep((error as Error).message);
    }
  }

  async #journals(): Promise<(Located & { plugin: string })[]> {
    const { dataDir, plugins } = this.#options;
    const journals: (Located & { plugin: string })[] = [];
    for (const plugin of plugins) {
      const folder = join(dataDir, plugin);
      for (const name of this.#orSay(() => journalNames(folder)) ?? []) {
        const journal = this.#orSay(() => locate(folder, name));
        if (journal !== undefined) journals.push({ ...journal, plugin });
        await this.#breathe();
      }
    }
    return journals;
  }

  #forget(journal: Located & { plugin: string }): void {
    if (!this.#orSay(() => forgetGone(journal, isKnown))) return;
    const { plugin, path } = journal;
    this.#options.forgotten(plugin);
    this.#options.log.info({ plugin, path }, 'forgot a journal: its network namespace is gone');
  }

  // One that cannot be read does not keep the others.
  #orSay<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#options.log.debug({ err: error }, 'a journal is left alone');
      return undefined;
    }
  }

  #keep(why: string): void {
    if (this.#said !== why) this.#options.log.info({ reason: why }, 'journals of namespaces that are gone are kept');
    this.#said = why;
  }

  async #breathe(): Promise<void> {
    await breathe();
    if (this.#stopped) throw new Stopped();
  }
}

class Stopped extends Error {}

/** The first PID namespace, in every kernel (`PROC_PID_INIT_INO`). */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

// Whoever wrote it saw the pod's processes, or a mount; older builds did not say who it was.
function wasSeenFromHere(journal: Located): boolean {
  const own = writer();
  return own !== '' && (own === FIRST_PID_NAMESPACE || own === journal.writer);
}

/** The bit of CAP_SYS_PTRACE, without which processes can be hidden (proc(5), `hidepid`). */
const SYS_PTRACE = 1n << 19n;

function seesAllProcesses(): boolean {
  const status = readFileSync('/proc/self/status', 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*([\da-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return (capabilities & SYS_PTRACE) !== 0n;
}
