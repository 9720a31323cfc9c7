import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiStandIn } from '../../../test/support/kubernetes/api-stand-in.ts';
import { CriStandIn } from '../../../test/support/kubernetes/cri-stand-in.ts';
import { install } from '../executables.ts';
import { percentile } from '../statistics.ts';

// What live-routes.ts runs in namespaces of its own: inside.ts PLUGINS, the folder of the reference plugins. Prints what it
// has measured as JSON. The oracle is `ip monitor` in each pod.

/** One edit: when the pods had it, how many changes each pod's kernel told of, and the agent's CPU time. */
export type Edit = {
  readonly firstMs: number;
  readonly medianMs: number;
  readonly lastMs: number;
  readonly changes: readonly number[];
  readonly cpuMs: number;
};

export type Measured = {
  readonly subnets: number;
  readonly pods: number;
  readonly edits: readonly Edit[];
  readonly residentMiB: number;
  readonly peakMiB: number;
};

const SUBNETS = Number(process.env.WAYMARK_BENCH_SUBNETS ?? 10_000);
const PODS = Number(process.env.WAYMARK_BENCH_PODS ?? 50);
const EDITS = Number(process.env.WAYMARK_BENCH_EDITS ?? 6);
const PATIENCE_MS = 300_000;
const [FOLDER, NODE] = ['/run/bench', 'node-1'];
const MAP = join(FOLDER, 'topology.yaml');
const STATUS = 'k8s.v1.cni.cncf.io/network-status';

const names = Array.from({ length: PODS }, (_, index) => `pod-${index}`);
const podPath = (name: string) => `/api/v1/namespaces/default/pods/${name}`;

/** Pods are in the first subnet; `more` are those that an edit adds. */
function writeMap(...more: string[]): void {
  const others = Array.from({ length: SUBNETS - 1 }, (_, index) => `20.${index >> 8}.${index & 255}.0/24`);
  const lines = [...others, ...more].map((subnet) => `      ${subnet}: { gw: ${subnet.replace(/0\/24$/, '1')} }`);
  const text = ['vrf:', '  a:', '    subnets:', '      10.79.0.0/16: { gw: 10.79.0.1 }', ...lines].join('\n');
  writeFileSync(`${MAP}.new`, text);
  renameSync(`${MAP}.new`, MAP);
}

function define(api: ApiStandIn): void {
  const ipam = { type: 'host-local', dataDir: join(FOLDER, 'leases'), ranges: [[{ subnet: '10.79.0.0/16' }]] };
  const bridge = { type: 'bridge', bridge: 'br-sites', isGateway: true, ipam };
  const plugins = [bridge, { type: 'static-route', topologyFile: MAP }];
  api.put('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/sites', {
    metadata: { name: 'sites', namespace: 'default' },
    spec: { config: JSON.stringify({ cniVersion: '1.0.0', plugins }) },
  });
}

function startPod(api: ApiStandIn, cri: CriStandIn, name: string): void {
  execFileSync('ip', ['netns', 'add', name]);
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  const [uid, netns] = [`uid-${name}`, `/run/netns/${name}`];
  cri.sandboxes.push({ id: `c-${name}`, uid, name, namespace: 'default', attempt: 0, ready: true, netns });
  api.put(podPath(name), {
    metadata: { name, namespace: 'default', uid, annotations: { 'k8s.v1.cni.cncf.io/networks': 'sites@net1' } },
    spec: { nodeName: NODE },
    status: { phase: 'Running' },
  });
}

async function until(holds: () => boolean, otherwise: string): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !holds(); await pause(20))
    if (Date.now() > end) throw new Error(otherwise);
}

