import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  ACCEPTED,
  answerHeader,
  callShim,
  noCompiler,
  result,
  type ShimAnswer,
  type ShimNode,
  shimNode,
  standaloneCall,
  standInAgent,
  VARIANTS,
} from '../support/agent/shim.ts';
import { run } from '../support/namespaces/namespace.ts';
import { bundleOf, execute } from '../support/plugins/call.ts';
import { until } from '../support/until.ts';

// What the shim tells the agent, how it relays the answer, and how it does without.

const CONFIG = '{"cniVersion": "1.0.0", "name": "net", "type": "static-route"}';
const RESULT = '{"cniVersion": "1.0.0", "ips": []}\n';
const LOG = '{"level":"info"}\n';

for (const variant of VARIANTS) {
  t.test(variant.title, { skip: noCompiler }, async (t) => {
    const node = shimNode(t, variant);
    testRequest(t, node);
    testAnswers(t, node);
    testBrokenAnswers(t, node);
    testFallback(t, node);
    testWithoutAgent(t, node);
  });
}

function testRequest(t: Test, node: ShimNode): void {
  t.test('the request has the name, the pid, the CNI variables that are set, and stdin', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, '')));
    const env = {
      ...node.env,
      CNI_ARGS: 'A=b;C=ä',
      _CNI_LOGGING_LEVEL: '',
      PATH: '/bin',
      CNI_NETNSX: 'x',
      XCNI_PATH: 'y',
    };
    await callShim(node.shim, { env, stdin: CONFIG });
    t.match(requests, [{ name: 'static-route', pid: Number }]);
    t.strictSame(requests[0]?.stdin.toString(), CONFIG);
    t.strictSame(requests[0]?.environment.sort(), [
      'CNI_ARGS=A=b;C=ä',
      'CNI_COMMAND=ADD',
      'CNI_CONTAINERID=container-1',
      'CNI_IFNAME=eth0',
      'CNI_NETNS=/run/netns/pod',
      'CNI_PATH=/opt/cni/bin',
      '_CNI_LOGGING_LEVEL=',
    ]);
  });

  t.test('every variable that the protocol names is passed on, and no other', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, '')));
    const { WAYMARK_SOCKET } = node.env;
    const cni = {
      CNI_COMMAND: 'DEL',
      CNI_CONTAINERID: 'b',
      CNI_NETNS: 'c',
      CNI_IFNAME: 'd',
      CNI_ARGS: 'e',
      CNI_PATH: 'f',
      CNI_NETNS_OVERRIDE: 'g',
      _CNI_LOGGING_LEVEL: 'h',
      _CNI_LOGGING_FILE: 'i'.repeat(100_000),
    };
    await callShim(node.shim, { env: { ...cni, WAYMARK_SOCKET, HOME: '/' }, stdin: '' });
    t.strictSame(
      requests[0]?.environment,
      Object.entries(cni).map(([name, value]) => `${name}=${value}`),
    );
  });

  const names: [string, (t: Test) => { shim: string; argv0?: string; cwd?: string }, string][] = [
    ['a relative path', () => ({ shim: './static-route', cwd: dirname(node.shim) }), 'static-route'],
    ['a name without a folder', () => ({ shim: node.shim, argv0: 'seamless-gateway' }), 'seamless-gateway'],
    ['an empty name', () => ({ shim: node.shim, argv0: '' }), 'static-route'],
    ['a name that ends with a slash', () => ({ shim: node.shim, argv0: 'bin/' }), 'static-route'],
    ['a symbolic link', (t) => ({ shim: linkTo(t, node) }), 'my-link'],
    ['a copy under another name', (t) => ({ shim: copyOf(t, node) }), 'renamed'],
  ];
  for (const [what, how, expected] of names) {
    t.test(`called by ${what}: the name is the one that it was called by, else the file’s`, async (t) => {
      const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, '')));
      const { shim, ...call } = how(t);
      t.match(await callShim(shim, { env: node.env, stdin: '', ...call }), { code: 0, stderr: '' });
      t.match(requests, [{ name: expected }]);
    });
  }

  t.test('a config of 8 MiB arrives whole, and of a larger one a byte more than that', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, '')));
    const limit = 8 << 20;
    for (const length of [65_535, 65_536, 65_537, limit, limit + 1, limit + 2, limit + 1_000_000]) {
      const stdin = Buffer.alloc(length, 'waymark');
      t.match(await callShim(node.shim, { env: node.env, stdin }), { code: 0 });
      t.ok(requests.pop()?.stdin.equals(stdin.subarray(0, limit + 1)), `${length}`);
    }
  });
}

