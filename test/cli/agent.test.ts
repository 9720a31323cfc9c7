import { spawn } from 'node:child_process';
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import { agentProcess, freeAddress, noRoot, page, parseMetrics, until } from '../support/agent/agent.ts';
import { ask, connection, received, requestBytes, type ShimAnswer } from '../support/agent/agent-client.ts';
import { ran } from '../support/namespaces/enclosed.ts';
import { noNamespaces, scratchFolder, scratchNamespace, works } from '../support/namespaces/namespace.ts';
import { bundleOf, variables } from '../support/plugins/call.ts';

// `waymark agent` as a process.

/** Enough for an ADD that others can see running. */
const ROUTES = 10_000;

const VERSION = { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' };

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(
    `on ${signal}, what runs is finished and answered, and the exit code is 0`,
    { skip: noNamespaces },
    async (t) => {
      const agent = await agentProcess(t);
      const pod = scratchNamespace(t);
      pod.ip('link add eth0 type veth peer name peer');
      pod.ip('link set peer up');
      pod.ip('link set eth0 up');
      pod.ip('address add 10.244.1.5/24 dev eth0');
      const stdin = JSON.stringify({
        cniVersion: '1.1.0',
        name: 'net',
        type: 'static-route',
        dataDir: join(dirname(agent.socket), 'data'),
        interface: 'eth0',
        routes: Array.from({ length: ROUTES }, (_, i) => ({ dst: `10.${i >> 8}.${i & 255}.0/24`, gw: '10.244.1.1' })),
      });
      const add = () => ask(agent.socket, { plugin: 'static-route', env: variables('ADD', pod.path), stdin });
      let runs = add();
      let isOver = false;
      // Between the slices of its list, others are answered; if nobody has seen it running, there is another one.
      await until(async () => {
        if (isOver) runs = add();
        isOver = false;
        void runs.then(() => {
          isOver = true;
        });
        return (await page({ socketPath: agent.socket }, '/metrics')).body.includes('waymark_requests_running 1');
      });
      const idle = received(await connection(agent.socket));
      agent.child.kill(signal);
      t.equal(String(await idle), '', 'who has not asked yet is sent away');
      await t.rejects(connection(agent.socket), 'nobody new is let in');
      t.match(await runs, { code: 0 });
      t.equal(pod.ipJson('route show proto 87').length, ROUTES, 'nothing is half done');
      t.strictSame(await agent.ended, { code: 0, signal: null });
      t.notOk(existsSync(agent.socket));
      t.match(JSON.parse(agent.stderr().trim().split('\n').at(-1) ?? ''), { msg: 'stopped' });
    },
  );
}

