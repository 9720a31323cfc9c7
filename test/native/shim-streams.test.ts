import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  ACCEPTED,
  callShim,
  noCompiler,
  result,
  SHIPPED,
  type ShimNode,
  shimNode,
  standaloneCall,
  standInAgent,
  VARIANTS,
} from '../support/agent/shim.ts';
import { run } from '../support/namespaces/namespace.ts';
import { noStrace } from '../support/plugins/killed.ts';

// The shim's standard streams as callers may leave them: closed, full, non-blocking; and calls that are interrupted.

const CONFIG = '{"cniVersion": "1.0.0", "name": "net"}';

for (const variant of VARIANTS) {
  t.test(variant.title, { skip: noCompiler }, async (t) => {
    const node = shimNode(t, variant);
    testClosed(t, node);
    testStdin(t, node);
    testStdout(t, node);
    testNonBlocking(t, node);
    testStopped(t, node);
  });
}

function testClosed(t: Test, node: ShimNode): void {
  t.test('a closed stdin is an empty one, and nothing else takes its place', async (t) => {
    const seen: string[][] = [];
    const requests = await standInAgent(t, node.socket, (connection, { pid }) => {
      seen.push(readdirSync(`/proc/${pid}/fd`));
      connection.end(result(0, 'answer'));
    });
    for (const redirection of ['<&-', '<&- 2>&-', '</dev/null']) {
      const answer = await callShim(node.shim, { env: node.env, redirection });
      t.match(answer, { code: 0, stderr: '' }, redirection);
      t.equal(String(answer.stdout), 'answer', redirection);
      t.equal(requests.pop()?.stdin.length, 0);
    }
    t.notOk(seen[0]?.includes('0'));
    t.notOk(seen[1]?.includes('0') || seen[1]?.includes('2'));
  });

  t.test('a closed stdin is an empty one for the single-file executable too', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end());
    const call = standaloneCall(await callShim(node.shim, { env: node.env, redirection: '<&- 2>&-' }));
    t.strictSame(call?.descriptors, ['0', '1']);
    t.equal(call?.stdin.length, 0);
  });

  t.test('a result that nobody can read is a failure', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer')));
    const table = {
      '>&-': 'Bad file descriptor',
      '>/dev/full': 'No space left on device',
      '>&- <&-': 'Bad file descriptor',
    };
    for (const [redirection, why] of Object.entries(table)) {
      const answer = await callShim(node.shim, { env: node.env, redirection, stdin: CONFIG });
      t.match(answer, { code: 1, stderr: `cannot answer: ${why}\n` }, redirection);
    }
    for (const redirection of ['>/dev/full', '>&- 2>&-']) {
      const env = { ...node.env, CNI_COMMAND: 'VERSION' };
      t.match(await callShim(node.shim, { env, redirection, stdin: '' }), { code: 1 }, redirection);
    }
  });

  t.test('a log that nobody can read does not spoil the result', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer', 'log')));
    for (const redirection of ['2>&-', '2>/dev/full']) {
      const answer = await callShim(node.shim, { env: node.env, redirection, stdin: CONFIG });
      t.match({ ...answer, stdout: String(answer.stdout) }, { code: 0, stdout: 'answer', stderr: '' }, redirection);
    }
  });

  t.test('no result, and a closed stdout: nothing is missing', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end(result(0, '')));
    t.match(await callShim(node.shim, { env: node.env, redirection: '>&-', stdin: CONFIG }), { code: 0, stderr: '' });
  });
}

function testStdin(t: Test, node: ShimNode): void {
  t.test('stdin that cannot be read is error 5', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer')));
    const { code, stdout } = await callShim(node.shim, { env: node.env, redirection: '</' });
    t.equal(code, 1);
    const msg = 'stdin cannot be read';
    t.strictSame(JSON.parse(String(stdout)), { cniVersion: '1.1.0', code: 5, msg, details: 'stdin: Is a directory' });
    t.strictSame(requests, []);
  });

  t.test('stdin that never ends is cut one byte above 8 MiB', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, 'answer')));
    t.match(await callShim(node.shim, { env: node.env, redirection: '</dev/zero' }), { code: 0 });
    t.equal(requests[0]?.stdin.length, (8 << 20) + 1);
  });
}

function testStdout(t: Test, node: ShimNode): void {
  t.test('a reader who goes away is a failure with a sentence on stderr, not a death by SIGPIPE', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end(result(0, Buffer.alloc(1 << 20))));
    for (const CNI_COMMAND of ['ADD', 'VERSION']) {
      const env = { ...node.env, CNI_COMMAND };
      const { stderr } = await callShim(node.shim, { env, under: inShell('>&4 4>&-'), stdin: CONFIG });
      t.equal(stderr, 'cannot answer: Broken pipe\nexit code 1\n');
    }
  });

  t.test('a reader of the log who goes away does not spoil the result', async (t) => {
    const answer = result(0, 'answer', Buffer.alloc(1 << 20));
    await standInAgent(t, node.socket, (connection) => connection.end(answer));
    const under = inShell('2>&4 4>&-');
    const { stdout, stderr } = await callShim(node.shim, { env: node.env, under, stdin: CONFIG });
    t.equal(String(stdout), 'answer');
    t.equal(stderr, 'exit code 0\n');
  });

  t.test('nothing is written before the answer is there as a whole', async (t) => {
    const answer = result(0, 'answer', 'log');
    const [output, log] = [join(node.folder, 'output'), join(node.folder, 'log')];
    await standInAgent(t, node.socket, (connection) => {
      connection.write(Buffer.concat([ACCEPTED, answer.subarray(0, -1)]));
      setTimeout(() => {
        t.equal(readFileSync(output, 'utf8') + readFileSync(log, 'utf8'), '');
        connection.end(answer.subarray(-1));
      }, 100);
    });
    await callShim(node.shim, { env: node.env, redirection: `>${output} 2>${log}`, stdin: CONFIG });
    t.equal(readFileSync(output, 'utf8') + readFileSync(log, 'utf8'), 'answerlog');
  });
}