function testAnswers(t: Test, node: ShimNode): void {
  const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const long = Buffer.alloc(3_000_000, '0123456789abcde\n');
  const longest = Buffer.alloc(64 << 20, 'waymark');
  const answers: [string, Buffer[], { code: number; stdout: Buffer | string; stderr: string }][] = [
    ['a result', [result(0, RESULT, LOG)], { code: 0, stdout: RESULT, stderr: LOG }],
    ['a result without output', [result(0, '')], { code: 0, stdout: '', stderr: '' }],
    ['an error', [result(1, RESULT)], { code: 1, stdout: RESULT, stderr: '' }],
    ['the highest exit code', [result(255, '')], { code: 255, stdout: '', stderr: '' }],
    ['accepted, then a result', [ACCEPTED, result(0, RESULT, LOG)], { code: 0, stdout: RESULT, stderr: LOG }],
    ['both at once', [Buffer.concat([ACCEPTED, result(3, RESULT, LOG)])], { code: 3, stdout: RESULT, stderr: LOG }],
    ['bytes of all kinds', [result(0, binary)], { code: 0, stdout: binary, stderr: '' }],
    ['a long result', [ACCEPTED, result(0, long, LOG)], { code: 0, stdout: long, stderr: LOG }],
    ['the longest result', [result(0, longest)], { code: 0, stdout: longest, stderr: '' }],
    ['a long log', [result(0, RESULT, long)], { code: 0, stdout: RESULT, stderr: String(long) }],
    ['more after the result', [result(0, RESULT), ACCEPTED], { code: 0, stdout: RESULT, stderr: '' }],
    [
      'a header, then the rest',
      [ACCEPTED, ...halves(result(0, RESULT, LOG), 20)],
      { code: 0, stdout: RESULT, stderr: LOG },
    ],
    [
      'a result, byte by byte',
      [...Buffer.concat([ACCEPTED, result(7, RESULT, LOG)])].map((byte) => Buffer.from([byte])),
      { code: 7, stdout: RESULT, stderr: LOG },
    ],
  ];
  // Around the size from which on an answer gets memory of its own.
  for (const length of [65_516, 65_517, 65_536]) {
    const stdout = long.subarray(0, length);
    answers.push([`a result of ${length} bytes`, [result(0, stdout)], { code: 0, stdout, stderr: '' }]);
  }
  for (const [what, pieces, expected] of answers) {
    t.test(`${what}: exactly the agent’s stdout, stderr and exit code`, async (t) => {
      await standInAgent(t, node.socket, (connection) => writeSlowly(connection, pieces));
      const { code, stdout, stderr } = await callShim(node.shim, { env: node.env, stdin: CONFIG });
      t.equal(code, expected.code);
      t.ok(stdout.equals(Buffer.from(expected.stdout)), `${stdout.length} bytes`);
      t.equal(stderr, expected.stderr);
    });
  }
}

