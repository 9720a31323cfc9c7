import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { type AgentProcess, agentProcess, page, SINGLE_FILE_AGENT, until } from '../support/agent/agent.ts';
import { makePods } from '../support/containerd/many-pods.ts';
import { Calls, clientsOf, knownStates, noShims } from '../support/containerd/pod-clients.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// Agents that come and go as they do on a node that is looked after, while pods come and go too.

const ROOT = join(import.meta.dirname, '../..');
const PODS = 16;
/** So many calls more, and every pod has had some. */
const CALLS_PER_PHASE = PODS * 9;
const OTHER_VERSION = '99.0.0';

t.test('no call fails while agents are replaced', { skip: noShims }, async (t) => {
  const folder = scratchFolder(t);
  const socket = join(folder, 'run/agent.sock');
  const known = await knownStates(t, makePods);
  const pods = await makePods(t, PODS);
  const calls = new Calls();
  const clients = clientsOf(pods, { socket, dataDir: join(folder, 'data'), calls });
  const start = (command = SINGLE_FILE_AGENT) => agentProcess(t, { socket, command });
  const other = otherVersion(folder);

  let isOver = false;
  let unequal = 0;
  const load = Promise.all(
    clients.map(async ({ client }) => {
      for (;;) {
        await client.add();
        if (!(await client.check())) unequal++;
        if (isOver) return;
        await client.del();
      }
    }),
  );
  // While the load goes on; what the agent there has served meanwhile.
  const phase = async (what: string, pid?: number) => {
    const begin = calls.count;
    await until(() => calls.count >= begin + CALLS_PER_PHASE);
    t.strictSame([...calls.lost, ...calls.errors], [], `${what}: no call fails`);
    if (pid === undefined) return;
    const status = JSON.parse((await page({ socketPath: socket }, '/status')).body);
    t.equal(status.pid, pid, `${what}: the agent that should be there is`);
    t.ok(status.requests > 0, `${what}: it serves`);
    return status.version;
  };

  const first = await start();
  const version = await phase('an agent', first.pid);
  await stop(first);
  const second = await start();
  await phase('restarted', second.pid);

  const third = await start();
  await stop(second);
  await phase('taken over', third.pid);

  const newer = await start(other);
  await stop(third);
  t.equal(await phase('upgraded', newer.pid), OTHER_VERSION);
  const older = await start();
  await stop(newer);
  t.equal(await phase('downgraded', older.pid), version);

  await stop(older);
  const stranger = await agentOfAnotherProtocol(socket);
  await phase('another protocol');
  await stranger.close();
  t.ok(stranger.connections() > PODS, 'the other protocol was tried');
  const last = await start();
  await phase('ours again', last.pid);

  isOver = true;
  await load;
  t.equal(unequal, 0, 'CHECK finds no fault after ADD');
  t.strictSame(
    clients.filter(({ netns, mode }) => pods.state(netns) !== known[mode]).map(({ netns }) => pods.state(netns)),
    [],
    'every pod is exactly configured',
  );
  await Promise.all(clients.map(({ client }) => client.del()));
  t.strictSame([...new Set(pods.paths.map(pods.state))], [known.clean], 'and clean after DEL');
  t.strictSame([...calls.lost, ...calls.errors], []);
  t.comment(`${calls.count} calls, p99 ${calls.p99} ms`);
});

async function stop(agent: AgentProcess): Promise<void> {
  agent.child.kill('SIGTERM');
  const { code, signal } = await agent.ended;
  if (code !== 0) throw new Error(`the agent ended with ${code ?? signal}: ${agent.stderr().slice(-1000)}`);
}

// The same sources with another version, and how they are run.
function otherVersion(folder: string): string[] {
  const tree = join(folder, 'other');
  for (const name of ['agent', 'cli', 'lib', 'plugins', 'native', 'package.json']) {
    cpSync(join(ROOT, name), join(tree, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const path = join(tree, 'lib/version.ts');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/VERSION = '[^']+'/, `VERSION = '${OTHER_VERSION}'`));
  return [process.execPath, join(tree, 'cli/process.ts'), 'agent'];
}

/** Speaks version 2 only: half of the calls get an answer that no shim of version 1 knows, the others none. */
async function agentOfAnotherProtocol(path: string): Promise<{ connections(): number; close(): Promise<void> }> {
  let count = 0;
  const server = createServer((connection: Socket) => {
    const isTold = ++count % 2 === 0;
    connection.on('error', () => {});
    connection.once('data', () => {
      if (isTold) connection.end('WMK\x02E\0\0\0the only version is 2');
      else connection.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  return {
    connections: () => count,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
