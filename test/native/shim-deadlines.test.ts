import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import {
  ACCEPTED,
  callShim,
  noCompiler,
  result,
  SHIPPED,
  type ShimAnswer,
  type ShimCall,
  type ShimNode,
  shimNode,
  standaloneCall,
  standInAgent,
  VARIANTS,
} from '../support/agent/shim.ts';
import { noStrace } from '../support/plugins/killed.ts';
import { until } from '../support/until.ts';

// Agents that let the shim wait, and a caller who may not ask. The deadlines are shorter than those that are shipped.

const CONNECT_MS = 400;
const FIRST_ANSWER_MS = 1_000;
const RESULT_MS = 4_000;
const HASTE = [`-DCONNECT_MS=${CONNECT_MS}`, `-DFIRST_ANSWER_MS=${FIRST_ANSWER_MS}`, `-DRESULT_MS=${RESULT_MS}`];

const CONFIG = '{"cniVersion": "0.4.0", "name": "net"}';

// All at once, for they do nothing but wait.
t.jobs = VARIANTS.length;

for (const variant of VARIANTS) {
  t.test(variant.title, { skip: noCompiler, buffered: true }, async (t) => {
    const node = shimNode(t, variant, HASTE);
    testConnect(t, node);
    testFirstAnswer(t, node);
    testResult(t, node);
    testPermission(t, node);
  });
}

function testConnect(t: Test, node: ShimNode): void {
  t.test('an agent whose queue of connections is full: after the deadline, the single-file executable', async (t) => {
    await stoppedAgent(t, node);
    await fillQueue(t, node.socket);
    checkFallback(t, await callShim(node.shim, { env: node.env, stdin: CONFIG }), CONFIG, CONNECT_MS);
  });
}

function testFirstAnswer(t: Test, node: ShimNode): void {
  t.test('an agent that reads and does not answer: after the deadline, the single-file executable', async (t) => {
    let isClosed = false;
    await standInAgent(t, node.socket, (connection) => {
      connection.on('close', () => {
        isClosed = true;
      });
    });
    checkFallback(t, await callShim(node.shim, { env: node.env, stdin: CONFIG }), CONFIG, FIRST_ANSWER_MS);
    await until(() => isClosed, 'the connection stays open');
  });

  t.test('an agent that does not even read: after the deadline, the single-file executable', async (t) => {
    await stoppedAgent(t, node);
    const stdin = Buffer.alloc(4 << 20, 'waymark');
    checkFallback(t, await callShim(node.shim, { env: node.env, stdin }), stdin, FIRST_ANSWER_MS);
  });

  t.test('an agent that lets its first answer drip: the deadline is for all of it', async (t) => {
    await standInAgent(t, node.socket, (connection) => drip(connection, result(0, 'x'.repeat(1_000)), 50));
    checkFallback(t, await callShim(node.shim, { env: node.env, stdin: CONFIG }), CONFIG, FIRST_ANSWER_MS);
  });

  t.test('a caller who lets the config drip has all the time that it takes', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer')));
    const redirection = '< <(for i in 1 2 3 4; do sleep 0.3; echo; done)';
    const answer = await callInTime(node, { redirection });
    t.equal(String(answer.stdout), 'answer');
    t.ok(answer.milliseconds > FIRST_ANSWER_MS);
  });
}

t.test('a deadline that passes while it is busy has passed', { skip: noCompiler || noStrace }, async (t) => {
  const node = shimNode(t, SHIPPED, HASTE);
  await standInAgent(t, node.socket, (connection) => connection.write(result(0, 'answer').subarray(0, 10)));
  const delay = `inject=recvfrom:delay_exit=${(FIRST_ANSWER_MS + 100) * 1_000}`;
  const under = ['strace', '-qqq', '-o', '/dev/null', '-e', delay];
  checkFallback(t, await callShim(node.shim, { env: node.env, stdin: CONFIG, under }), CONFIG, FIRST_ANSWER_MS);
});