function testBrokenAnswers(t: Test, node: ShimNode): void {
  const whole = Buffer.concat([ACCEPTED, result(0, RESULT, LOG)]);
  const prefixes = Array.from({ length: whole.length }, (_, i) => whole.subarray(0, i));

  t.test('an agent that breaks off at any byte: the single-file executable answers, alone', async (t) => {
    const answers = [...prefixes, ...prefixes.slice(20).map((bytes) => bytes.subarray(20))];
    await standInAgent(t, node.socket, (connection, { environment }) => {
      connection.end(answers[Number(environment.find((entry) => entry.startsWith('CNI_ARGS='))?.slice(9))] ?? whole);
    });
    const calls = answers.map((_, i) => callShim(node.shim, { env: { ...node.env, CNI_ARGS: `${i}` }, stdin: CONFIG }));
    for (const [i, answer] of (await Promise.all(calls)).entries()) checkFallback(t, node, answer, `answer ${i}`);
  });

  const garbage: [string, Buffer][] = [
    ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')],
    ['another version', answerHeader('R', 0, 0, 0, 'WMK\x02')],
    ['an unknown kind', answerHeader('X')],
    ['a kind of no byte', answerHeader('\0')],
    ['padding that is not zero', answerHeader('R\x01')],
    ['padding whose second byte is not', answerHeader('R\0\x01')],
    ['padding whose third byte is not', answerHeader('R\0\0\x01')],
    ['an invalid exit code', answerHeader('R', 256)],
    ['64 MiB and a byte', answerHeader('R', 0, (64 << 20) + 1, 0)],
    ['64 MiB and a byte, of both', answerHeader('R', 0, 64 << 20, 1)],
    ['lengths that overflow', answerHeader('R', 0, 0xffffffff, 0xffffffff)],
    ['lengths that overflow to little', answerHeader('R', 0, 0xffffffff, 21)],
    ['accepted with a code', answerHeader('A', 1)],
    ['accepted with a length', answerHeader('A', 0, 1, 0)],
    ['accepted twice', Buffer.concat([ACCEPTED, ACCEPTED, result(0, RESULT)])],
    ['nothing but zeros', Buffer.alloc(1000)],
    ['a request', Buffer.concat([Buffer.from('WMK\x01'), Buffer.alloc(100, 1)])],
  ];
  for (const [what, bytes] of garbage) {
    t.test(`an invalid answer (${what}): the single-file executable answers, alone`, async (t) => {
      // Left open: the shim does not wait for more, and closes its end before it goes on.
      let isClosed = false;
      await standInAgent(t, node.socket, (connection) => {
        connection.on('close', () => {
          isClosed = true;
        });
        connection.write(bytes);
      });
      checkFallback(t, node, await callShim(node.shim, { env: node.env, stdin: CONFIG }), what);
      await until(() => isClosed, 'the connection stays open');
    });
  }
}

