import { join } from 'node:path';
import { isJsonObject } from '../lib/cni/json.ts';
import { nameProblem } from '../lib/cni/names.ts';
import type { PathOf } from '../lib/cni/place.ts';
import { ensureFolder, readBytesIfThere, replaceFile } from '../lib/files/files.ts';
import { type Backoff, pauseMs } from '../lib/kubernetes/backoff.ts';
import type { ApiClient } from '../lib/kubernetes/client.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';
import { Watch } from '../lib/kubernetes/watch.ts';

export type WaymarkFilesOptions = {
  readonly client: ApiClient;
  /** Where the ConfigMap is. */
  readonly namespace: string;
  readonly pathOf: PathOf;
  /** On the node. */
  readonly folder?: string;
  readonly log?: ((level: 'info' | 'warn', message: string, fields: object) => void) | undefined;
  readonly failed?: ((error: Error) => void) | undefined;
  readonly backoff?: Backoff;
};

/** The ConfigMap whose keys are files of every node. */
export const FILES_CONFIG_MAP = 'waymark-files';

const DEFAULT_FOLDER = '/etc/waymark';
const BACKOFF: Backoff = { firstMs: 1000, maxMs: 60_000 };

type Content = ReadonlyMap<string, Buffer>;

/**
 * Keeps the keys of a ConfigMap as files of the node, each whole and by rename. What is deleted from the ConfigMap stays on the
 * node: pods that start may need it. A file that cannot be written is tried again, and does not hold up the others.
 */
export class WaymarkFiles {
  readonly #options: WaymarkFilesOptions;
  readonly #watch: Watch<Content>;
  #content: Content = new Map();
  #problems: readonly string[] = [];
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WaymarkFilesOptions) {
    this.#options = options;
    this.#watch = new Watch<Content>({
      client: options.client,
      path: `/api/v1/namespaces/${options.namespace}/configmaps`,
      query: { fieldSelector: `metadata.name=${FILES_CONFIG_MAP}` },
      keep: contentOf,
      changed: (_, now) => this.#changed(now),
      ...(options.failed && { failed: options.failed }),
    });
  }

  /** The files that could not be written, with the reasons. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  start(): void {
    this.#watch.start();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#watch.stop();
    clearTimeout(this.#timer);
  }

  #changed(now: Content | undefined): void {
    if (now === undefined) return;
    this.#content = now;
    this.#failures = 0;
    this.#write();
  }

  #write(): void {
    clearTimeout(this.#timer);
    const { log, backoff = BACKOFF } = this.#options;
    const problems = [...this.#content].flatMap(([name, content]) => {
      try {
        if (this.#put(name, content)) log?.('info', 'a file of the ConfigMap was written', { file: name });
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    });
    const news = problems.filter((problem) => !this.#problems.includes(problem));
    for (const reason of news) log?.('warn', 'a file of the ConfigMap cannot be written', { reason });
    this.#problems = problems;
    if (problems.length > 0) this.#timer = setTimeout(() => this.#write(), pauseMs(++this.#failures, backoff));
  }

  // Only what differs: whoever watches the file need not look again.
  #put(name: string, content: Buffer): boolean {
    const { folder = DEFAULT_FOLDER, pathOf } = this.#options;
    const problem = nameProblem(name);
    if (problem !== undefined) throw new Error(`key "${name}" ${problem}`);
    const place = pathOf(folder);
    ensureFolder(place);
    const path = join(place, name);
    if (readBytesIfThere(path)?.equals(content)) return false;
    // A node that boots without an API server starts pods too.
    replaceFile(path, content, { durable: true });
    return true;
  }
}

function contentOf({ data, binaryData }: KubeObject): Content {
  const texts = isJsonObject(data) ? Object.entries(data) : [];
  const bytes = isJsonObject(binaryData) ? Object.entries(binaryData) : [];
  return new Map([
    ...texts.map(([name, text]): [string, Buffer] => [name, Buffer.from(String(text))]),
    ...bytes.map(([name, text]): [string, Buffer] => [name, Buffer.from(String(text), 'base64')]),
  ]);
}
