import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Times whole processes, ours and a peer's in turn, and prints the medians and the ratios of the pairs as a table.
// Everything happens in a network namespace of its own. Usage: bench.ts [--rounds N]

const ROOT = join(import.meta.dirname, '..');
const ROUTES = 10_000;
const HOST_ROUTES = 100_000;
const rounds = Number(process.argv[process.argv.indexOf('--rounds') + 1]) || 7;
const pod = `wm-bench-${process.pid}`;
/** Nodes for the pod: one with a default route only, and one with many routes beside it. */
const smallNode = `${pod}-small`;
const largeNode = `${pod}-large`;
const folder = mkdtempSync(join(tmpdir(), 'waymark-bench-'));

type Step = { name: string; program: string; args: string[]; input?: string; env?: { [name: string]: string } };

function main(): void {
  try {
    makePod();
    benchManyRoutes();
    makeNode(smallNode, 0);
    makeNode(largeNode, HOST_ROUTES);
    benchLargeNode();
  } finally {
    for (const name of [pod, smallNode, largeNode]) spawnSync('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function makePod(): void {
  makeNamespace(pod, ['link add eth0 type veth peer name peer', 'address add 10.131.0.5/23 dev eth0']);
  setUp(pod, ['link set peer up', 'link set eth0 up']);
}

/** A node with an uplink and a default route, and as many others of each family. */
function makeNode(name: string, routes: number): void {
  makeNamespace(name, ['link add uplink0 type veth peer name wire0', 'address add 10.0.32.2/24 dev uplink0']);
  setUp(name, ['address add fd00:32::2/64 dev uplink0 nodad', 'link set wire0 up', 'link set uplink0 up']);
  setUp(name, ['route add default via 10.0.32.1']);
  const many = Array.from({ length: routes }, (_, i) => [
    `route add 20.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32 via 10.0.32.9\n`,
    `route add 2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::/64 via fd00:32::9\n`,
  ]);
  const input = many.flat().join('');
  must({ name, program: 'ip', args: ['-n', name, '-batch', '-'], input });
}

function makeNamespace(name: string, commands: string[]): void {
  must({ name, program: 'ip', args: ['netns', 'add', name] });
  setUp(name, ['link set lo up', ...commands]);
}

function setUp(name: string, commands: string[]): void {
  for (const command of commands) must({ name, program: 'ip', args: ['-n', name, ...command.split(' ')] });
}

function benchManyRoutes(): void {
  const destinations = Array.from({ length: ROUTES }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
  const batch = (verb: string): Step => {
    const file = join(folder, `${verb}.batch`);
    writeFileSync(file, destinations.map((dst) => `route ${verb} ${dst} via 10.131.0.1 dev eth0 proto 87\n`).join(''));
    return { name: `ip -batch (${verb})`, program: 'ip', args: ['-n', pod, '-batch', file] };
  };
  const routes = destinations.map((dst) => ({ dst, gw: '10.131.0.1' }));
  const config = {
    cniVersion: '1.1.0',
    name: 'bench',
    type: 'static-route',
    dataDir: join(folder, 'data'),
    logLevel: 'silent',
    routes,
  };
  const ours = (verb: string): Step => plugin('static-route', verb, config);

  const [addBatch, delBatch] = [batch('add'), batch('del')];
  const times = repeat([addBatch, delBatch, ours('ADD'), ours('CHECK'), ours('DEL')]);
  console.log(`\n${ROUTES} routes, medians of ${rounds} rounds, wall time of whole processes:\n`);
  table(times, [
    [`static-route (ADD)`, addBatch.name],
    [`static-route (CHECK)`, addBatch.name],
    [`static-route (DEL)`, delBatch.name],
  ]);
}

/**
 * What seamless-static-route-cni did, by the programs that it called: the node's default route, the address of its
 * interface, the first address of the pod's subnet, a route in the pod.
 */
const SEAMLESS_SCRIPT = `set -euo pipefail
interface=$(ip -4 route show default | awk '{ for (i = 1; i < NF; i++) if ($i == "dev") { print $(i + 1); exit } }')
host=$(ip -4 -o address show dev "$interface" scope global | awk '{ split($4, a, "/"); print a[1]; exit }')
subnet=$(ip netns exec "$1" ip -4 -o address show dev eth0 scope global | awk '{ print $4; exit }')
gateway=$(ipcalc-ng --minaddr "$subnet")
ip netns exec "$1" ip route add "$host/32" via "\${gateway#*=}" dev eth0`;

function benchLargeNode(): void {
  const config = {
    cniVersion: '1.1.0',
    name: 'bench',
    type: 'seamless-gateway',
    dataDir: join(folder, 'data'),
    logLevel: 'silent',
  };
  const script = { name: 'bash script', program: 'bash', args: ['-c', SEAMLESS_SCRIPT, 'bash', pod] };
  const forget = { name: 'forget', program: 'ip', args: ['-n', pod, 'route', 'del', '10.0.32.2'] };
  const stepsOn = (node: string) => {
    const [add, del] = [plugin('seamless-gateway', 'ADD', config), plugin('seamless-gateway', 'DEL', config)];
    return { add: inNode(node, add), del: inNode(node, del), script: inNode(node, script) };
  };

  const [small, large] = [stepsOn(smallNode), stepsOn(largeNode)];
  const times = repeat([small, large].flatMap(({ add, del, script }) => [add, del, script, forget]));
  console.log(`\nNodes with 1 route and with ${HOST_ROUTES} of each family, medians of ${rounds} rounds:\n`);
  table(times, [
    [large.add.name, small.add.name],
    [small.add.name, small.script.name],
    [large.add.name, large.script.name],
  ]);
}

/** The step in a node's namespace, with the number of its routes in the name. */
function inNode(node: string, { name, program, args, env, ...rest }: Step): Step {
  return {
    ...rest,
    name: `${name}, ${node === largeNode ? 'many routes' : '1 route'}`,
    program: 'ip',
    args: ['netns', 'exec', node, program, ...args],
    env: { ...env, PATH: process.env.PATH ?? '' },
  };
}

function plugin(name: string, verb: string, config: object): Step {
  return {
    name: `${name} (${verb})`,
    program: process.execPath,
    args: [join(ROOT, 'dist/bundle', name, 'index.js')],
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'bench',
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
    },
  };
}

// Round by round, so that a machine which gets slower makes all of them slower. The first round is not counted.
function repeat(steps: Step[]): Map<string, number[]> {
  const times = new Map<string, number[]>(steps.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const step of steps) {
      const time = must(step);
      if (round > 0) times.get(step.name)?.push(time);
    }
  }
  return times;
}

function table(times: Map<string, number[]>, pairs: [ours: string, peer: string][]): void {
  console.log('| ours | ms | peer | ms | ratio |\n| --- | ---: | --- | ---: | ---: |');
  for (const [ours, peer] of pairs) {
    const [a, b] = [times.get(ours) ?? [], times.get(peer) ?? []];
    const ratio = median(a.map((time, i) => time / (b[i] ?? Number.NaN)));
    console.log(`| ${ours} | ${median(a).toFixed(0)} | ${peer} | ${median(b).toFixed(0)} | ${ratio.toFixed(2)} |`);
  }
}

/** Runs a step, which must succeed; returns its wall time in milliseconds. */
function must({ name, program, args, input, env }: Step): number {
  const start = performance.now();
  const { status, stderr, stdout, error } = spawnSync(program, args, {
    input: input ?? '',
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    ...(env && { env }),
  });
  const time = performance.now() - start;
  if (error || status !== 0) throw new Error(`${name}: ${error?.message ?? `${stdout.slice(0, 2000)}${stderr}`}`);
  return time;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

main();
