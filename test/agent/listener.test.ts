import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import {
  agentHere,
  agentProcess,
  freeAddress,
  noRoot,
  page,
  parseMetrics,
  pause,
  until,
} from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { datagramsAt } from '../support/agent/datagrams.ts';
import { noCompiler } from '../support/agent/shim.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';
import { bundleFolder } from '../support/plugins/call.ts';

// Can shims find the agent? It sees to that itself, and its readiness says so.

const VERSION = { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' };
const isServed = async (socket: string) => {
  const { code } = await ask(socket, VERSION).catch(() => ({ code: undefined }));
  return code === 0;
};

t.test('an agent whose socket was removed warns, and listens again', { skip: noRoot }, async (t) => {
  const { socket, log } = await agentHere(t, { checkMs: 50 });
  for (const remove of [() => rmSync(socket), () => rmSync(dirname(socket), { recursive: true })]) {
    remove();
    await until(() => isServed(socket));
  }
  const messages = log.filter(({ level }) => level >= 30).map(({ msg }) => msg);
  const known = messages.filter((msg) => !msg.startsWith('served') && msg !== 'shims find this agent again');
  t.match(known, ['serving', /^nobody answers at .*ENOENT/, 'listening again', /ENOENT/, 'listening again']);
});

t.test('readiness is that of the socket at the path', { skip: noRoot }, async (t) => {
  const listen = await freeAddress();
  // It does not look by itself within this test.
  const { socket } = await agentHere(t, { listen, checkMs: 3_600_000 });
  const ready = () => page(listen, '/readyz');
  t.match(await ready(), { status: 200, body: 'ready\n' });
  rmSync(socket);
  t.match(await ready(), { status: 503, body: /^nobody answers at .*ENOENT/ });
  t.match(await ready(), { status: 200 }, 'it has listened again');
  t.ok(await isServed(socket));
});

t.test(
  'an agent leaves another at its path alone, is not ready, and comes back after it',
  { skip: noRoot },
  async (t) => {
    const listen = await freeAddress();
    const first = await agentHere(t, { listen, checkMs: 50 });
    const { socket } = first;
    const second = await agentHere(t, { socket, checkMs: 50 });
    await until(() => first.log.some(({ msg }) => msg === `another process listens at ${socket}`));
    t.match(await page(listen, '/readyz'), { status: 503, body: `another process listens at ${socket}\n` });
    const answers = async (where: Parameters<typeof page>[0]) =>
      parseMetrics((await page(where, '/metrics')).body).get('waymark_socket_answers');
    t.strictSame([await answers(listen), await answers({ socketPath: socket })], [0, 1]);
    // Each looks at the socket once more.
    for (let i = 0; i < 5; i++) await page(listen, '/readyz');
    t.equal((await ask(socket, VERSION)).code, 0);
    t.equal(second.log.filter(({ level }) => level > 30).length, 0, 'the second is left in peace');
    t.equal(first.log.filter(({ level }) => level > 30).length, 1, 'it is said once');
    await second.agent.stop();
    await until(() => isServed(socket));
    t.match(await page(listen, '/readyz'), { status: 200 });
    t.equal(await answers(listen), 1);
    t.match(first.log.at(-1), { msg: /served|again/ });
  },
);

t.test('an agent that cannot listen again ends with the reason', { skip: noRoot }, async (t) => {
  const { agent, socket, log } = await agentHere(t, { checkMs: 50 });
  rmSync(socket);
  writeFileSync(socket, 'somebody else’s');
  await t.rejects(agent.lost, { message: new RegExp(`^shims cannot find the agent: nobody answers at ${socket}`) });
  t.match(log.at(-1), { msg: 'cannot listen again', err: { message: /is not a socket/ } });
  t.equal(readFileSync(socket, 'utf8'), 'somebody else’s', 'what is not a socket is left alone');
});

t.test(
  'a process whose agent is lost stops it and ends, with exit code 1 and the reason',
  { skip: noRoot },
  async (t) => {
    const listen = await freeAddress();
    const { socket, ended, stderr } = await agentProcess(t, { args: ['--listen', `${listen.host}:${listen.port}`] });
    rmSync(socket);
    writeFileSync(socket, 'somebody else’s');
    // Each look at its readiness is one at its socket, and an attempt to listen again.
    for (let attempt = 0; attempt < 3; attempt++) await page(listen, '/readyz').catch(() => {});
    t.strictSame(await ended, { code: 1, signal: null });
    t.match(stderr(), /"msg":"stopped"/);
    t.match(stderr().trim().split('\n').at(-1), /^waymark: shims cannot find the agent: nobody answers at /);
  },
);

t.test(
  'an agent whose addon cannot be loaded ends at once, with the reason, and takes no socket',
  { skip: noRoot },
  async (t) => {
    const folder = scratchFolder(t);
    cpSync(bundleFolder('waymark'), join(folder, 'bundle'), { recursive: true });
    writeFileSync(join(folder, 'bundle/socket.node'), 'no shared object');
    const socket = join(folder, 'run/agent.sock');
    const command = [process.execPath, join(folder, 'bundle/index.js'), 'agent'];
    const agent = await agentProcess(t, { command, socket });
    t.strictSame(await agent.ended, { code: 1, signal: null });
    t.match(agent.stderr(), /^waymark: the native addon cannot be loaded: .*socket\.node/m);
    t.notOk(existsSync(socket));
  },
);

t.test(
  'systemd hears when it serves, that it goes on to, and when it stops',
  { skip: noRoot || noCompiler },
  async (t) => {
    const address = join(scratchFolder(t), 'notify');
    const received = await datagramsAt(t, address);
    const { child, ended, socket } = await agentProcess(t, { env: { NOTIFY_SOCKET: address } });
    await until(() => received().includes('READY=1'));
    t.ok(existsSync(socket), 'not before it listens');
    await until(() => received().includes('WATCHDOG=1'));
    child.kill('SIGTERM');
    await ended;
    await until(() => received().includes('STOPPING=1'));
    t.equal(received()[0], 'READY=1');
    t.equal(received().at(-1), 'STOPPING=1');
  },
);

t.test('an agent that has nothing to do sleeps', { skip: noRoot }, async (t) => {
  const { pid } = await agentProcess(t);
  // What is left of the start, such as compilers and collectors, takes as long as the machine lets it.
  const figures: number[] = [];
  while (figures.length < 60 && (figures.at(-1) ?? 100) >= 20) {
    const before = wakeUps(pid);
    await pause(2000);
    figures.push((wakeUps(pid) - before) / 2);
  }
  t.ok((figures.at(-1) ?? 100) < 20, `wake-ups each second: ${figures}`);
});

/** How often all threads of a process have gone to sleep by themselves so far. */
function wakeUps(pid: number): number {
  const { stdout } = spawnSync('sh', ['-c', `cat /proc/${pid}/task/*/status`], { encoding: 'utf8' });
  return [...stdout.matchAll(/^voluntary_ctxt_switches:\s+(\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}
