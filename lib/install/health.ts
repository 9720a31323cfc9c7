import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InstallError } from './errors.ts';
import type { Readiness } from './keep.ts';

export type Address = { readonly host: string; readonly port: number };

const MAX_PORT = 65_535;

/** Reads `127.0.0.1:9100`, `[::1]:9100` or `localhost:9100`; port 0 is any free one. Throws InstallError. */
export function parseAddress(text: string): Address {
  const { bracketed, plain, port } =
    /^(?:\[(?<bracketed>[^\]]+)\]|(?<plain>[^:[\]]+)):(?<port>\d{1,5})$/.exec(text)?.groups ?? {};
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > MAX_PORT) throw new InstallError(`"${text}" is not of the form HOST:PORT`);
  return { host, port: Number(port) };
}

/**
 * Answers the kubelet: `/healthz` is 200 as long as this process can answer, `/readyz` only while all is in place, else
 * 503 with the problem. Throws InstallError if the address cannot be had.
 */
export async function serveHealth({ host, port }: Address, readiness: Readiness): Promise<Server> {
  const server = createServer((request, response) => {
    const [status, text] = answerTo(request.url ?? '', readiness);
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    response.end(`${text}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new InstallError(`cannot listen: ${error.message}`, error)));
    server.listen(port, host, resolve);
  });
  return server;
}

/** The address that a server listens on, as a URL has it. */
export function addressOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function answerTo(path: string, { problem }: Readiness): [status: number, text: string] {
  if (path === '/healthz') return [200, 'ok'];
  if (path !== '/readyz') return [404, 'there are /healthz and /readyz'];
  return problem === undefined ? [200, 'ready'] : [503, problem];
}