function testResult(t: Test, node: ShimNode): void {
  const agents: [string, (connection: Socket) => void][] = [
    ['nothing follows', (connection) => connection.write(ACCEPTED)],
    [
      'the result drips',
      (connection) => {
        connection.write(ACCEPTED);
        drip(connection, result(0, 'x'.repeat(1_000)), 50);
      },
    ],
  ];
  for (const [what, answer] of agents) {
    t.test(`accepted, and ${what}: after the deadline error 11, and nobody else does the call`, async (t) => {
      await standInAgent(t, node.socket, answer);
      const { code, stdout, stderr, milliseconds } = await callInTime(node, { stdin: CONFIG });
      t.match({ code, stderr }, { code: 1, stderr: '' });
      t.match(JSON.parse(String(stdout)), {
        cniVersion: '0.4.0',
        code: 11,
        msg: 'the agent accepted the call and is not done in time',
        details: `agent at ${node.socket}`,
      });
      t.ok(milliseconds >= RESULT_MS, `${milliseconds}`);
    });
  }

  t.test('a call that waits longer than the first deadline for its turn is answered', async (t) => {
    await standInAgent(t, node.socket, (connection) => {
      connection.write(ACCEPTED);
      setTimeout(() => connection.end(result(0, 'answer')), FIRST_ANSWER_MS + 100);
    });
    const answer = await callInTime(node, { stdin: CONFIG }, ({ stdout }) => String(stdout) === 'answer');
    t.equal(String(answer.stdout), 'answer');
  });
}

// On a busy machine the stand-in may be too late, which is not what these tests are about: then they try again.
async function callInTime(
  node: ShimNode,
  call: Omit<ShimCall, 'env'>,
  isInTime = (answer: ShimAnswer) => standaloneCall(answer) === undefined,
): Promise<ShimAnswer> {
  for (let tries = 1; ; tries++) {
    const answer = await callShim(node.shim, { env: node.env, ...call });
    if (isInTime(answer) || tries === 20) return answer;
  }
}

function testPermission(t: Test, node: ShimNode): void {
  const skip = process.getuid?.() === 0 ? false : 'needs root';
  t.test('a user who may not connect: the single-file executable, at once', { skip }, async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer')));
    chmodSync(node.folder, 0o755);
    chmodSync(node.socket, 0o600);
    checkFallback(t, await callShim(node.shim, { env: node.env, stdin: CONFIG, uid: 65_534 }), CONFIG, 0);
    t.strictSame(requests, []);
  });
}

function checkFallback(t: Test, answer: ShimAnswer, stdin: string | Buffer, after: number): void {
  const call = standaloneCall(answer);
  t.ok(call?.stdin.equals(Buffer.from(stdin)), `${answer.code} ${answer.stderr}`);
  t.strictSame(call?.descriptors, ['0', '1', '2'], 'the connection is closed before that one answers');
  t.ok(answer.milliseconds >= after, `${answer.milliseconds} ms`);
}

/** Something that listens, with room for one connection in its queue, and was stopped. */
async function stoppedAgent(t: Test, { socket }: ShimNode): Promise<void> {
  const program = `require('net').createServer().listen({ path: ${JSON.stringify(socket)}, backlog: 1 }, () => console.log())`;
  const child: ChildProcess = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => {
    child.kill('SIGKILL');
    rmSync(socket);
  });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  child.kill('SIGSTOP');
}

/** Connects until there is no room left. */
async function fillQueue(t: Test, socket: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const connection = connect(socket);
    t.teardown(() => connection.destroy());
    const isFull = await new Promise((resolve) => {
      connection.on('connect', () => resolve(false));
      connection.on('error', () => resolve(true));
    });
    if (isFull) return;
  }
  throw new Error('the queue of connections never gets full');
}

function drip(connection: Socket, bytes: Buffer, milliseconds: number): void {
  let at = 0;
  const timer = setInterval(() => connection.write(bytes.subarray(at, ++at)), milliseconds);
  connection.on('close', () => clearInterval(timer));
}
