import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Plugin } from '../../lib/cni/runner.ts';
import {
  agentHere,
  agentProcess,
  descriptorsOf,
  freeAddress,
  memoryOf,
  noRoot,
  page,
  parseMetrics,
  pause,
  shimEnv,
  shimOf,
  until,
} from '../support/agent/agent.ts';
import { ask, connection, parseAnswers, received, requestBytes, type ShimCall } from '../support/agent/agent-client.ts';
import { ran } from '../support/namespaces/enclosed.ts';
import { noNamespaces, run, scratchFolder, scratchPod, works } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

const VERSION: ShimCall = { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' };
const DEL: ShimCall & { stdin: string } = {
  plugin: 'static-route',
  env: variables('DEL', ''),
  stdin: JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir: '/nonexistent' }),
};

/** Sends bytes, as many as the other side wants, and says nothing more; what came back until it closed. */
async function send(socket: string, ...pieces: Uint8Array[]): Promise<string> {
  const client = await connection(socket);
  const answer = received(client);
  for (const piece of pieces) {
    if (client.destroyed) break;
    if (!client.write(piece)) await writable(client);
  }
  return (await answer).toString('latin1');
}

/** Waits until the other side has taken enough, or has closed the connection. */
function writable(client: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      client.off('drain', go).off('close', go);
      resolve();
    };
    client.on('drain', go).on('close', go);
  });
}

const HEADER_BYTES = 16;

function header(environment: number, stdin: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write('WMK\x01', 'latin1');
  bytes.writeUInt32LE(environment, 8);
  bytes.writeUInt32LE(stdin, 12);
  return bytes;
}

const MEGABYTE = Buffer.alloc(1 << 20, 0x41);
const HUNDRED_MEGABYTES = Array.from({ length: 100 }, () => MEGABYTE);

t.test('whatever a client sends, the others notice nothing, and nothing of it stays', { skip: noRoot }, async (t) => {
  const { socket, pid, child } = await agentProcess(t);
  const whole = requestBytes(DEL);
  const garbage: [string, Buffer[]][] = [
    ['a wrong magic', [Buffer.from('WMX\x01')]],
    ['another version', [Buffer.concat([Buffer.from('WMK\x02'), whole.subarray(4)])]],
    ['lengths beyond all limits', [header(0xffffffff, 0xffffffff)]],
    ['two requests in one', [whole, whole]],
    ['a request and a byte', [Buffer.concat([whole, Buffer.from('x')])]],
    ['an environment without an end', [header(3, 0), Buffer.from('abc')]],
    ['an unknown plugin', [requestBytes({ ...DEL, plugin: 'bridge' })]],
    ['a plugin with the name of a property', [requestBytes({ ...DEL, plugin: '__proto__' })]],
    ['no plugin', [requestBytes({ ...DEL, plugin: '' })]],
    ['100 MB that begin well', [header(1 << 20, 8 << 20), ...HUNDRED_MEGABYTES]],
    ['100 MB after a small request', [whole, ...HUNDRED_MEGABYTES]],
  ];
  await t.test('while it goes on', async (t) => {
    for (let i = 0; i < 50; i++) await ask(socket, DEL);
    const descriptors = descriptorsOf(pid);
    const memory = memoryOf(pid);
    let done = false;
    const others = (async () => {
      for (let calls = 0; ; calls++) {
        const { code } = await ask(socket, DEL);
        if (code !== 0) throw new Error('another call failed');
        if (done && calls > 100) return calls;
      }
    })();
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(garbage.map(([, pieces]) => send(socket, ...pieces)));
      // What is whole may have been served before more came.
      for (const [index, [title]] of garbage.entries()) {
        const answer = answers[index] ?? '';
        if (title.includes('request')) t.match(answer, /^(WMK.A[\s\S]{15})?(WMK.R[\s\S]{15})?$/, title);
        else t.equal(answer, '', `${title}: no answer`);
      }
      t.match(await send(socket, Buffer.from('\0\0\0\0')), /^HTTP\/1\.1 400 /, 'what is no request is no HTTP either');
      t.match(await send(socket, ...HUNDRED_MEGABYTES), /^(HTTP\/1\.1 4\d\d [\s\S]*)?$/, '100 MB of nothing');
    }
    done = true;
    t.ok((await others) > 100);
    await until(
      () => descriptorsOf(pid) <= descriptors,
      () => `${descriptorsOf(pid)} descriptors, not ${descriptors}`,
    );
    // What is only garbage yet goes while nothing is to do.
    await until(
      () => memoryOf(pid) < memory + 100e6,
      () => `from ${memory} to ${memoryOf(pid)} bytes`,
    );
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    t.equal(metrics.get('waymark_connections_refused_total{reason="unknown plugin"}'), 9);
    t.ok((metrics.get('waymark_connections_refused_total{reason="protocol"}') ?? 0) >= 15);
  });

  await t.test('a client may die at any point', async (t) => {
    const descriptors = descriptorsOf(pid);
    for (let cut = 0; cut <= whole.length; cut++) {
      const client = await connection(socket);
      await new Promise<void>((resolve) =>
        cut === 0 ? resolve() : client.write(whole.subarray(0, cut), () => resolve()),
      );
      if (cut % 2 === 0) client.destroy();
      else client.end();
      if (cut % 10 === 0) t.equal((await ask(socket, DEL)).code, 0);
    }
    await until(
      () => descriptorsOf(pid) <= descriptors,
      () => `${descriptorsOf(pid)} descriptors, not ${descriptors}`,
    );
    t.equal(child.exitCode, null);
  });
});

