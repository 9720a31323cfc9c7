import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Scratch } from '../namespaces/namespace.ts';
import { until } from '../until.ts';

// A stand-in for kube-apiserver that Multus' client understands too: it reads JSON, but writes protobuf, of which only the
// status annotation is looked at. Objects are never edited or deleted. It listens on Unix sockets, and in a node's namespace
// on ports of loopback.

/** See the top of this file. */
export type ApiForBoth = {
  put(path: string, object: ApiObject): void;
  /** The status annotation that was written last for a pod, by whoever. */
  statusOf(path: string): { [key: string]: unknown }[] | undefined;
  /** Listens on 127.0.0.1:6443 in the node's namespace. */
  openIn(node: Scratch): Promise<void>;
  /** The same with TLS, on port 6444; its certificate, in a file. */
  openSecurelyIn(node: Scratch): Promise<string>;
};

export type ApiObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
  readonly spec?: object;
  readonly status?: object;
};

const STATUS = 'k8s.v1.cni.cncf.io/network-status';

/** What is listed and watched, in all namespaces at once. */
const LISTS: { readonly [path: string]: { readonly apiVersion: string; readonly kind: string } } = {
  '/api/v1/pods': { apiVersion: 'v1', kind: 'PodList' },
  '/apis/k8s.cni.cncf.io/v1/network-attachment-definitions': {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinitionList',
  },
};

export async function apiForBoth(t: Test, folder: string): Promise<ApiForBoth> {
  const objects = new Map<string, ApiObject>();
  const statuses = new Map<string, string>();
  const watches = new Set<{ list: string; response: ServerResponse }>();
  const children: ChildProcess[] = [];
  const servers: Server[] = [];
  // The version of an object is its place.
  const itemsOf = (list: string, since = 0) =>
    [...objects].slice(since).flatMap(([path, object]) => (listOf(path) === list ? [object] : []));

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://api');
    const path = pathname.replace(/\/status$/, '');
    const answer = (code: number, document: object) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(document));
    const status = statusIn(Buffer.concat(pieces));
    if (status !== undefined) statuses.set(path, status);
    const object = objects.get(path) ?? (request.method === 'POST' ? EVENT : undefined);
    if (object !== undefined) answer(request.method === 'POST' ? 201 : 200, object);
    else if (LISTS[path] === undefined) answer(404, notFound(path));
    else if (searchParams.get('watch') === 'true') {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      for (const item of itemsOf(path, Number(searchParams.get('resourceVersion')))) tell(response, item);
      watches.add({ list: path, response });
    } else answer(200, { ...LISTS[path], metadata: { resourceVersion: String(objects.size) }, items: itemsOf(path) });
  };
  const listen = async (server: Server, name: string) => {
    servers.push(server);
    const socket = join(folder, name);
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    return socket;
  };
  const forward = async (node: Scratch, port: number, socket: string) => {
    node.ip('link set lo up');
    const script = `require('net').createServer((c)=>{const u=require('net').connect(${JSON.stringify(socket)});c.pipe(u).pipe(c);c.on('error',()=>u.destroy());u.on('error',()=>c.destroy())}).listen(${port},'127.0.0.1',()=>console.log('open'))`;
    const child = spawn('ip', ['netns', 'exec', node.name, process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
    });
    await until(() => said.includes('open'));
  };
  const handle = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  const socket = await listen(createServer(handle), 'api.sock');
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL');
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });
  return {
    put: (path, { metadata, ...rest }) => {
      const object = { ...rest, metadata: { ...metadata, resourceVersion: String(objects.size + 1) } };
      objects.set(path, object);
      for (const { list, response } of watches) if (listOf(path) === list) tell(response, object);
    },
    statusOf: (path) => {
      const text = statuses.get(path);
      return text === undefined ? undefined : JSON.parse(text);
    },
    openIn: (node) => forward(node, 6443, socket),
    openSecurelyIn: async (node) => {
      const { key, certificate } = makeCertificate(folder);
      const tls = { key: readFileSync(key), cert: readFileSync(certificate) };
      await forward(node, 6444, await listen(createSecureServer(tls, handle), 'secure.sock'));
      return certificate;
    },
  };
}

const EVENT: ApiObject = {
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: 'e', namespace: 'default', uid: 'e', resourceVersion: '1' },
};

function notFound(path: string): object {
  const message = `${path} not found`;
  return {
    apiVersion: 'v1',
    kind: 'Status',
    status: 'Failure',
    code: 404,
    reason: 'NotFound',
    message,
    details: { name: path },
  };
}

function listOf(path: string): string {
  return path.replace(/\/namespaces\/[^/]+/, '').replace(/\/[^/]+$/, '');
}

function tell(response: ServerResponse, object: object): void {
  response.write(`${JSON.stringify({ type: 'ADDED', object })}\n`);
}

// Its own authority, as openssl(1) makes it.
function makeCertificate(folder: string): { key: string; certificate: string } {
  const [key, certificate] = [join(folder, 'api.key'), join(folder, 'api.crt')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const subject = ['-subj', '/CN=stand-in', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', certificate], {
    stdio: 'pipe',
  });
  return { key, certificate };
}

// In a merge patch it is JSON; in protobuf the value follows the key (tag 2, length, text).
function statusIn(body: Buffer): string | undefined {
  if (body[0] === 0x7b) return JSON.parse(body.toString())?.metadata?.annotations?.[STATUS];
  const key = body.lastIndexOf(STATUS);
  if (key < 0) return undefined;
  let at = key + STATUS.length + 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = body[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return body.subarray(at, at + length).toString();
}