/** The agent as it is shipped, and what the kernel says of its process. */
function startAgent(api: ApiStandIn, plugins: string) {
  const kubeconfig = join(FOLDER, 'kubeconfig');
  const user = { name: 'u', user: { token: 'none' } };
  const clusters = [{ name: 'c', cluster: { server: api.url } }];
  const contexts = [{ name: 'c', context: { cluster: 'c', user: 'u' } }];
  writeFileSync(kubeconfig, JSON.stringify({ 'current-context': 'c', contexts, clusters, users: [user] }));
  const bin = install(join(FOLDER, 'bin'));
  for (const name of ['bridge', 'host-local']) execFileSync('ln', ['-s', join(plugins, name), bin]);
  const log = openSync(join(FOLDER, 'agent.log'), 'a');
  const own = ['--socket', join(FOLDER, 'agent.sock'), '--state-dir', join(FOLDER, 'state'), '--cni-bin-dir', bin];
  const others = ['--node', NODE, '--kubeconfig', kubeconfig, '--cri-socket', join(FOLDER, 'cri.sock')];
  const command = (process.env.WAYMARK_BENCH_AGENT ?? join(bin, 'waymark')).split(' ');
  const [program = '', ...words] = [...command, 'agent', '--log-level', 'warn', ...own, ...others];
  const child = spawn(program, words, { stdio: ['ignore', log, log] });
  child.on('exit', (code) => {
    if (code !== 0)
      throw new Error(`the agent has ended: ${readFileSync(join(FOLDER, 'agent.log'), 'utf8').slice(-2000)}`);
  });
  const read = (file: string) => readFileSync(`/proc/${child.pid}/${file}`, 'utf8');
  const memory = (key: string) => Number(new RegExp(`^${key}:\\s*(\\d+) kB`, 'm').exec(read('status'))?.[1]) / 1024;
  return {
    child,
    cpuMs: () => {
      const threads = readdirSync(`/proc/${child.pid}/task`);
      return threads.reduce((sum, id) => sum + Number(read(`task/${id}/schedstat`).split(' ')[0]) / 1e6, 0);
    },
    residentMiB: () => memory('VmRSS'),
    peakMiB: () => memory('VmHWM'),
  };
}

/** Follows the routes of a pod. */
function monitor(name: string) {
  const child = spawn('stdbuf', ['-oL', 'ip', '-n', name, '-o', 'monitor', 'route'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen: { line: string; at: number }[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => seen.push({ line, at: performance.now() }));
  return seen;
}

/** Waits until the agent has nothing to do any more. */
async function settled(cpuMs: () => number): Promise<void> {
  for (let before = -1; cpuMs() - before > 100; await pause(1000)) before = cpuMs();
}

async function edit(
  subnet: string | undefined,
  seen: ReturnType<typeof monitor>[],
  cpuMs: () => number,
): Promise<Edit> {
  const cpuBefore = cpuMs();
  for (const lines of seen) lines.length = 0;
  const begun = performance.now();
  writeMap(...(subnet === undefined ? [] : [subnet]));
  await until(() => seen.every((lines) => lines.length > 0), 'an edit never arrives');
  const took = seen.map(([first]) => (first?.at ?? Number.NaN) - begun).sort((a, b) => a - b);
  await settled(cpuMs);
  return {
    firstMs: took[0] ?? Number.NaN,
    medianMs: percentile(took, 50),
    lastMs: took.at(-1) ?? Number.NaN,
    changes: seen.map(({ length }) => length),
    cpuMs: cpuMs() - cpuBefore,
  };
}

async function main(plugins: string): Promise<Measured> {
  mkdirSync(FOLDER);
  writeMap();
  const [api, cri] = [new ApiStandIn(), new CriStandIn()];
  await api.start();
  await cri.start(join(FOLDER, 'cri.sock'));
  define(api);
  for (const name of names) startPod(api, cri, name);
  const agent = startAgent(api, plugins);
  const isAttached = (name: string) =>
    api.get(podPath(name))?.metadata.annotations?.[STATUS]?.includes('net1') ?? false;
  await until(() => names.every(isAttached), 'the pods are never attached');
  const monitors = names.map(monitor);
  await settled(agent.cpuMs);
  const residentMiB = agent.residentMiB();
  const edits: Edit[] = [];
  for (let round = 0; round < EDITS; round++) {
    edits.push(await edit(round % 2 === 0 ? '30.0.0.0/24' : undefined, monitors, agent.cpuMs));
  }
  const measured = { subnets: SUBNETS, pods: PODS, edits, residentMiB, peakMiB: agent.peakMiB() };
  agent.child.kill('SIGTERM');
  await new Promise((resolve) => agent.child.once('exit', resolve));
  return measured;
}

main(process.argv[2] ?? '').then(
  (measured) => {
    process.stdout.write(JSON.stringify(measured));
    process.exit(0);
  },
  (error) => {
    console.error(error);
    try {
      console.error(readFileSync(join(FOLDER, 'agent.log'), 'utf8').slice(-2000));
    } finally {
      process.exit(1);
    }
  },
);
