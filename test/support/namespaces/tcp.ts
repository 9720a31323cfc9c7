import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import type { Test } from 'tap';
import type { Scratch } from './namespace.ts';

// Real connections between namespaces.

/** How many bytes the server answers every connection with: far more than anything else that a link carries meanwhile. */
export const ANSWER_BYTES = 200_000;

const PORT = 8080;

/** A server on every address of a namespace, until the test ends. Returns when it listens. */
export async function serve(t: Test, place: Scratch): Promise<void> {
  const script = `require('node:net').createServer((socket) => socket.on('error', () => {}).end(Buffer.alloc(${ANSWER_BYTES})))
    .listen(${PORT}, '::', () => console.log('ready'))`;
  await spoken(inNamespace(t, place, script));
}

function inNamespace(t: Test, { name }: Scratch, script: string): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** The next word of a process. */
function spoken(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (data) => resolve(String(data).trim()));
    // Not before all that it said has been read.
    child.once('close', (code) => reject(new Error(`the process ended: ${code}`)));
  });
}

/** How many bytes came from the server at an address, `from` another namespace; 0 if it does not answer within a minute. */
export function fetchFrom({ name }: Scratch, address: string): number {
  const script = `let bytes = 0;
    const socket = require('node:net').connect(${PORT}, '${address}');
    const end = () => { console.log(bytes); process.exit(); };
    socket.setTimeout(60_000, end).on('data', (data) => { bytes += data.length; }).on('error', end).on('close', end);`;
  const { stdout } = spawnSync('ip', ['netns', 'exec', name, process.execPath, '-e', script], { encoding: 'utf8' });
  return Number(stdout);
}

/** A connection that carries data all the time. `goesOn` says whether more comes from now on; false once it has broken. */
export async function openStream(
  t: Test,
  server: Scratch,
  client: Scratch,
  address: string,
): Promise<{ goesOn(): Promise<boolean> }> {
  const sending = `require('node:net').createServer((socket) => {
    const timer = setInterval(() => socket.write('x'), 5);
    socket.on('error', () => {}).on('close', () => clearInterval(timer));
  }).listen(${PORT}, '::', () => console.log('ready'))`;
  const receiving = `let bytes = 0;
    const socket = require('node:net').connect(${PORT}, '${address}');
    socket.on('error', () => {}).on('close', () => { console.log('broken'); process.exit(); });
    socket.on('data', (data) => { if (bytes === 0) console.log('open'); bytes += data.length; });
    process.stdin.on('data', () => {
      const before = bytes;
      socket.on('data', () => { if (bytes > before + 10) { console.log('goes on'); process.exit(); } });
    });`;
  await spoken(inNamespace(t, server, sending));
  const receiver = inNamespace(t, client, receiving);
  await spoken(receiver);
  return {
    goesOn: () => {
      const answer = spoken(receiver);
      receiver.stdin?.write('well?');
      return answer.then((word) => word === 'goes on');
    },
  };
}

/** How many bytes each link of a namespace has sent so far, by its name. */
export function sentBytes(pod: Scratch): { [link: string]: number } {
  const links = pod.ipJson('-s link show') as { ifname: string; stats64: { tx: { bytes: number } } }[];
  return Object.fromEntries(links.map(({ ifname, stats64 }) => [ifname, stats64.tx.bytes]));
}