/** Runs the shim in a shell, with the writing end of a pipe that nobody reads any more as descriptor 4. */
function inShell(redirection: string): string[] {
  return ['bash', '--norc', '-c', `exec 4> >(true); wait $!; "$0" ${redirection}; echo "exit code $?" >&2`];
}

function testNonBlocking(t: Test, node: ShimNode): void {
  t.test('a non-blocking stdin is waited for, to its end', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection, { pid }) => {
      t.ok(isNonBlocking(pid, 0));
      connection.end(result(0, 'answer'));
    });
    const fifo = scratchFifo(node);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(fifo, constants.O_WRONLY);
    const answer = callShim(node.shim, { env: node.env, redirection: '<&3 3<&-', passed: [reader] });
    closeSync(reader);
    for (const piece of ['{"cni', 'Version"', ': "1.0.0"}']) {
      await pause(50);
      writeSync(writer, piece);
    }
    closeSync(writer);
    t.match(await answer, { code: 0, stderr: '' });
    t.equal(String(requests[0]?.stdin), '{"cniVersion": "1.0.0"}');
  });

  t.test('a non-blocking stdout that is full is waited for', async (t) => {
    const output = Buffer.alloc(500_000, '0123456789abcde\n');
    await standInAgent(t, node.socket, (connection, { pid }) => {
      t.ok(isNonBlocking(pid, 1));
      connection.end(result(0, output));
    });
    const fifo = scratchFifo(node);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    const answer = callShim(node.shim, { env: node.env, redirection: '>&3 3>&-', passed: [writer], stdin: CONFIG });
    closeSync(writer);
    await pause(200);
    t.ok((await readSlowly(reader)).equals(output));
    t.match(await answer, { code: 0, stderr: '' });
  });
}

function testStopped(t: Test, node: ShimNode): void {
  t.test('a process that is stopped and goes on does not lose its call', async (t) => {
    await standInAgent(t, node.socket, async (connection, { pid }) => {
      connection.write(ACCEPTED);
      for (let i = 0; i < 5; i++) {
        process.kill(pid, 'SIGSTOP');
        await pause(20);
        process.kill(pid, 'SIGCONT');
        await pause(20);
      }
      connection.end(result(0, 'answer'));
    });
    const answer = await callShim(node.shim, { env: node.env, stdin: CONFIG });
    t.match({ ...answer, stdout: String(answer.stdout) }, { code: 0, stdout: 'answer', stderr: '' });
  });
}

t.test('every system call may be interrupted, and often', { skip: noCompiler || noStrace }, async (t) => {
  const node = shimNode(t, SHIPPED);
  const answer = [ACCEPTED, result(3, 'answer', 'log')];
  await standInAgent(t, node.socket, (connection) => connection.end(Buffer.concat(answer)));
  for (const call of ['read', 'connect', 'sendmsg', '?poll,?ppoll', 'recvfrom', 'write,writev', 'fcntl']) {
    for (const error of call === 'read' || call === 'write,writev' ? ['EINTR', 'EAGAIN'] : ['EINTR']) {
      const inject = `inject=${call}:error=${error}:when=1+2`;
      const under = ['strace', '-qqq', '-o', '/dev/null', '-e', inject];
      const { code, stdout, stderr } = await callShim(node.shim, { env: node.env, stdin: CONFIG, under });
      t.strictSame([code, String(stdout), stderr], [3, 'answer', 'log'], `${call} ${error}`);
    }
  }
});

t.test('a system call that fails for good: the single-file executable', { skip: noCompiler || noStrace }, async (t) => {
  const node = shimNode(t, SHIPPED);
  await standInAgent(t, node.socket, (connection) => connection.end(result(3, Buffer.alloc(100_000))));
  const calls = ['socket:error=EMFILE', 'setsockopt:error=EPERM', 'sendmsg:error=EPIPE', 'recvfrom:error=ECONNRESET'];
  for (const inject of [...calls, 'mmap:error=ENOMEM']) {
    const under = ['strace', '-qqq', '-o', '/dev/null', '-e', `inject=${inject}:when=1`];
    t.equal(
      String(standaloneCall(await callShim(node.shim, { env: node.env, stdin: CONFIG, under }))?.stdin),
      CONFIG,
      inject,
    );
  }
});

function scratchFifo(node: ShimNode): string {
  const fifo = join(node.folder, `fifo-${++fifos}`);
  run('mkfifo', [fifo]);
  return fifo;
}

let fifos = 0;

function isNonBlocking(pid: number, fd: number): boolean {
  const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & constants.O_NONBLOCK) !== 0;
}

async function readSlowly(fd: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(20_000);
    try {
      const count = readSync(fd, chunk);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, count));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    await pause(2);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