t.test('a client that does not say what it wants is not waited for', { skip: noRoot }, async (t) => {
  const listen = await freeAddress();
  const { socket, agent } = await agentHere(t, { requestMs: 100, listen });
  const before = descriptorsOf('self');
  const whole = requestBytes(DEL);
  const silent = [
    send(socket),
    send(socket, Buffer.from('W')),
    send(socket, whole.subarray(0, 20)),
    send(socket, whole.subarray(0, -1)),
  ];
  // On a busy machine, what is said at once may be heard too late as well.
  let late = 0;
  await until(async () => {
    const { code } = await ask(socket, DEL);
    if (code === undefined) late++;
    return code === 0;
  });
  t.strictSame(await Promise.all(silent), ['', '', '', '']);
  const metrics = parseMetrics((await page(listen, '/metrics')).body);
  t.equal(metrics.get('waymark_connections_refused_total{reason="timeout"}'), 4 + late);
  t.match(
    await send(socket, Buffer.from('GET /healthz HTT')),
    /^(HTTP\/1.1 408 [\s\S]*)?$/,
    'half a question of HTTP too',
  );
  await until(async () => {
    const answer = await send(socket, Buffer.from('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'));
    return /^HTTP\/1\.1 200 [\s\S]*ok\n$/.test(answer);
  });
  t.pass('one that stays on the line');
  await until(() => descriptorsOf('self') <= before);
  await agent.stop();
});

t.test('a client that does not take its answer is not waited for', { skip: noRoot }, async (t) => {
  const long: Plugin = {
    name: 'long',
    version: '0',
    handlers: { ADD: none, CHECK: none, DEL: async () => ({ text: 'x'.repeat(20 << 20) }), GC: none, STATUS: none },
  };
  const { socket } = await agentHere(t, { plugins: [long], requestMs: 2000 });
  const before = descriptorsOf('self');
  const client = await connection(socket);
  client.pause();
  client.write(requestBytes({ ...DEL, plugin: 'long' }));
  // One that takes it gets all of it.
  const other = { ...DEL, plugin: 'long', env: variables('DEL', '', { CNI_CONTAINERID: 'other' }) };
  let all = '';
  // On a busy machine, it may be too slow.
  await until(async () => {
    all = await ask(socket, other).then(
      ({ stdout }) => stdout,
      () => '',
    );
    return all !== '';
  });
  t.equal(JSON.parse(all).text.length, 20 << 20);
  await until(
    () => descriptorsOf('self') === before + 1,
    () => `${descriptorsOf('self')} open, ${before} before`,
  );
  client.destroy();
});

