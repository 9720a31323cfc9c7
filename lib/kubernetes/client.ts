import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ApiAccess } from './access.ts';
import { ApiError } from './errors.ts';
import { isKubeObject, type KubeObject } from './object.ts';

export type Query = { readonly [name: string]: string | number | boolean | undefined };

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'patch';

/** A request that has ended: `code` is the HTTP status, 0 where no answer came. */
export type RequestReport = { readonly verb: Verb; readonly code: number; readonly seconds: number };

export type ClientOptions = {
  readonly access: ApiAccess;
  /** Who we are, as in the API server's audit log. */
  readonly userAgent: string;
  readonly timeoutMs?: number;
  readonly maxAnswerBytes?: number;
  /** Called for every request that ended, watches when they have begun. */
  readonly report?: (report: RequestReport) => void;
};

/** A page of a list. `continueToken` is absent on the last. */
export type Page = {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  readonly continueToken?: string;
};

type Sent = {
  readonly verb: Verb;
  readonly body?: object;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
};

const DEFAULT_TIMEOUT_MS = 30_000;

/** An object of the API has at most 1.5 MiB in etcd, and a page at most 500 of ours. */
export const MAX_ANSWER_BYTES = 256 << 20;

/** As many requests at the same time as the node's pods could ask for without crowding out the server's other clients. */
const MAX_SOCKETS = 16;

/** A connection that says nothing is probed after so long, and given up 10 s later (TCP keep-alive). */
const KEEP_ALIVE_MS = 15_000;

const METHODS = { get: 'GET', list: 'GET', watch: 'GET', create: 'POST', patch: 'PATCH' } as const;

/** Every verb. */
export const VERBS = Object.keys(METHODS) as readonly Verb[];

/**
 * A client of the Kubernetes API (https://kubernetes.io/docs/reference/using-api/api-concepts/). Every method throws
 * ApiError, also where the server cannot be reached, and AccessError where our credentials cannot be read.
 */
