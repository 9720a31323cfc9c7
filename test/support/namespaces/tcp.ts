import { spawn, spawnSync } from 'node:child_process';
import type { Test } from 'tap';
import type { Scratch } from './namespace.ts';

// Real connections between namespaces.

/** How many bytes the server answers every connection with: far more than anything else that a link carries meanwhile. */
export const ANSWER_BYTES = 200_000;

const PORT = 8080;

/** A server on every address of a namespace, until the test ends. Returns when it listens. */
export async function serve(t: Test, { name }: Scratch): Promise<void> {
  const script = `require('node:net').createServer((socket) => socket.on('error', () => {}).end(Buffer.alloc(${ANSWER_BYTES})))
    .listen(${PORT}, '::', () => console.log('ready'))`;
  const server = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  t.teardown(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (code) => reject(new Error(`the server ended: ${code}`)));
  });
}

/** How many bytes came from the server at an address, `from` another namespace; 0 if it does not answer within seconds. */
export function fetchFrom({ name }: Scratch, address: string): number {
  const script = `let bytes = 0;
    const socket = require('node:net').connect(${PORT}, '${address}');
    const end = () => { console.log(bytes); process.exit(); };
    socket.setTimeout(2500, end).on('data', (data) => { bytes += data.length; }).on('error', end).on('close', end);`;
  const { stdout } = spawnSync('ip', ['netns', 'exec', name, process.execPath, '-e', script], { encoding: 'utf8' });
  return Number(stdout);
}

/** How many bytes each link of a namespace has sent so far, by its name. */
export function sentBytes(pod: Scratch): { [link: string]: number } {
  const links = pod.ipJson('-s link show') as { ifname: string; stats64: { tx: { bytes: number } } }[];
  return Object.fromEntries(links.map(({ ifname, stats64 }) => [ifname, stats64.tx.bytes]));
}
