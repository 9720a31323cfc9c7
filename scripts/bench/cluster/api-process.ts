import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { createInterface } from 'node:readline';

// Sends requests to a cluster's API server, from within the cluster's network and over connections that stay. Reads a line of
// JSON for each request and answers with the times, in milliseconds since the epoch, at which it was sent and answered.
//
//   api-process.ts <CA> <certificate> <key>

const [ca = '', cert = '', key = ''] = process.argv.slice(2);
const agent = new Agent({
  keepAlive: true,
  maxSockets: 20,
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
});

/** What is asked for. */
export type Request = {
  readonly id: number;
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  readonly body: string;
};
/** What came of it. */
export type Answered = {
  readonly id: number;
  readonly sent: number;
  readonly answered: number;
  readonly status: number;
};

const TYPES = { POST: 'application/json', PATCH: 'application/merge-patch+json' };
const now = () => performance.timeOrigin + performance.now();

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, path, body } = JSON.parse(line) as Request;
  const sent = now();
  const headers = { 'content-type': TYPES[method], 'content-length': Buffer.byteLength(body) };
  request({ host: '10.96.0.1', port: 443, method, path, agent, headers }, (response) => {
    response.resume().on('end', () => {
      const answered: Answered = { id, sent, answered: now(), status: response.statusCode ?? 0 };
      process.stdout.write(`${JSON.stringify(answered)}\n`);
    });
  }).end(body);
});
