import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installMultus, installWaymark, type MultusKind, overlayFolder } from './addons.ts';
import { Cluster } from './cluster.ts';
import { demonstrate } from './demo.ts';
import { ROOT } from './folder.ts';
import { missingForCluster } from './missing.ts';

// `npm run cluster`: see docs/cluster.md.

const USAGE = `usage: npm run cluster -- [COMMAND]
  up [--nodes N] [--multus thick|thin|none] [--waymark base|agent|OVERLAY|none]   start a cluster (default)
  kubectl ARGS...   kubectl, as the cluster's administrator
  shell NODE        a shell on a node: node-1, node-2
  demo              shows what Waymark does, on a cluster that it starts if none runs
  down              end it; nothing of it is left`;

// One for each working copy.
const FOLDER =
  process.env.WAYMARK_CLUSTER ??
  join(tmpdir(), `waymark-cluster-${createHash('sha256').update(ROOT).digest('hex').slice(0, 6)}`);

type Options = { nodes: number; multus: MultusKind | 'none'; waymark: string };

function parse(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '1' },
      multus: { type: 'string', default: 'none' },
      waymark: { type: 'string', default: 'none' },
    },
  });
  const { multus, waymark } = values;
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 9) throw new Error(`--nodes ${values.nodes}: from 1 to 9`);
  if (multus !== 'thick' && multus !== 'thin' && multus !== 'none')
    throw new Error(`--multus ${multus}: thick, thin or none`);
  if (waymark !== 'none') overlayFolder(waymark);
  return { nodes, multus, waymark };
}

const begun = performance.now();
const say = (text: string) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s  ${text}`);

async function up(args: string[]): Promise<void> {
  const { nodes, multus, waymark } = parse(args);
  const missing = missingForCluster();
  if (missing) throw new Error(missing);
  if (Cluster.find(FOLDER) !== undefined) throw new Error('a cluster runs already: npm run cluster -- down');
  const cluster = await Cluster.start(FOLDER, { nodes, owned: false, cpuLimits: true });
  say(`Kubernetes is ready, with ${nodes === 1 ? 'one node' : `${nodes} nodes`}`);
  if (multus !== 'none') {
    await installMultus(cluster, multus);
    say(`Multus (${multus}) is ready`);
  }
  if (waymark !== 'none') {
    await installWaymark(cluster, waymark);
    say(`Waymark (${waymark}) is ready`);
  }
  console.log(`
  npm run cluster -- kubectl get pods -A
  npm run cluster -- shell node-1
  npm run cluster -- down
The logs are in ${cluster.folder.logs}`);
}

async function demo(): Promise<void> {
  const isOurs = Cluster.find(FOLDER) === undefined;
  if (isOurs) await up(['--multus', 'thick', '--waymark', 'agent']);
  try {
    await demonstrate(running(), console.log);
  } finally {
    if (isOurs) await running().down();
  }
}

function running(): Cluster {
  const cluster = Cluster.find(FOLDER);
  if (cluster === undefined) throw new Error('no cluster runs: npm run cluster');
  return cluster;
}

/** Runs a program on our own terminal; its exit status. */
function handOver([program = '', ...args]: readonly string[]): number {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  return status ?? 1;
}

async function main([command = 'up', ...args]: string[]): Promise<number> {
  if (command.startsWith('--') && command !== '--help') return main(['up', command, ...args]);
  switch (command) {
    case 'up':
      await up(args);
      return 0;
    case 'kubectl':
      return handOver(running().kubectlCommand(args));
    case 'shell':
      return handOver(
        running()
          .node(args[0] ?? 'node-1')
          .shell(),
      );
    case 'demo':
      await demo();
      return 0;
    case 'down':
      await Cluster.find(FOLDER)?.down();
      Cluster.sweep(FOLDER);
      return 0;
    default:
      console.error(USAGE);
      return command === '--help' || command === 'help' ? 0 : 2;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`cluster: ${(error as Error).message}`);
  process.exitCode = 1;
}
