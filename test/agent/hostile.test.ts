import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentProcess, page, parseMetrics, SINGLE_FILE_AGENT, until } from '../support/agent/agent.ts';
import { ask, type ShimCall } from '../support/agent/agent-client.ts';
import type { HostileCall } from '../support/agent/hostile-clients.ts';
import { compileIntruder, flood } from '../support/agent/intruder.ts';
import { anonymousMemoryOf, noMemoryLimit, withinMemory } from '../support/agent/memory-limit.ts';
import { noCompiler } from '../support/agent/shim.ts';
import {
  noNamespaces,
  run,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  scratchPod,
} from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// A node whose other pods do what they can to the agent, all at once, and one honest pod. In full size, with the bounds
// that are the defaults, it is also a measurement of time: CONTRIBUTING.md.

const SIZE = process.env.WAYMARK_HOSTILE === 'full' ? 'full' : 'small';
const { clients, patient, routes, rounds, args } = {
  full: { clients: 200, patient: 64, routes: 1_000_000, rounds: 100, args: [] },
  // Fewer large configs than that, which must be too many all the same.
  small: {
    clients: 16,
    patient: 8,
    routes: 100_000,
    rounds: 10,
    args: ['--max-configs-kib', '2048', '--queue-seconds', '60'],
  },
}[SIZE];

/** What manifests/components/agent allows. */
const MEMORY_LIMIT = 256 << 20;
/** How long a call takes at most where the agent has a processor of its own: what else runs on the machine does not count. */
const LONGEST_MS = 1000;

const CLIENT_SCRIPT = join(import.meta.dirname, '../support/agent/hostile-clients.ts');
const skip =
  noNamespaces ||
  noCompiler ||
  noMemoryLimit ||
  (existsSync(SINGLE_FILE_AGENT[0] ?? '') ? false : 'needs `npm run build`');

t.test(`an honest pod is served beside ${clients} hostile clients, within the agent's memory`, { skip }, async (t) => {
  const dataDir = join(scratchFolder(t), 'data');
  const under = withinMemory(t, MEMORY_LIMIT);
  const { socket, pid, child } = await agentProcess(t, { command: SINGLE_FILE_AGENT, args, under });
  const [honest, huge, flooded, empty] = [scratchPod(t), scratchPod(t), scratchPod(t), scratchNamespace(t)];
  empty.ip('link add eth0 type veth peer name peer');
  const call = (plugin: string, verb: string, pod: Scratch, id: string, keys: object): ShimCall => ({
    plugin,
    env: variables(verb, pod.path, { CNI_CONTAINERID: id }),
    stdin: JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: plugin, dataDir, interface: 'eth0', ...keys }),
  });
  const one = { routes: [{ dst: '172.20.0.0/16', gw: '10.244.1.1' }] };
  // Valid, within the largest size, and refused by the kernel to the last one.
  const many = {
    routes: Array.from({ length: 12_000 }, (_, i) => ({ dst: `10.${i >> 8}.${i & 255}.0/24`, gw: '192.0.2.1' })),
  };
  const wait = { hostAddresses: ['10.0.32.2'], args: { cni: { waitSeconds: 600 } } };

  run('ip', ['-n', huge.name, '-batch', '-'], blackholes(routes));
  await flood(t, compileIntruder(t), flooded);
  const each = Array.from({ length: patient }, (_, i) => call('seamless-gateway', 'ADD', empty, `patient-${i}`, wait));
  await begin(t, socket, patient, each);
  for (const [id, pod] of [
    ['huge', huge],
    ['flooded', flooded],
  ] as const)
    await begin(t, socket, 1, [call('static-route', 'ADD', pod, id, one), call('static-route', 'DEL', pod, id, one)]);
  await begin(t, socket, 2, [{ ...call('static-route', 'ADD', flooded, 'stalled', many), omit: 1 }]);
  await begin(t, socket, clients, [
    { ...call('static-route', 'ADD', flooded, 'large', one), padTo: 8 << 20 },
    call('static-route', 'ADD', flooded, 'many', many),
  ]);
  const metrics = async () => parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  const refused = async (reason: string) =>
    (await metrics()).get(`waymark_connections_refused_total{reason="${reason}"}`) ?? 0;
  for (const reason of ['config too large', 'too many configs', 'table too large'])
    await until(
      async () => (await refused(reason)) > 0,
      () => reason,
    );

  const before = honest.routes();
  const took: number[] = [];
  const busy: number[] = [];
  let peak = 0;
  const codes: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const verb of ['ADD', 'DEL']) {
      const [began, busyBefore] = [performance.now(), processorTimeOf(pid)];
      codes.push((await ask(socket, call('static-route', verb, honest, `honest-${round}`, one))).code);
      took.push(performance.now() - began);
      busy.push(processorTimeOf(pid) - busyBefore);
      peak = Math.max(peak, anonymousMemoryOf(pid));
      t.equal(honest.ipJson('route show proto 87').length, verb === 'ADD' ? 1 : 0, `${verb} ${round}`);
    }
  }
  t.comment(`${figures(took)}, of which the agent worked ${figures(busy)}; ${peak >> 20} MiB`);
  t.strictSame([...new Set(codes)], [0], 'every call is answered by the agent, with success');
  t.equal(honest.routes(), before);
  t.ok(Math.max(...busy) < LONGEST_MS, `${figures(busy)}`);
  if (SIZE === 'full') t.ok(Math.max(...took) < LONGEST_MS, `${figures(took)}`);
  t.strictSame([child.exitCode, child.signalCode], [null, null]);
});

/** For how long the thread that serves the calls has run so far, in milliseconds: proc_pid_schedstat(5). */
function processorTimeOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

function figures(milliseconds: readonly number[]): string {
  const sorted = milliseconds.toSorted((a, b) => a - b).map(Math.round);
  return `median ${sorted[sorted.length >> 1]} ms, longest ${sorted.at(-1)} ms`;
}

function blackholes(count: number): string {
  const lines = Array.from(
    { length: count },
    (_, i) => `route add blackhole 11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
  );
  return `${lines.join('\n')}\n`;
}

// Clients in a process of their own, for as long as the test lasts.
async function begin(t: Test, socket: string, count: number, calls: HostileCall[]): Promise<void> {
  const child = spawn(process.execPath, [CLIENT_SCRIPT, socket, String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  // The calls are longer than an argument may be.
  child.stdin.end(JSON.stringify(calls));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the clients have ended: ${code}`)));
  });
}
