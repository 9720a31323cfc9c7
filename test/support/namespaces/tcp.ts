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

/**
 * Connections on which data goes forth and back all the time. `goOn` says on how many more comes from now on, once that is
 * known of all: `3 go on, 0 are broken`.
 */
export async function openStreams(
  t: Test,
  server: Scratch,
  clients: readonly Scratch[],
  address: string,
): Promise<{ goOn(): Promise<string> }> {
  const counting = `const streams = [];
    let broken = 0;
    require('node:net').createServer((socket) => {
      const stream = { bytes: 0 };
      streams.push(stream);
      const timer = setInterval(() => socket.write('x'), 20);
      socket.on('data', ({ length }) => { stream.bytes += length; });
      socket.on('error', () => {}).on('close', () => { clearInterval(timer); broken++; });
    }).listen(${PORT}, '::', () => console.log('ready'));
    process.stdin.on('data', () => {
      const before = new Map(streams.map((stream) => [stream, stream.bytes]));
      const timer = setInterval(() => {
        const going = streams.filter((stream) => stream.bytes > (before.get(stream) ?? 0) + 5).length;
        if (going + broken < ${clients.length}) return;
        clearInterval(timer);
        console.log(going + ' go on, ' + broken + ' are broken');
      }, 10);
    });`;
  const child = inNamespace(t, server, counting);
  await spoken(child);
  for (const client of clients) echo(t, client, address);
  return {
    goOn: () => {
      const answer = spoken(child);
      child.stdin?.write('well?');
      return answer;
    },
  };
}

// Small: there may be many.
function echo(t: Test, { name }: Scratch, address: string): void {
  const script = `exec 3<>/dev/tcp/${address}/${PORT} && exec cat <&3 >&3`;
  const child = spawn('ip', ['netns', 'exec', name, 'bash', '-c', script], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
}

/** How many bytes each link of a namespace has sent so far, by its name. */
export function sentBytes(pod: Scratch): { [link: string]: number } {
  const links = pod.ipJson('-s link show') as { ifname: string; stats64: { tx: { bytes: number } } }[];
  return Object.fromEntries(links.map(({ ifname, stats64 }) => [ifname, stats64.tx.bytes]));
}