t.test('a signal while it warms up is heard, also by process 1 of a container', { skip: noRoot }, async (t) => {
  const socket = join(scratchFolder(t), 'run/agent.sock');
  const child = spawn(
    'unshare',
    [
      '--pid',
      '--fork',
      '--mount-proc',
      '--kill-child',
      process.execPath,
      bundleOf('waymark'),
      'agent',
      '--socket',
      socket,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const inner = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
  // Once its folder is there, it warms up.
  await until(
    () => inner() !== '' && existsSync(dirname(socket)),
    () => stderr,
  );
  process.kill(Number(inner()), 'SIGTERM');
  t.strictSame(await ended, { code: 0, signal: null }, stderr);
});

t.test('one that takes over leaves no gap', { skip: noRoot }, async (t) => {
  const socket = join(scratchFolder(t), 'run/agent.sock');
  let agent = await agentProcess(t, { socket });
  let failures = 0;
  let calls = 0;
  let unanswered = 0;
  let done = false;
  const caller = (async () => {
    while (!done) {
      try {
        const { code } = await ask(socket, VERSION);
        calls++;
        // One that the first had not accepted when it stopped: its shim goes to the single-file executable.
        if (code === undefined) unanswered++;
      } catch {
        failures++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let i = 0; i < 3; i++) {
    const before = calls;
    const next = await agentProcess(t, { socket });
    agent.child.kill('SIGTERM');
    t.strictSame(await agent.ended, { code: 0, signal: null });
    t.ok(calls > before);
    agent = next;
  }
  done = true;
  await caller;
  t.equal(failures, 0, 'somebody always listens');
  t.ok(unanswered <= 3, `${unanswered} of ${calls} not answered`);
  t.match(await ask(socket, VERSION), { code: 0 });
});

t.test('what keeps it from listening is a sentence, and exit code 1', { skip: noRoot }, async (t) => {
  const folder = scratchFolder(t);
  symlinkSync('/nonexistent', join(folder, 'link.sock'));
  mkdirSync(join(folder, 'target'));
  symlinkSync('target', join(folder, 'run'));
  const cases: [args: string[], sentence: RegExp][] = [
    [['--socket', join(folder, 'link.sock')], /link\.sock: is a symbolic link, which is refused/],
    [
      ['--socket', join(folder, 'link.sock'), '--listen', '127.0.0.1:0'],
      /link\.sock: is a symbolic link, which is refused/,
    ],
    [['--socket', join(folder, 'run/agent.sock')], /run: is not a folder \(symbolic links are refused\)/],
    [['--socket', join(folder, 'a.sock'), '--listen', 'here'], /"here" is not of the form HOST:PORT/],
    [['--socket', join(folder, 'a.sock'), '--listen', '127.0.0.1:99999'], /is not of the form HOST:PORT/],
    [['--socket', join(folder, 'a.sock'), '--listen', '192.0.2.1:9476'], /EADDRNOTAVAIL/],
    [['--socket', join(folder, 'a.sock'), '--log-level', 'loud'], /loud/],
    [['--max-running', '0'], /must be a whole number, at least 1/],
    [['--max-waiting', '-1'], /must be a whole number, at least 1/],
    [['--queue-seconds', '1.5'], /must be a whole number, at least 1/],
    [['--sockt', 'x'], /unknown option '--sockt'/],
  ];
  for (const [args, sentence] of cases) {
    const { code, stderr } = await ran(
      spawn(process.execPath, [bundleOf('waymark'), 'agent', ...args], {
        env: { PATH: process.env.PATH, WAYMARK_SOCKET: join(folder, 'b.sock') },
      }),
    );
    t.equal(code, 1, args.join(' '));
    const last = stderr
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('{'))
      .join('\n');
    t.match(last, sentence);
    t.notMatch(last, /\n {4}at /, 'no stack trace');
  }
  t.ok(lstatSync(join(folder, 'link.sock')).isSymbolicLink());
  t.notOk(existsSync(join(folder, 'a.sock')));
  t.notOk(existsSync(join(folder, 'target/agent.sock')));
});

t.test('a port has health, readiness and metrics; the limits are the options’', { skip: noRoot }, async (t) => {
  const listen = await freeAddress();
  const limited = await agentProcess(t, {
    args: ['--listen', `${listen.host}:${listen.port}`, '--max-running', '1', '--max-waiting', '1'],
  });
  t.match(await page(listen, '/healthz'), { status: 200 });
  const env = (id: string) => variables('ADD', '/proc/self/ns/net', { CNI_CONTAINERID: id, CNI_NETNS_OVERRIDE: '1' });
  const stdin = JSON.stringify({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'seamless-gateway',
    dataDir: join(dirname(limited.socket), 'data'),
    hostInterface: 'nonexistent0',
    interface: 'lo',
    waitSeconds: 600,
  });
  const call = (id: string) => ({ plugin: 'seamless-gateway', env: env(id), stdin });
  const patient = await connection(limited.socket);
  patient.write(requestBytes(call('a')));
  const waiting = async () => parseMetrics((await page(listen, '/metrics')).body).get('waymark_requests_patient');
  await until(async () => (await waiting()) === 1);
  // One waits for the interface; those that would wait too are one too many, and go to the executable.
  for (const id of ['b', 'c', 'd'])
    t.strictSame(await ask(limited.socket, call(id)), { accepted: true, stdout: '', stderr: '' });
  patient.destroy();
});

t.test('a port of IPv6 is written in brackets', { skip: noNamespaces }, async (t) => {
  const agent = await agentProcess(t, { args: ['--listen', '[::1]:9476'], within: scratchNamespace(t) });
  t.match(agent.stderr(), '"listen":{"host":"::1","port":9476}');
});

t.test('a log that cannot be written does not end it', { skip: noRoot }, async (t) => {
  for (const broken of ['/dev/full', 'closed pipe']) {
    const socket = join(scratchFolder(t), 'run/agent.sock');
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [bundleOf('waymark'), 'agent', '--socket', socket], {
      stdio: ['ignore', 'ignore', broken === '/dev/full' ? full : 'pipe'],
    });
    closeSync(full);
    t.teardown(() => child.kill('SIGKILL'));
    child.stderr?.destroy();
    await until(() => existsSync(socket) || child.exitCode !== null);
    for (let i = 0; i < 5; i++) t.match(await ask(socket, VERSION), { code: 0 }, broken);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    t.equal(await ended, 0, broken);
  }
});

t.test('a socket that systemd made is served, and left there', { skip: noRoot }, async (t) => {
  const folder = scratchFolder(t);
  const socket = join(folder, 'agent.sock');
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(socket, resolve));
  t.teardown(() => listener.close());
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  // The variables name the process, which is known by itself alone.
  const script = `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" agent`;
  const child = spawn('sh', ['-c', script, process.execPath, bundleOf('waymark')], {
    env: { PATH: process.env.PATH, WAYMARK_SOCKET: join(folder, 'run/other.sock') },
    stdio: ['ignore', 'ignore', 'pipe', fd],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr?.on('data', (text) => {
    stderr += text;
  });
  // The test's own handle does not accept, so that only the agent does.
  listener.unref();
  (listener as unknown as { _handle: { onconnection: undefined } })._handle.onconnection = undefined;
  await until(
    () => stderr.includes('"serving"'),
    () => stderr,
  );
  t.match(stderr, `"socket":"${socket}"`, 'it knows the path, where it looks for itself');
  t.notOk(existsSync(join(folder, 'run/other.sock')));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  t.equal(await ended, 0, stderr);
  t.ok(lstatSync(socket).isSocket());
});

const noActivation =
  noRoot || (works('systemd-socket-activate', ['--version']) ? false : 'needs systemd-socket-activate');

t.test('systemd starts it with the first call', { skip: noActivation }, async (t) => {
  const folder = scratchFolder(t);
  const socket = join(folder, 'agent.sock');
  // It passes on no variable that is not named.
  const variable = `--setenv=WAYMARK_SOCKET=${join(folder, 'run/other.sock')}`;
  const command = [process.execPath, bundleOf('waymark'), 'agent'];
  const child = spawn('systemd-socket-activate', ['-l', socket, variable, ...command], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  await until(
    () => existsSync(socket),
    () => stderr,
  );
  // The file is there before anybody listens.
  let first: ShimAnswer | undefined;
  await until(async () => {
    first = await ask(socket, VERSION).catch(() => undefined);
    return first !== undefined;
  });
  t.match(first, { code: 0 }, stderr);
  t.match(await ask(socket, VERSION), { code: 0 }, stderr);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  t.equal(await ended, 0, stderr);
});
