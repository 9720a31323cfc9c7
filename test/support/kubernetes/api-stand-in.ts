import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { ApiClient } from '../../../lib/kubernetes/client.ts';
import type { KubeObject } from '../../../lib/kubernetes/object.ts';
import { OWN_LOOPBACK } from '../loopback.ts';

// A stand-in for kube-apiserver: objects in memory with resource versions, lists in pages, watches with bookmarks and
// 410, merge patches with preconditions. It knows nothing of schemas, defaults or admission. What it gets wrong shows on
// the real one, in test/cluster.

type Json = { [key: string]: unknown };
type Change = { version: number; type: 'ADDED' | 'MODIFIED' | 'DELETED'; path: string; object: KubeObject };

/** A request as it came. */
export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Json | undefined;
};

/** Answers a request in the place of the server; undefined: the server shall. */
export type Fault = (asked: Asked, response: ServerResponse) => true | undefined | Promise<true | undefined>;

type Watcher = { path: string; query: URLSearchParams; response: ServerResponse };

/** See the top of this file. `/api/v1/namespaces/a/pods/b` is an object; what comes before its name, a list. */
export class ApiStandIn {
  readonly asked: Asked[] = [];
  /** Set to let requests fail. */
  fault: Fault = () => undefined;
  readonly #objects = new Map<string, KubeObject>();
  #changes: Change[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #server: Server;
  readonly #isSecure: boolean;
  /** The kinds that somebody has defined, by their plural. */
  readonly kinds = new Set(['pods', 'events', 'network-attachment-definitions']);
  #version = 100;
  #oldest = 0;

  constructor(tls?: { key: string; cert: string }) {
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server = tls === undefined ? createServer(serve) : createSecureServer(tls, serve);
    this.#isSecure = tls !== undefined;
  }

  async start(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, this.#host, resolve));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#watchers.clear();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  // Certificates have the usual address; another server has one on which its port waits for it while it is away.
  get #host(): string {
    return this.#isSecure ? '127.0.0.1' : OWN_LOOPBACK;
  }

  get url(): string {
    return `${this.#isSecure ? 'https' : 'http'}://${this.#host}:${(this.#server.address() as AddressInfo).port}`;
  }

  client(timeoutMs = 60_000): ApiClient {
    return new ApiClient({ access: { server: this.url, credentials: () => ({}) }, userAgent: 'test', timeoutMs });
  }