t.test('a client that has said what it wants gets an answer however long that takes', { skip: noRoot }, async (t) => {
  const requestMs = 300;
  const slow: Plugin = {
    name: 'slow',
    version: '0',
    handlers: { ADD: none, CHECK: none, DEL: () => pause(3 * requestMs).then(none), GC: none, STATUS: none },
  };
  const { socket } = await agentHere(t, { plugins: [slow], requestMs });
  // On a busy machine, what is said at once may be heard too late.
  await until(async () => (await ask(socket, { ...DEL, plugin: 'slow' })).code === 0);
  t.pass('an answer');
});

async function none(): Promise<undefined> {}

t.test('a request that comes in pieces is answered', { skip: noRoot }, async (t) => {
  const { socket } = await agentHere(t, { requestMs: 600_000 });
  const client = await connection(socket);
  const answer = received(client);
  for (const byte of requestBytes(VERSION)) {
    client.write(Buffer.from([byte]));
    await pause(1);
  }
  const { code, stdout } = parseAnswers(await answer);
  t.equal(code, 0);
  t.match(JSON.parse(stdout), { supportedVersions: Array });
});

t.test('what is longer than a config may be gets the executable’s answer', { skip: noRoot }, async (t) => {
  const { socket } = await agentHere(t, { limits: { configBytes: 9 << 20, allConfigsBytes: 16 << 20 } });
  const { code, stdout } = await ask(socket, { ...DEL, stdin: Buffer.alloc((8 << 20) + 1, 0x20) });
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { code: 6, msg: /larger than 8388608 bytes/ });
});

t.test('a config beyond the limit, or beyond what all may have, is not read', { skip: noRoot }, async (t) => {
  const limits = { configBytes: 100_000, allConfigsBytes: 400_000 };
  const { socket, log } = await agentHere(t, { limits, requestMs: 600_000 });
  const refused = async (reason: string) => {
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    return metrics.get(`waymark_connections_refused_total{reason="${reason}"}`) ?? 0;
  };
  t.equal(await send(socket, header(10, 100_001)), '', 'as soon as its size is known');
  t.equal(await refused('config too large'), 1);

  const padded = { ...DEL, stdin: `${DEL.stdin}${' '.repeat(100_000 - DEL.stdin.length)}` };
  // Of these two nothing but the header and one byte arrives. They have their variables too.
  const half = await Promise.all([connection(socket), connection(socket)]);
  for (const client of half) client.write(requestBytes(padded).subarray(0, 17));
  const bytes = 2 * (requestBytes(padded).length - HEADER_BYTES);
  const held = async () =>
    parseMetrics((await page({ socketPath: socket }, '/metrics')).body).get('waymark_config_bytes');
  await until(async () => (await held()) === bytes);
  t.strictSame(
    await ask(socket, padded),
    { accepted: false, stdout: '', stderr: '' },
    'large ones have three quarters',
  );
  t.equal(await refused('too many configs'), 1);
  t.equal((await ask(socket, DEL)).code, 0, 'a small one has room');
  // Small, but for its variables.
  const third = await connection(socket);
  third.write(header(400_000 - bytes - 10, 10));
  await until(async () => (await held()) === 400_000);
  t.strictSame(await ask(socket, DEL), { accepted: false, stdout: '', stderr: '' });
  t.equal(await refused('too many configs'), 2);
  for (const client of [...half, third]) client.destroy();
  await until(async () => (await held()) === 0);
  t.equal((await ask(socket, padded)).code, 0, 'what they held is given back');
  await until(async () => (await held()) === 0);
  t.equal(log.filter(({ level }) => level === 50).length, 0);
});

