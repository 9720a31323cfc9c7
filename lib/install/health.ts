import type { Server } from 'node:http';
import type { Address } from '../http/address.ts';
import { createPages, text } from '../http/pages.ts';
import { InstallError } from './errors.ts';
import type { Readiness } from './keep.ts';

/**
 * Answers the kubelet's probes: `/healthz` returns 200 as long as this process can answer, `/readyz` only while everything is
 * in place, otherwise 503 with the problem. Throws InstallError if it cannot listen on the address.
 */
export async function serveHealth({ host, port }: Address, readiness: Readiness): Promise<Server> {
  const server = createPages({
    '/healthz': async () => text('ok'),
    '/readyz': async () => readyPage(readiness),
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new InstallError(`cannot listen: ${error.message}`, error)));
    server.listen(port, host, resolve);
  });
  return server;
}

function readyPage({ problem }: Readiness) {
  if (problem !== undefined) throw new Error(problem);
  return text('ready');
}
