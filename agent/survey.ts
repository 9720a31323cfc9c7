import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import { type Attachment, type AttachmentState, takeInventory } from '../lib/inventory/inventory.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import type { AgentPart } from './part.ts';

export type SurveyOptions = {
  readonly dataDir: string;
  readonly plugins: readonly string[];
  readonly log: Logger;
  readonly everyMs: number;
  /** Called for each attachment of a pod that is known, at each look. */
  readonly found?: (plugin: string, pod: string) => void;
  /** Called for each attachment that begins to drift, with what is missing. */
  readonly drifts?: (attachment: Attachment, missing: readonly string[]) => void;
  /** Called after each look. */
  readonly done?: () => void;
};

const STATES: readonly AttachmentState[] = ['in place', 'drift', 'busy', 'gone', 'unknown'];

/**
 * Looks from time to time whether the attachments of the node are as ADD left them: for the metrics, and a line in the log
 * and an event for each that begins to drift. It puts nothing right.
 */
export class Survey implements AgentPart {
  readonly name = 'attachments';
  readonly #options: SurveyOptions;
  #counts: { [state: string]: number } = {};
  #drifting: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SurveyOptions) {
    this.#options = options;
  }

  status(): object {
    return this.#counts;
  }

  register(registry: Registry): void {
    const counts = () => this.#counts;
    new Gauge({
      name: 'waymark_attachments',
      help: 'Attachments by whether they are as ADD left them, as of the last look',
      labelNames: ['state'] as const,
      registers: [registry],
      collect() {
        for (const state of STATES) this.set({ state }, counts()[state] ?? 0);
      },
    });
  }

  start(): void {
    const look = () => {
      this.#looking = this.#looking.then(() => this.#look());
    };
    look();
    this.#timer = setInterval(look, this.#options.everyMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { dataDir, plugins, log, done } = this.#options;
    try {
      const { attachments } = await takeInventory(dataDir, plugins, {
        breathe: () => this.#breathe(),
        dumpBytes: DEFAULT_LIMITS.dumpBytes,
      });
      this.#counts = Object.fromEntries(
        STATES.map((state) => [state, attachments.filter((attachment) => attachment.state === state).length]),
      );
      for (const { plugin, pod, state } of attachments)
        if (pod !== undefined && state !== 'gone') this.#options.found?.(plugin, pod);
      this.#tell(attachments.filter(({ state }) => state === 'drift'));
      done?.();
    } catch (error) {
      if (!(error instanceof Stopped)) log.warn({ err: error }, 'attachments could not be inspected');
    }
  }

  #tell(drifting: readonly Attachment[]): void {
    for (const attachment of drifting) {
      const { pod, containerID, network, ifname, plugin, changes, journal } = attachment;
      if (this.#drifting.has(`${journal} ${network}`)) continue;
      const missing = changes.filter(({ state }) => state === 'missing').map(({ text }) => text);
      const fields = { plugin, containerID, ifname, pod, network, details: missing.join('\n') };
      this.#options.log.warn(fields, 'an attachment is not as ADD left it');
      this.#options.drifts?.(attachment, missing);
    }
    this.#drifting = new Set(drifting.map(({ journal, network }) => `${journal} ${network}`));
  }

  async #breathe(): Promise<void> {
    if (this.#stopped) throw new Stopped();
    await breathe();
  }
}

class Stopped extends Error {}
