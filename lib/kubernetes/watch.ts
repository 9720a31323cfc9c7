import type { IncomingMessage } from 'node:http';
import { type Backoff, pause, pauseMs } from './backoff.ts';
import type { ApiClient, Query } from './client.ts';
import { ApiError } from './errors.ts';
import { isKubeObject, type KubeObject, keyOf } from './object.ts';

export type WatchOptions<T> = {
  readonly client: ApiClient;
  /** The list's path, as `/api/v1/pods`. */
  readonly path: string;
  /** Selectors. */
  readonly query?: Query;
  /** What is kept of an object. A node has little memory to spare, and objects are large. */
  readonly keep: (object: KubeObject) => T;
  /** Called for every object that came, changed or went (`now` is undefined then). */
  readonly changed: (key: string, now: T | undefined, before: T | undefined) => void;
  /** Called whenever a list was read as a whole: at the start, and after the server forgot our place. */
  readonly listed?: () => void;
  /** Called when the server answers again after errors. */
  readonly recovered?: () => void;
  /** Called when it has to begin again after an error. */
  readonly failed?: (error: Error, pauseMs: number) => void;
  readonly backoff?: Backoff;
  readonly pageSize?: number;
  readonly maxLineBytes?: number;
};

const BACKOFF: Backoff = { firstMs: 500, maxMs: 30_000 };
const PAGE_SIZE = 500;

/** The server ends a watch after this long, plus a random part of as much, so that not all end at once. */
const WATCH_SECONDS = 300;

/** A watch that ends sooner than this without a word is a failure: a proxy before the server does not let it through. */
const SHORTEST_MS = 1000;

/** An object of the API has at most 1.5 MiB in etcd. */
export const MAX_LINE_BYTES = 64 << 20;

/**
 * Keeps a copy of a list of the API: reads it page by page, then follows it by a watch, which is taken up where it broke
 * off. Where the server has forgotten that place (410), the list is read again, and only differences are reported.
 */
export class Watch<T> {
  readonly items = new Map<string, T>();
  readonly #options: WatchOptions<T>;
  readonly #abort = new AbortController();
  /** Where we are in the list's history; undefined: it has to be read. */
  #version: string | undefined;
  /** The server has forgotten a place that we knew: its cache may be behind, so the list is read from the store. */
  #mustBeCurrent = false;
  #failures = 0;
  #isBroken = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: WatchOptions<T>) {
    this.#options = options;
  }

  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error as Error);
      }
    }
  }

  async #recover(error: Error): Promise<void> {
    const { failed, backoff = BACKOFF } = this.#options;
    if (error instanceof ApiError && error.isGone) {
      this.#version = undefined;
      this.#mustBeCurrent = true;
    }
    this.#failures++;
    this.#isBroken = true;
    const asked = error instanceof ApiError ? error.retryAfterMs : undefined;
    const ms = Math.max(asked ?? 0, pauseMs(this.#failures, backoff));
    failed?.(error, ms);
    await pause(ms, this.#abort.signal);
  }

  async #list(): Promise<void> {
    const { client, path, query = {}, pageSize = PAGE_SIZE, listed } = this.#options;
    const found = new Map<string, KubeObject>();
    // "0" lets the server answer from its cache, which costs etcd nothing; it may be a moment old, and the watch catches up.
    const from = this.#mustBeCurrent ? {} : { resourceVersion: '0' };
    const { signal } = this.#abort;
    let page = await client.list(path, { ...query, ...from, limit: pageSize }, signal);
    const version = page.resourceVersion;
    for (;;) {
      for (const item of page.items) found.set(keyOf(item), item);
      if (page.continueToken === undefined) break;
      page = await client.list(path, { ...query, limit: pageSize, continue: page.continueToken }, signal);
    }
    if (signal.aborted) return;
    for (const key of [...this.items.keys()].filter((key) => !found.has(key))) this.#forget(key);
    for (const object of found.values()) this.#put(object);
    this.#version = version;
    this.#mustBeCurrent = false;
    listed?.();
  }

  async #follow(): Promise<void> {
    const { client, path, query = {}, maxLineBytes = MAX_LINE_BYTES } = this.#options;
    const timeoutSeconds = Math.round(WATCH_SECONDS * (1 + Math.random()));
    const { signal } = this.#abort;
    const begun = performance.now();
    const place = { resourceVersion: this.#version, allowWatchBookmarks: true, timeoutSeconds };
    const stream = await client.watch(path, { ...query, ...place }, signal);
    if (this.#isBroken) this.#options.recovered?.();
    this.#isBroken = false;
    let events = 0;
    for await (const line of linesOf(stream, maxLineBytes)) {
      events++;
      this.#failures = 0;
      this.#take(JSON.parse(line));
    }
    if (events === 0 && performance.now() - begun < SHORTEST_MS && !signal.aborted) {
      throw new ApiError(`${path}: the watch ended at once`);
    }
  }

  #take({ type, object }: { type?: string; object?: unknown }): void {
    if (type === 'ERROR') {
      const {
        code,
        message = 'the watch failed',
        reason,
      } = (object ?? {}) as {
        code?: number;
        message?: string;
        reason?: string;
      };
      throw new ApiError(message, { ...(code !== undefined && { status: code }), reason });
    }
    // A bookmark has nothing but the version.
    const version = (object as KubeObject | undefined)?.metadata?.resourceVersion;
    if (type !== 'BOOKMARK' && isKubeObject(object)) {
      if (type === 'DELETED') this.#forget(keyOf(object));
      else this.#put(object);
    }
    if (typeof version === 'string') this.#version = version;
  }

  #put(object: KubeObject): void {
    const key = keyOf(object);
    const before = this.items.get(key);
    const now = this.#options.keep(object);
    this.items.set(key, now);
    this.#options.changed(key, now, before);
  }

  #forget(key: string): void {
    const before = this.items.get(key);
    this.items.delete(key);
    if (before !== undefined) this.#options.changed(key, undefined, before);
  }
}

async function* linesOf(stream: IncomingMessage, maxBytes: number): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      let rest = piece;
      for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
        const line = Buffer.concat([...pieces, rest.subarray(0, end)]).toString();
        pieces = [];
        bytes = 0;
        rest = rest.subarray(end + 1);
        if (line.trim() !== '') yield line;
      }
      bytes += rest.length;
      if (bytes > maxBytes) throw new Error('a line is too long');
      pieces.push(rest);
    }
  } catch (cause) {
    throw new ApiError(`the watch broke off: ${(cause as Error).message}`, { cause });
  }
}

const NEWLINE = 0x0a;
