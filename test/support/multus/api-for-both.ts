import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Scratch } from '../namespaces/namespace.ts';
import { until } from '../until.ts';

// A stand-in for kube-apiserver that Multus' client understands too: it reads JSON, but writes protobuf, of which only the
// status annotation is looked at. It listens on a Unix socket, and in a node's namespace on a port of loopback.

/** See the top of this file. */
export type ApiForBoth = {
  /** The path of a kubeconfig that leads to it from within a node. */
  put(path: string, object: object): void;
  /** The status annotation that was written last for a pod, by whoever. */
  statusOf(path: string): { [key: string]: unknown }[] | undefined;
  /** Listens on 127.0.0.1:6443 in the node's namespace. */
  openIn(node: Scratch): Promise<void>;
};

const STATUS = 'k8s.v1.cni.cncf.io/network-status';

export async function apiForBoth(t: Test, folder: string): Promise<ApiForBoth> {
  const objects = new Map<string, object>();
  const statuses = new Map<string, string>();
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const path = new URL(request.url ?? '/', 'http://api').pathname.replace(/\/status$/, '');
    const body = Buffer.concat(pieces);
    const { method = '' } = request;
    const answer = (code: number, document: object) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(document));
    const status = statusIn(body);
    if (status !== undefined) statuses.set(path, status);
    const object = objects.get(path);
    if (method === 'POST')
      answer(201, {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: 'e', namespace: 'default', uid: 'e', resourceVersion: '1' },
      });
    else if (object !== undefined) answer(200, object);
    else
      answer(404, {
        apiVersion: 'v1',
        kind: 'Status',
        status: 'Failure',
        code: 404,
        reason: 'NotFound',
        message: `${path} not found`,
        details: { name: path },
      });
  };
  const server = createServer((request, response) => void serve(request, response));
  const socket = join(folder, 'api.sock');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const children: ChildProcess[] = [];
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL');
    server.closeAllConnections();
    server.close();
  });
  return {
    put: (path, object) => objects.set(path, object),
    statusOf: (path) => {
      const text = statuses.get(path);
      return text === undefined ? undefined : JSON.parse(text);
    },
    openIn: async (node) => {
      node.ip('link set lo up');
      const script = `require('net').createServer((c)=>{const u=require('net').connect(${JSON.stringify(socket)});c.pipe(u).pipe(c);c.on('error',()=>u.destroy());u.on('error',()=>c.destroy())}).listen(6443,'127.0.0.1',()=>console.log('open'))`;
      const child = spawn('ip', ['netns', 'exec', node.name, process.execPath, '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      let said = '';
      child.stdout.on('data', (text) => {
        said += text;
      });
      await until(() => said.includes('open'));
    },
  };
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