function testFallback(t: Test, node: ShimNode): void {
  t.test('an agent that refuses: the whole call goes to the single-file executable', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end());
    const env = { ...node.env, PATH: '/bin', EMPTY: '' };
    const answer = await callShim(node.shim, { env, argv0: '/some/where/static-route', stdin: CONFIG });
    const call = standaloneCall(answer);
    t.strictSame(call?.argv, ['/some/where/static-route']);
    t.strictSame(
      call?.env.sort(),
      Object.entries(env)
        .map(([name, value]) => `${name}=${value}`)
        .sort(),
    );
    t.strictSame(call?.descriptors, ['0', '1', '2']);
    t.equal(call?.sigpipe, 'default');
    t.strictSame(JSON.parse(answer.stderr), {
      level: 'warn',
      msg: `agent at ${node.socket}: Connection reset by peer; ${node.standalone} does the call`,
    });
  });

  t.test('each fallback is told once on stderr, and counted in a file beside the socket', async (t) => {
    const file = join(dirname(node.socket), 'fallbacks');
    rmSync(file, { force: true });
    for (const count of [1, 2, 3]) {
      const { stderr } = await callShim(node.shim, { env: node.env, stdin: CONFIG });
      t.match(JSON.parse(stderr), { level: 'warn', msg: `agent at ${node.socket}: No such file or directory; ` });
      t.match(stderr, /^[^\n]+\n$/);
      t.match(statSync(file), { size: count, mode: 0o100600 });
    }
    const noAgentAsked = await callShim(node.shim, { env: node.env, args: ['--noop'], stdin: CONFIG });
    t.equal(noAgentAsked.stderr, '');
    t.equal(statSync(file).size, 3, 'a person who calls is no fallback');
    truncateSync(file, 1 << 20);
    await callShim(node.shim, { env: node.env, stdin: CONFIG });
    t.equal(statSync(file).size, 1 << 20, 'the file does not grow without end');
    rmSync(file);
    const target = join(node.folder, 'target');
    symlinkSync(target, file);
    t.ok(standaloneCall(await callShim(node.shim, { env: node.env, stdin: CONFIG })));
    t.notOk(existsSync(target), 'no link is followed');
    rmSync(file);
    const nowhere = { ...node.env, WAYMARK_SOCKET: '/nowhere/agent.sock' };
    t.ok(standaloneCall(await callShim(node.shim, { env: nowhere, stdin: CONFIG })));
    t.notOk(existsSync('/nowhere'));
  });

  t.test('a stderr that takes nothing, or is closed, does not hold up a fallback', async (t) => {
    const fifo = join(node.folder, 'full');
    run('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    t.throws(() => {
      for (;;) writeSync(reader, Buffer.alloc(4096));
    }, /EAGAIN/);
    const writer = openSync(fifo, constants.O_WRONLY);
    for (const redirection of ['2>&-', '2>/dev/full', '2>&3 3>&-']) {
      const call = { env: node.env, redirection, passed: [writer], stdin: CONFIG };
      t.ok(standaloneCall(await callShim(node.shim, call)), redirection);
    }
    closeSync(reader);
    closeSync(writer);
    rmSync(fifo);
  });

  t.test('a config of 8 MiB is given to it again from its first byte', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end());
    const stdin = Buffer.alloc(8 << 20, 'waymark');
    const call = standaloneCall(await callShim(node.shim, { env: node.env, stdin }));
    t.ok(call?.stdin.equals(stdin));
  });

  t.test('an agent that closes before it has read the request: the single-file executable answers', async (t) => {
    const { createServer } = await import('node:net');
    const server = createServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => server.listen(node.socket, resolve));
    t.teardown(() => server.close());
    const stdin = Buffer.alloc(1 << 20, 'waymark');
    const call = standaloneCall(await callShim(node.shim, { env: node.env, stdin }));
    t.ok(call?.stdin.equals(stdin));
  });

  t.test('no agent: the single-file executable is given stdin as it is, unread', async (t) => {
    const stdin = Buffer.alloc((8 << 20) + 1000, 'waymark');
    const call = standaloneCall(await callShim(node.shim, { env: node.env, stdin }));
    t.ok(call?.stdin.equals(stdin));
    t.strictSame(call?.descriptors, ['0', '1', '2']);
  });

  t.test(
    'an argument, or no CNI_COMMAND: straight to the single-file executable, the agent is not asked',
    async (t) => {
      const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, RESULT)));
      const noop = standaloneCall(await callShim(node.shim, { env: node.env, args: ['--noop', ''], stdin: CONFIG }));
      t.strictSame(noop?.argv, [node.shim, '--noop', '']);
      t.equal(String(noop?.stdin), CONFIG);
      for (const CNI_COMMAND of ['', undefined]) {
        t.ok(standaloneCall(await callShim(node.shim, { env: { ...node.env, CNI_COMMAND }, stdin: CONFIG })));
      }
      const version = { ...node.env, CNI_COMMAND: 'VERSION' };
      t.ok(standaloneCall(await callShim(node.shim, { env: version, args: ['-h'], stdin: '' })));
      t.strictSame(requests, []);
    },
  );

  t.test('`waymark` beside the shim’s own file is the second choice, through a symbolic link too', async (t) => {
    const { WAYMARK_STANDALONE, ...env } = node.env;
    const beside = join(dirname(node.shim), 'waymark');
    copyFileSync(node.standalone, beside);
    t.teardown(() => rmSync(beside));
    t.strictSame(standaloneCall(await callShim(node.shim, { env, stdin: CONFIG }))?.argv, [node.shim]);
    const link = linkTo(t, node);
    t.strictSame(standaloneCall(await callShim(link, { env, stdin: CONFIG }))?.argv, [link]);
    const broken = { ...env, WAYMARK_STANDALONE: '/nowhere' };
    t.equal(String(standaloneCall(await callShim(node.shim, { env: broken, stdin: CONFIG }))?.stdin), CONFIG);
  });

  const single = join(import.meta.dirname, '../../dist/bin/waymark');
  const noSingle = existsSync(single) ? false : 'needs scripts/build.sh';
  t.test(
    'the single-file executable itself does the call, by the name and with the config',
    { skip: noSingle },
    async (t) => {
      await standInAgent(t, node.socket, (connection) => connection.end());
      for (const WAYMARK_SOCKET of [node.socket, '/nowhere/agent.sock']) {
        const env = { ...node.env, CNI_NETNS: '/nowhere', WAYMARK_SOCKET, WAYMARK_STANDALONE: single };
        const answer = await callShim(node.shim, { env, stdin: CONFIG });
        t.match(JSON.parse(String(answer.stdout)), { cniVersion: '1.0.0', code: 3, msg: '/nowhere' });
        t.match(answer, { code: 1, stderr: '"plugin":"static-route"' });
      }
    },
  );

  t.test('without any environment it finds the one beside it, and gives it none', async (t) => {
    const beside = join(dirname(node.shim), 'waymark');
    copyFileSync(node.standalone, beside);
    t.teardown(() => rmSync(beside));
    const call = standaloneCall(await callShim(node.shim, { under: ['env', '-i'], stdin: CONFIG }));
    t.strictSame(call?.argv, [node.shim]);
    t.strictSame(call?.env, []);
  });
}

