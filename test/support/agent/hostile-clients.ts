import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { requestBytes, type ShimCall } from './agent-client.ts';

// A process of its own, so that what it does takes no time of the test's: so many clients that make one call after
// another until it is killed. Arguments: the socket and the number of clients; on stdin, the calls as JSON.

/** A call whose config is filled up to a size, or that never sends its last bytes. */
export type HostileCall = ShimCall & { padTo?: number; omit?: number };

const [, , socket = '', count = '0'] = process.argv;
const bytes = (JSON.parse(readFileSync(0, 'utf8')) as HostileCall[]).map(({ padTo = 0, omit = 0, ...call }) => {
  const whole = requestBytes({ ...call, stdin: String(call.stdin).padEnd(padTo) });
  return whole.subarray(0, whole.length - omit);
});

function call(turn: number): void {
  const client = connect(socket);
  // Whatever comes of it, there is another one; a pause lets this process do more than fail.
  client.on('error', () => {});
  client.on('close', () => setTimeout(call, 20, turn + 1));
  client.on('data', () => {});
  client.on('connect', () => client.write(bytes[turn % bytes.length] ?? Buffer.alloc(0)));
}

for (let i = 0; i < Number(count); i++) call(i);
process.stdout.write('hostile\n');