  /** What somebody else writes: an object as a whole. */
  put(path: string, object: Json): KubeObject {
    const before = this.#objects.get(path);
    const metadata = object.metadata as Json;
    const stored = {
      ...object,
      metadata: {
        uid: before?.metadata.uid ?? `uid-${this.#version + 1}`,
        ...metadata,
        resourceVersion: String(++this.#version),
      },
    } as unknown as KubeObject;
    this.#objects.set(path, stored);
    this.#publish({ version: this.#version, type: before ? 'MODIFIED' : 'ADDED', path, object: stored });
    return stored;
  }

  get(path: string): KubeObject | undefined {
    return this.#objects.get(path);
  }

  delete(path: string): void {
    const object = this.#objects.get(path);
    if (object === undefined) return;
    this.#objects.delete(path);
    const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#publish({ version: this.#version, type: 'DELETED', path, object: gone });
  }

  /** Every watch gets a bookmark. */
  bookmark(): void {
    for (const { response } of this.#watchers) {
      const metadata = { resourceVersion: String(this.#version) };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata } })}\n`);
    }
  }

  /** Every watch ends, as when it times out or the connection breaks. */
  endWatches(how: 'end' | 'destroy' = 'end'): void {
    for (const { response } of this.#watchers) response[how]();
    this.#watchers.clear();
  }

  /** What happened so far is forgotten: who asks for changes since then gets 410. */
  compact(): void {
    this.#changes = [];
    this.#oldest = ++this.#version;
  }

  get watching(): number {
    return this.#watchers.size;
  }

  count(method: string, path: RegExp): number {
    return this.asked.filter((asked) => asked.method === method && path.test(asked.path)).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stand-in');
    const text = Buffer.concat(pieces).toString();
    const asked: Asked = {
      method: request.method ?? '',
      path: pathname,
      query: searchParams,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.asked.push(asked);
    if (await this.fault(asked, response)) return;
    if (asked.method === 'PATCH') this.#patch(asked, response);
    else if (asked.method === 'POST') this.#create(asked, response);
    else if (searchParams.get('watch') === 'true') this.#watch(asked, response);
    else this.#read(asked, response);
  }

  #read({ path, query }: Asked, response: ServerResponse): void {
    const object = this.#objects.get(path);
    if (object !== undefined) {
      answer(response, 200, object as Json);
      return;
    }
    if (!this.kinds.has(path.split('/').at(-1) ?? '')) {
      if (this.kinds.has(path.split('/').at(-2) ?? '')) refuse(response, 404, 'NotFound', `${path} not found`, path);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
      return;
    }
    const found = [...this.#objects].filter(([at, item]) => isIn(path, at) && selects(query, item));
    const limit = Number(query.get('limit') ?? 0);
    const [from = 0, version = this.#version] = (query.get('continue') ?? '').split('-').filter(Boolean).map(Number);
    if (from > 0 && version < this.#oldest) {
      refuse(response, 410, 'Expired', 'the continue token is too old');
      return;
    }
    const isCut = limit > 0 && query.get('resourceVersion') !== '0' && from + limit < found.length;
    const items = found.slice(from, isCut ? from + limit : undefined).map(([, item]) => item);
    const token = isCut ? { continue: `${from + limit}-${version}` } : {};
    answer(response, 200, { kind: 'List', metadata: { resourceVersion: String(version), ...token }, items });
  }

  #patch({ path, body = {} }: Asked, response: ServerResponse): void {
    const at = path.replace(/\/status$/, '');
    const before = this.#objects.get(at);
    if (before === undefined) {
      refuse(response, 404, 'NotFound', `${at} not found`, at);
      return;
    }
    const { resourceVersion, uid } = (body.metadata ?? {}) as { resourceVersion?: string; uid?: string };
    const isStale = resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion;
    if (isStale || (uid !== undefined && uid !== before.metadata.uid)) {
      refuse(response, 409, 'Conflict', 'the object has been modified');
      return;
    }
    answer(response, 200, this.put(at, merged(before as Json, body) as Json) as Json);
  }

  #create({ path, body = {} }: Asked, response: ServerResponse): void {
    const { name } = body.metadata as { name: string };
    if (this.#objects.has(`${path}/${name}`)) {
      refuse(response, 409, 'AlreadyExists', `${name} exists`);
      return;
    }
    answer(response, 201, this.put(`${path}/${name}`, body) as Json);
  }

  #watch({ path, query }: Asked, response: ServerResponse): void {
    const since = Number(query.get('resourceVersion') ?? 0);
    if (since < this.#oldest) {
      refuse(response, 410, 'Expired', 'too old resource version');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher = { path, query, response };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
    for (const change of this.#changes.filter(({ version }) => version > since)) tell(watcher, change);
  }

  #publish(change: Change): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) tell(watcher, change);
  }
}

function tell({ path, query, response }: Watcher, { type, path: at, object }: Change): void {
  if (isIn(path, at) && selects(query, object)) response.write(`${JSON.stringify({ type, object })}\n`);
}

// `/api/v1/pods` has the pods of every namespace.
function isIn(list: string, at: string): boolean {
  const folder = at.slice(0, at.lastIndexOf('/'));
  return folder === list || folder.replace(/\/namespaces\/[^/]+/, '') === list;
}

function selects(query: URLSearchParams, object: KubeObject): boolean {
  const { fields } = { fields: (query.get('fieldSelector') ?? '').split(',').filter(Boolean) };
  return fields.every((pair) => {
    const [path = '', wanted] = pair.split('=');
    const value = path.split('.').reduce<unknown>((at, key) => (at as Json | undefined)?.[key], object);
    return String(value ?? '') === wanted;
  });
}

function merged(before: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Json = { ...(typeof before === 'object' && before !== null ? before : {}) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

function answer(response: ServerResponse, code: number, document: Json): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(document));
}

/** Refuses a request as kube-apiserver words it; `path` is the object's, where it is about one. */
export function refuse(response: ServerResponse, code: number, reason: string, message: string, path?: string): void {
  const details = path === undefined ? {} : { details: { name: path.split('/').at(-1) } };
  answer(response, code, { kind: 'Status', status: 'Failure', code, reason, message, ...details });
}