function testWithoutAgent(t: Test, node: ShimNode): void {
  t.test('VERSION is answered without the agent and without stdin', async (t) => {
    const requests = await standInAgent(t, node.socket, (connection) => connection.end(result(0, RESULT)));
    const env = { ...node.env, CNI_COMMAND: 'VERSION' };
    const { code, stdout, stderr } = await callShim(node.shim, { env });
    t.match({ code, stderr }, { code: 0, stderr: '' });
    t.match(JSON.parse(String(stdout)), { cniVersion: '1.1.0' });
    t.strictSame(requests, []);
  });

  const noBundle = existsSync(bundleOf('static-route')) ? false : 'needs scripts/build.sh';
  t.test('VERSION is answered byte for byte as the plugin itself does', { skip: noBundle }, async (t) => {
    const env = { CNI_COMMAND: 'VERSION' };
    t.equal(String((await callShim(node.shim, { env })).stdout), execute('static-route', env, '').stdout);
  });

  t.test('neither agent nor single-file executable: error 11 tells all that was tried', async (t) => {
    const env = { ...node.env, WAYMARK_STANDALONE: '/no"\\\twhere' };
    const answer = await callShim(node.shim, { env, stdin: CONFIG });
    t.match(answer, { code: 1, stderr: '' });
    const { details, ...document } = JSON.parse(String(answer.stdout));
    const msg = 'neither the agent nor the single-file executable can be reached';
    t.strictSame(document, { cniVersion: '1.0.0', code: 11, msg });
    t.strictSame(
      details.split('; ').map((line: string) => line.replace(/: [A-Z][a-z ]+$/, '')),
      [`agent at ${node.socket}`, '/no"\\?where', join(dirname(node.shim), 'waymark'), '/nowhere/waymark'],
    );
    t.ok(String(answer.stdout).endsWith('\n}\n'));
  });

  t.test('nor after an agent that refused, with the config in hand', async (t) => {
    await standInAgent(t, node.socket, (connection) => connection.end());
    const answer = await callShim(node.shim, { env: { ...node.env, WAYMARK_STANDALONE: '/nowhere' }, stdin: CONFIG });
    t.match(JSON.parse(String(answer.stdout)), { cniVersion: '1.0.0', code: 11, details: node.socket });
  });

  t.test('a very long place is cut, and the error is JSON all the same', async (t) => {
    const WAYMARK_STANDALONE = `/${'"\n'.repeat(5_000)}`;
    const answer = await callShim(node.shim, { env: { ...node.env, WAYMARK_STANDALONE }, stdin: CONFIG });
    const { code, details } = JSON.parse(String(answer.stdout));
    t.strictSame([code, details.length], [11, 1024]);
  });

  t.test('a WAYMARK_STANDALONE that is the shim itself is not started again and again', async (t) => {
    const env = { ...node.env, WAYMARK_STANDALONE: node.shim };
    const answer = await callShim(node.shim, { env, stdin: CONFIG });
    t.match(JSON.parse(String(answer.stdout)), { code: 11, details: `${node.shim}: this is what was called` });
  });

  t.test('a socket’s path that is too long is a reason to do without the agent', async (t) => {
    // sockaddr_un has room for 108 bytes, the end among them; a path of PATH_MAX has no file beside it either.
    for (const [path, reason] of [
      [`/${'x'.repeat(106)}`, /: No such file or directory; /],
      [`/${'x'.repeat(107)}`, /: File ?name too long; /],
      [`/${'x'.repeat(200)}`, /: File ?name too long; /],
      [`${'/x'.repeat(3000)}/agent.sock`, /agent at/],
    ] as const) {
      const answer = await callShim(node.shim, { env: { ...node.env, WAYMARK_SOCKET: path }, stdin: CONFIG });
      checkFallback(t, node, answer, `${path.length} bytes`);
      t.match(answer.stderr, reason);
    }
  });
}

