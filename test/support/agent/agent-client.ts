import { connect, type Socket } from 'node:net';
import type { Env } from '../plugins/call.ts';

// A stand-in for native/shim.c, written from docs/agent-protocol.md and not from the agent's code.

export type ShimCall = { plugin: string; env: Env; stdin: Uint8Array | string };

/** The answer: `accepted` if an A came first; no `code` if the connection was closed without a result. */
export type ShimAnswer = { accepted: boolean; code?: number; stdout: string; stderr: string };

/** The bytes of a request. */
export function requestBytes({ plugin, env, stdin }: ShimCall, pid = process.pid): Buffer {
  const variables = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const environment = Buffer.from([plugin, ...variables].map((text) => `${text}\0`).join(''));
  const body = Buffer.from(stdin as Uint8Array);
  const numbers = Buffer.alloc(12);
  numbers.writeUInt32LE(pid, 0);
  numbers.writeUInt32LE(environment.length, 4);
  numbers.writeUInt32LE(body.length, 8);
  return Buffer.concat([Buffer.from('WMK\x01'), numbers, environment, body]);
}

/** Parses all answers in these bytes. Throws an Error for anything else. */
export function parseAnswers(bytes: Buffer): ShimAnswer {
  const answer: ShimAnswer = { accepted: false, stdout: '', stderr: '' };
  for (let at = 0; at < bytes.length; ) {
    if (bytes.toString('latin1', at, at + 4) !== 'WMK\x01') throw new Error(`not an answer: ${bytes.subarray(at)}`);
    const kind = bytes.toString('latin1', at + 4, at + 8);
    const [code, stdout, stderr] = [8, 12, 16].map((offset) => bytes.readUInt32LE(at + offset)) as [
      number,
      number,
      number,
    ];
    at += 20;
    if (kind === 'A\0\0\0' && code + stdout + stderr === 0 && answer.code === undefined) answer.accepted = true;
    else if (kind === 'R\0\0\0' && answer.code === undefined) {
      answer.code = code;
      answer.stdout = bytes.toString('utf8', at, at + stdout);
      answer.stderr = bytes.toString('utf8', at + stdout, at + stdout + stderr);
      at += stdout + stderr;
    } else throw new Error(`an answer of kind ${JSON.stringify(kind)}`);
    if (at > bytes.length) throw new Error('the answer is truncated');
  }
  return answer;
}

/** A connection to an agent. */
export function connection(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      // The other side may close the connection: then there is no answer, which the caller sees.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

/** Everything received until the other side closes. */
export function received(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve) => socket.once('close', () => resolve(Buffer.concat(pieces))));
}

/** Sends a call and waits for the answer. Throws if nobody listens. */
export async function ask(socketPath: string, call: ShimCall): Promise<ShimAnswer> {
  const socket = await connection(socketPath);
  const answer = received(socket);
  socket.write(requestBytes(call));
  return parseAnswers(await answer);
}
