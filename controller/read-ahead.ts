import type { Definitions } from '../lib/attachments/definitions.ts';
import type { Pod } from '../lib/attachments/pod.ts';
import type { Selection } from '../lib/attachments/selection.ts';
import { parseStatus } from '../lib/attachments/status.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';

/** What was read longer ago is read again: other steps came first. */
const FRESH_MS = 1000;

/** Reads a definition while it is found out what is to be done, since the network will most likely be attached. */
export class ReadAhead {
  readonly #definitions: Pick<Definitions, 'get'>;
  readonly #begun = performance.now();
  #network: string | undefined;
  readonly #reading: Promise<KubeObject> | undefined;

  /** `network`: whose definition; undefined: none. */
  constructor(definitions: Pick<Definitions, 'get'>, network: string | undefined) {
    this.#definitions = definitions;
    this.#network = network;
    this.#reading = network === undefined ? undefined : definitions.get(network);
    // Whoever asks is told; if nobody does, nobody needs to know.
    this.#reading?.catch(() => undefined);
  }

  /** A definition, as it is now or was a moment ago. Throws ApiError. */
  async get(network: string): Promise<KubeObject> {
    const isRead = network === this.#network && performance.now() - this.#begun < FRESH_MS;
    // For one attachment: it is not kept for the next.
    if (isRead) this.#network = undefined;
    return isRead && this.#reading !== undefined ? this.#reading : this.#definitions.get(network);
  }
}

/** The first network that a pod selects of which it has nothing yet: by its status, and by `recorded` networks. */
export function networkToCome(
  selections: readonly Selection[],
  { status }: Pick<Pod, 'status'>,
  recorded: readonly string[],
): string | undefined {
  const there = new Set<unknown>([...recorded, ...(parseStatus(status) ?? []).map(({ name }) => name)]);
  return selections.find(({ network }) => !there.has(network))?.network;
}