export class ApiClient {
  readonly #options: ClientOptions;
  readonly #isPlain: boolean;
  readonly #agent: HttpAgent;
  /** Apart, since every watch keeps a connection. */
  readonly #watchAgent: HttpAgent;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#isPlain = options.access.server.startsWith('http:');
    const of = (maxSockets: number) => {
      const agentOptions = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxSockets };
      return this.#isPlain ? new HttpAgent(agentOptions) : new HttpsAgent(agentOptions);
    };
    this.#agent = of(MAX_SOCKETS);
    this.#watchAgent = of(Number.POSITIVE_INFINITY);
  }

  /** Closes the connections that are idle. */
  close(): void {
    this.#agent.destroy();
    this.#watchAgent.destroy();
  }

  async get(path: string): Promise<KubeObject> {
    return asObject(path, await this.#answer(path, {}, { verb: 'get' }));
  }

  /** One page of a list; `limit` and `continue` are the caller's. `signal` breaks it off. */
  async list(path: string, query: Query = {}, signal?: AbortSignal): Promise<Page> {
    const document = (await this.#answer(path, query, { verb: 'list', ...(signal && { signal }) })) as Partial<{
      items: unknown;
      metadata: { resourceVersion?: string; continue?: string };
    }>;
    const { items, metadata } = document;
    if (!Array.isArray(items) || typeof metadata?.resourceVersion !== 'string') {
      throw new ApiError(`${path}: the answer is not a list`);
    }
    const { resourceVersion, continue: token } = metadata;
    return { items: items.filter(isKubeObject), resourceVersion, ...(token ? { continueToken: token } : {}) };
  }

  async create(path: string, body: object): Promise<KubeObject> {
    return asObject(path, await this.#answer(path, {}, { verb: 'create', body, contentType: 'application/json' }));
  }

  /**
   * Merges `patch` into an object (RFC 7386): what is null there is removed. With `metadata.resourceVersion` in it, it
   * fails with 409 if the object was changed since; with `metadata.uid`, if it is another one of the same name.
   */
  async mergePatch(path: string, patch: object): Promise<KubeObject> {
    const sent = { verb: 'patch', body: patch, contentType: 'application/merge-patch+json' } as const;
    return asObject(path, await this.#answer(path, {}, sent));
  }

  /** Begins a watch; the answer's body is a JSON document per line, until either side ends it. */
  async watch(path: string, query: Query, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send(path, { ...query, watch: true }, { verb: 'watch', signal });
    if (response.statusCode !== 200) throw errorOf(path, response, await this.#bodyOf(response));
    return response;
  }

  async #answer(path: string, query: Query, sent: Sent): Promise<unknown> {
    const response = await this.#send(path, query, sent);
    const body = await this.#bodyOf(response);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw errorOf(path, response, body);
    try {
      return JSON.parse(body);
    } catch (cause) {
      throw new ApiError(`${path}: the answer is not JSON`, { status, cause });
    }
  }

  #send(path: string, query: Query, { verb, body, contentType, signal }: Sent): Promise<IncomingMessage> {
    const { report, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const begun = performance.now();
    let isDone = false;
    const done = (code: number) => {
      if (!isDone) report?.({ verb, code, seconds: (performance.now() - begun) / 1000 });
      isDone = true;
    };
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const options = this.#requestOptions(verb, text, contentType);
      const send = this.#isPlain ? httpRequest : httpsRequest;
      const asked = send(`${this.#options.access.server}${path}${queryText(query)}`, options, (response) => {
        done(response.statusCode ?? 0);
        // A watch says nothing for minutes; that the connection lives is what keep-alive is for. An error has an end.
        if (verb === 'watch' && response.statusCode === 200) asked.setTimeout(0);
        resolve(response);
      });
      const abort = () => asked.destroy(new Error('aborted'));
      signal?.addEventListener('abort', abort);
      asked.on('close', () => signal?.removeEventListener('abort', abort));
      asked.setTimeout(timeoutMs, () => asked.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
      asked.on('error', (cause) => {
        // What we give up ourselves says nothing about the server.
        if (signal?.aborted !== true) done(0);
        reject(new ApiError(`${this.#options.access.server} cannot be reached: ${cause.message}`, { cause }));
      });
      if (signal?.aborted) abort();
      asked.end(text);
    });
  }

  #requestOptions(verb: Verb, text: string | undefined, contentType: string | undefined): RequestOptions {
    const { token, ca, cert, key, insecure } = this.#options.access.credentials();
    return {
      method: METHODS[verb],
      agent: verb === 'watch' ? this.#watchAgent : this.#agent,
      headers: {
        accept: 'application/json',
        'user-agent': this.#options.userAgent,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(text !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
      },
      // Connections are shared only among requests with the same ones of these.
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert, key }),
      ...(insecure === true && { rejectUnauthorized: false }),
    } as RequestOptions;
  }

  async #bodyOf(response: IncomingMessage): Promise<string> {
    const { maxAnswerBytes = MAX_ANSWER_BYTES } = this.#options;
    const pieces: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        bytes += piece.length;
        if (bytes > maxAnswerBytes) throw new Error(`the answer has more than ${maxAnswerBytes} bytes`);
        pieces.push(piece);
      }
    } catch (cause) {
      throw new ApiError(`the API server broke off its answer: ${(cause as Error).message}`, { cause });
    }
    return Buffer.concat(pieces).toString();
  }
}

function queryText(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`],
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

type Status = { readonly message?: string; readonly reason?: string; readonly details?: { readonly name?: string } };

function errorOf(path: string, response: IncomingMessage, body: string): ApiError {
  let status: Status = {};
  try {
    status = JSON.parse(body) ?? {};
  } catch {
    // Something in front of the API server answered, in words of its own.
  }
  const seconds = Number(response.headers['retry-after']);
  return new ApiError(status.message ?? `${path}: HTTP ${response.statusCode}`, {
    status: response.statusCode ?? 0,
    reason: status.reason,
    // For a kind without a definition the server has a page of text, or a Status without an object's name.
    isUnknownKind: response.statusCode === 404 && !status.details?.name,
    retryAfterMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined,
  });
}

function asObject(path: string, document: unknown): KubeObject {
  if (isKubeObject(document)) return document;
  throw new ApiError(`${path}: the answer is not an object of the API`);
}
