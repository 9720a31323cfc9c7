import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Times whole processes, ours and a peer's in turn, and prints the medians and the ratios of the pairs as a table.
// Everything happens in a network namespace of its own. Usage: bench.ts [--rounds N]

const ROOT = join(import.meta.dirname, '..');
const ROUTES = 10_000;
const rounds = Number(process.argv[process.argv.indexOf('--rounds') + 1]) || 7;
const pod = `wm-bench-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'waymark-bench-'));

type Step = { name: string; program: string; args: string[]; input?: string; env?: { [name: string]: string } };

function main(): void {
  try {
    makePod();
    benchManyRoutes();
  } finally {
    spawnSync('ip', ['netns', 'del', pod]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function makePod(): void {
  must({ name: 'pod', program: 'ip', args: ['netns', 'add', pod] });
  const commands = [
    'link set lo up',
    'link add eth0 type veth peer name peer',
    'link set peer up',
    'link set eth0 up',
    'address add 10.131.0.5/23 dev eth0',
  ];
  for (const command of commands) must({ name: 'pod', program: 'ip', args: ['-n', pod, ...command.split(' ')] });
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