const TOLD: [config: string, version: string][] = [
  ['{"cniVersion":"1.2.3"}', '1.2.3'],
  [' {\t"cniVersion"\r\n : \n"1.2.3" , "a" : 1}', '1.2.3'],
  [`{"cniVersion":"${'1.'.repeat(7)}1"}`, `${'1.'.repeat(7)}1`],
  [`{"cniVersion":"${'1.'.repeat(8)}"}`, '1.1.0'],
  ['{"cniVersion":""}', '1.1.0'],
  ['{"cniVersion":1.2}', '1.1.0'],
  ['{"cniVersion":["1.2.3"]}', '1.1.0'],
  ['{"a":"cniVersion","cniVersion":"1.2.3"}', '1.2.3'],
  ['{"a":{"cniVersion":"1.2.3"}}', '1.1.0'],
  ['[{"cniVersion":"1.2.3"}]', '1.1.0'],
  ['{"a":[{}],"cniVersion":"1.2.3"}', '1.2.3'],
  ['{"a":"}","cniVersion":"1.2.3"}', '1.2.3'],
  ['{"a\\"":"\\\\","cniVersion":"1.2.3"}', '1.2.3'],
  ['{"cniVersion":"0.3.0","cniVersion":"0.3.1"}', '0.3.1'],
  ['{"xcniVersion":"1.2.3"}', '1.1.0'],
  ['{"cniVersion', '1.1.0'],
  ['{"cniVersion"', '1.1.0'],
  ['{"cniVersion":', '1.1.0'],
  ['{"cniVersion":"1.2.3', '1.1.0'],
  ['{"cniVersion":"1.2.3\\', '1.1.0'],
  ['', '1.1.0'],
];

t.test('an error has the config’s own version, also of one that is cut short', { skip: noCompiler }, async (t) => {
  const { shim } = shimNode(t);
  for (const [stdin, version] of TOLD) {
    const { stdout } = await callShim(shim, { env: { CNI_COMMAND: 'ADD' }, stdin });
    t.equal(JSON.parse(String(stdout)).cniVersion, version, stdin);
  }
});

t.test('an error has the config’s own version, as a JSON parser finds it', { skip: noCompiler }, async (t) => {
  const { shim } = shimNode(t);
  const keys = fc.constantFrom('cniVersion', 'name', 'a"\\b', '{', 'x');
  const versions = fc.constantFrom('0.4.0', '1.0.0', '9.9', '', 'cniVersion', 'weird', '1.0.0 ', '1111.1111.1111.1111');
  const deeper = fc.oneof(
    versions,
    fc.jsonValue(),
    fc.dictionary(keys, versions),
    fc.array(fc.dictionary(keys, versions)),
  );
  const config = fc.dictionary(keys, fc.oneof(versions, deeper));
  const property = fc.asyncProperty(config, fc.constantFrom(undefined, 2, '\t'), async (document, space) => {
    const { cniVersion } = document;
    const answer = await callShim(shim, {
      env: { CNI_COMMAND: 'ADD' },
      stdin: JSON.stringify(document, undefined, space),
    });
    const expected = typeof cniVersion === 'string' && /^[0-9.]{1,15}$/.test(cniVersion) ? cniVersion : '1.1.0';
    return JSON.parse(String(answer.stdout)).cniVersion === expected;
  });
  await t.resolves(fc.assert(property, { numRuns: 100 }));
});

function checkFallback(t: Test, node: ShimNode, answer: ShimAnswer, what: string): void {
  const call = standaloneCall(answer);
  t.strictSame(call?.argv, [node.shim], `${what}: ${answer.code} ${answer.stderr}`);
  t.equal(String(call?.stdin), CONFIG, what);
  t.strictSame(call?.descriptors, ['0', '1', '2'], what);
}

function linkTo(t: Test, node: ShimNode): string {
  const link = join(node.folder, 'my-link');
  symlinkSync(join(basename(dirname(node.shim)), basename(node.shim)), link);
  t.teardown(() => rmSync(link));
  return link;
}

function copyOf(t: Test, node: ShimNode): string {
  const copy = join(node.folder, 'renamed');
  copyFileSync(node.shim, copy);
  t.teardown(() => rmSync(copy));
  return copy;
}

function halves(bytes: Buffer, at: number): Buffer[] {
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

/** Each piece by itself: the next one when the one before has gone out and everybody had a turn. */
function writeSlowly(connection: NodeJS.WritableStream, [piece, ...rest]: Buffer[]): void {
  if (piece === undefined) return void connection.end();
  connection.write(piece, () => setTimeout(() => writeSlowly(connection, rest), 1));
}