t.test('nobody but root is served, whatever the mode of the socket', { skip: noRoot }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const bin = scratchFolder(t);
  chmodSync(bin, 0o755);
  // A user that is nobody may not look into the folder of the build.
  copyFileSync(shimOf('static-route'), join(bin, 'static-route'));
  const call = async (uid: number) => {
    const child = spawn(join(bin, 'static-route'), [], {
      env: shimEnv(socket, variables('DEL', '')),
      cwd: '/',
      uid,
      gid: uid,
    });
    const { code, stdout } = await ran(child, DEL.stdin as string);
    return { code, document: stdout === '' ? undefined : JSON.parse(stdout) };
  };
  t.strictSame(await call(0), { code: 0, document: undefined });
  t.match(await call(65534), { code: 1, document: { code: 11, details: /agent\.sock: .*Permission denied/i } });
  chmodSync(folder, 0o755);
  chmodSync(dirname(socket), 0o755);
  chmodSync(socket, 0o666);
  t.match(await call(65534), { code: 1, document: { code: 11 } }, 'it can connect, and is not served');
  const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  t.equal(metrics.get('waymark_connections_refused_total{reason="not root"}'), 1);
  t.equal(metrics.get('waymark_requests_total{plugin="static-route",verb="DEL",code="0"}'), 1);
});

const noUnshare = noNamespaces || (works('unshare', ['--version']) ? false : 'needs unshare');

t.test('a caller that the agent cannot see is not served, and counted', { skip: noUnshare }, async (t) => {
  const listen = await freeAddress();
  // The process ids of the agent's own namespace are not the callers': `hostPID` is missing.
  const { socket } = await agentProcess(t, {
    under: ['unshare', '--pid', '--fork', '--kill-child'],
    args: ['--listen', `${listen.host}:${listen.port}`],
  });
  t.strictSame(await ask(socket, DEL), { accepted: false, stdout: '', stderr: '' });
  const metrics = parseMetrics((await page(listen, '/metrics')).body);
  t.equal(metrics.get('waymark_connections_refused_total{reason="process not visible"}'), 1);
  t.equal(metrics.get('waymark_requests_total{plugin="static-route",verb="DEL",code="0"}'), 0);
});

t.test(
  'a namespace that disappears during the call is an error of that call alone',
  { skip: noNamespaces },
  async (t) => {
    const { socket, pid, child } = await agentProcess(t);
    const stdin = (pod: string, more: object) =>
      JSON.stringify({
        cniVersion: '1.1.0',
        name: 'net',
        type: 'seamless-gateway',
        dataDir: join(dirname(socket), 'data'),
        hostAddresses: ['10.0.32.2'],
        interface: 'eth0',
        ...more,
        pod,
      });
    const stable = scratchPod(t);
    const call = (path: string, verb: string, id: string, more: object = {}) =>
      ask(socket, {
        plugin: 'seamless-gateway',
        env: variables(verb, path, { CNI_CONTAINERID: id }),
        stdin: stdin(path, more),
      });
    await call(stable.path, 'ADD', 'stable');
    const descriptors = descriptorsOf(pid);
    for (let round = 0; round < 8; round++) {
      const name = `wm-${process.pid}-gone-${round}`;
      run('ip', ['netns', 'add', name]);
      run('ip', ['-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer']);
      const path = `/run/netns/${name}`;
      // It waits for an address that never comes.
      const waiting = call(path, 'ADD', name, { waitSeconds: 0.3 });
      await pause(round * 20);
      run('ip', ['netns', 'del', name]);
      const { code, stdout } = await waiting;
      t.equal(code, 1);
      t.match([3, 101, 107], JSON.parse(stdout).code === 3 ? [3] : [Number], `code ${JSON.parse(stdout).code}`);
      t.equal((await call(path, 'DEL', name)).code, 0, 'DEL is fine with what is gone');
      t.equal((await call(stable.path, 'CHECK', 'stable')).code, 0, 'the others are served');
    }
    t.equal(child.exitCode, null);
    await until(
      () => descriptorsOf(pid) <= descriptors,
      () => `${descriptorsOf(pid)} descriptors, not ${descriptors}`,
    );
  },
);
