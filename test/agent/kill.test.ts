import { readdirSync, readFileSync, readlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type AgentProcess, agentProcess, pause, SINGLE_FILE_AGENT } from '../support/agent/agent.ts';
import { makePods } from '../support/containerd/many-pods.ts';
import { Calls, clientsOf, knownStates, noShims } from '../support/containerd/pod-clients.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// The agent killed at random moments under load: CONTRIBUTING.md says how to have it longer.

const SECONDS = Number(process.env.WAYMARK_CHAOS_SECONDS ?? 10);
/** So many ADDs, at least, lose their agent before it has answered, and fall back. */
const ADDS = Number(process.env.WAYMARK_CHAOS_ADDS ?? 10);
const PODS = 50;
/** Where so many have found no ADD, the agent is killed as it is. */
const LOOKS = 20;

/** Ahead of the fifty executables that do its work while it is not there, or it would hardly ever be. */
const AGENT = ['nice', '-n', '-10', ...SINGLE_FILE_AGENT];

t.test('an agent that is killed again and again leaves every pod as it must be', { skip: noShims }, async (t) => {
  const folder = scratchFolder(t);
  const socket = join(folder, 'run/agent.sock');
  const dataDir = join(folder, 'data');
  const known = await knownStates(t, makePods);
  const pods = await makePods(t, PODS);
  t.strictSame([...new Set(pods.paths.map(pods.state))], [known.clean]);

  const calls = new Calls();
  const clients = clientsOf(pods, { socket, dataDir, calls });
  const end = Date.now() + SECONDS * 1000;
  let isOver = false;
  let [kills, inAdd, interrupted, served, unequal] = [0, 0, 0, 0, 0];
  // While it stands still, it can be counted what it leaves unanswered: at least so many of them are ADDs. Most moments of
  // an agent that is up have none: it goes on until one has.
  const stopAtWork = async (agent: AgentProcess, looks: number) => {
    for (let look = 0; ; look++) {
      agent.child.kill('SIGSTOP');
      const { ADD = 0, ...others } = calls.open;
      const unanswered = connectionsOf(agent.pid, socket);
      const adds = Math.min(ADD, unanswered - Object.values(others).reduce((sum, count) => sum + count, 0));
      if (adds > 0 || look === looks) return adds;
      agent.child.kill('SIGCONT');
      await pause(Math.random() * 20);
    }
  };
  const killing = async () => {
    // On a busy machine it takes longer until some have died at work.
    while (Date.now() < end || interrupted < ADDS) {
      const agent = await agentProcess(t, { socket, command: AGENT, unready: true });
      const isEarly = Math.random() < 0.2;
      // Some die while they start; most while they work.
      while (!isEarly && agent.child.exitCode === null && !agent.stderr().includes('"serving"')) await pause(5);
      await pause(Math.random() * (isEarly ? 500 : 1000));
      const adds = await stopAtWork(agent, isEarly ? 0 : LOOKS);
      agent.child.kill('SIGKILL');
      await agent.ended;
      served += agent.stderr().match(/"served"/g)?.length ?? 0;
      kills++;
      if (adds > 0) inAdd++;
      interrupted += Math.max(0, adds);
    }
    isOver = true;
  };
  const living = clients.map(async ({ client }) => {
    for (;;) {
      await client.add();
      if (!(await client.check())) unequal++;
      if (isOver && Math.random() < 0.5) return 'configured';
      await client.del();
      if (isOver) return 'clean';
    }
  });
  const [ends] = await Promise.all([Promise.all(living), killing()]);

  t.comment(`${kills} kills, ${inAdd} of them in the middle of an ADD, which interrupted ${interrupted} ADDs`);
  t.comment(`${calls.count} calls, of which agents served ${served}`);
  t.comment(`${calls.errors.length} errors, p99 ${calls.p99} ms; ${JSON.stringify(calls.made)}`);
  t.strictSame(calls.lost, [], 'every call has a result or an error of the spec');
  t.equal(unequal, 0, 'CHECK finds no fault after ADD');
  const mistaken = clients.filter(({ netns, mode }, i) => {
    return pods.state(netns) !== (ends[i] === 'clean' ? known.clean : known[mode]);
  });
  t.strictSame(
    mistaken.map(({ netns, mode }) => [mode, pods.state(netns)]),
    [],
    'every pod is exactly configured or exactly clean',
  );
  t.ok(ends.includes('clean') && ends.includes('configured'));

  ageBy(90, join(folder, 'run'));
  const last = await agentProcess(t, { socket, command: AGENT });
  await Promise.all(clients.map(({ client }) => client.del()));
  last.child.kill('SIGTERM');
  t.strictSame(await last.ended, { code: 0, signal: null });
  t.ok(
    pods.paths.every((path) => pods.state(path) === known.clean),
    'no route or name is left over after the last DEL',
  );
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  t.strictSame(
    // Shims have counted there how often they did without the agent.
    files.map(({ name }) => name).filter((name) => name !== 'fallbacks'),
    [],
    'no journal, no temporary file and no socket is left over',
  );
  t.strictSame(calls.lost, []);
});

/** How many connections a process has accepted, by the kernel's table (unix(7)); a listener is named as it was at first. */
function connectionsOf(pid: number, socket: string): number {
  const own = new Set<string | undefined>();
  for (const fd of numbersIn(`/proc/${pid}/fd`))
    own.add(/^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]);
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  // Num RefCount Protocol Flags Type St Inode Path; 03 is SS_CONNECTED.
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , , , state, inode, path]) => {
      return state === '03' && path?.startsWith(socket) && own.has(inode);
    }).length;
}

// A process that has ended has none.
function numbersIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

// What an agent left that was killed while it started goes with the next one that comes more than a minute later.
function ageBy(seconds: number, folder: string): void {
  const then = new Date(Date.now() - seconds * 1000);
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), then, then);
}
