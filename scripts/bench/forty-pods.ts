import { installMultus, installNetworkDefinition, installWaymark, multusFolder } from '../cluster/addons.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { missingForCluster } from '../cluster/missing.ts';
import { sleepingPod, untilPodsGet } from './cluster/pods.ts';
import { withCluster } from './cluster/with-cluster.ts';
import { DEFINITIONS, SELECTED } from './pod-networks.ts';
import type { Report } from './report.ts';

// Forty pods with eth0 and two networks more, made at once on one node, each time of a cluster of its own: when they are ready,
// and whether what gives them their networks was killed meanwhile.

const PODS = 40;
/** A daemon that is killed for its memory is started again and again. */
const PATIENCE_SECONDS = 120;

type Side = {
  readonly name: string;
  /** The container whose restarts count. */
  readonly container: string;
  /** Do the manifest's limits hold for the processor, too? */
  readonly cpuLimits: boolean;
  readonly install: (cluster: Cluster) => Promise<void>;
};

const SIDES: readonly Side[] = [
  {
    name: 'Multus thick, with the limits of its manifest',
    container: 'kube-multus',
    cpuLimits: true,
    install: (cluster) => installMultus(cluster, 'thick', '50Mi'),
  },
  {
    name: 'Multus thick, with 16 GiB and as much CPU as there is',
    container: 'kube-multus',
    cpuLimits: false,
    install: (cluster) => installMultus(cluster, 'thick'),
  },
  {
    name: 'Waymark, with the limits of its manifest',
    container: 'agent',
    cpuLimits: true,
    install: async (cluster) => {
      await installNetworkDefinition(cluster);
      await installWaymark(cluster, 'multi-network');
    },
  },
];

/** The report, or that there is none here. */
export async function benchFortyPods(): Promise<Report> {
  const multus = multusFolder();
  const missing = missingForCluster() || ('missing' in multus && multus.missing);
  if (missing) return { tables: `not available here: ${missing}` };
  const head = [`${PODS} pods at once`, 'ready', 'after s', 'gone after s', 'killed'];
  const rows = [head, ['---', '---:', '---:', '---:', '---']];
  for (const side of SIDES) rows.push(await burst(side));
  return { tables: rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n') };
}

function burst({ name, container, cpuLimits, install }: Side): Promise<string[]> {
  const work = async (cluster: Cluster) => {
    await install(cluster);
    cluster.apply(DEFINITIONS);
    await untilPodsGet(cluster, 'net2', POD);
    const pods = Array.from({ length: PODS }, (_, index) => sleepingPod(`many-${index}`, POD));
    const began = performance.now();
    cluster.apply(pods);
    const after = await inSeconds(cluster, began, ['wait', '--for=condition=Ready', 'pod', '-l=burst']);
    const ready = cluster
      .kubectl(['get', 'pods', '-l=burst', `-o=jsonpath=${READY}`])
      .split(' ')
      .filter((word) => word === 'True');
    const gone = await inSeconds(cluster, performance.now(), ['delete', 'pods', '-l=burst']);
    return [name, String(ready.length), after, gone, killsOf(cluster, container)];
  };
  return withCluster(1, work, { cpuLimits });
}

const READY = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
const POD = { node: 'node-1', labels: { burst: '' }, annotations: SELECTED };

// After how many seconds, from `began`, a command of kubectl has what it waits for.
async function inSeconds(cluster: Cluster, began: number, command: readonly string[]): Promise<string> {
  const timed = [...command, `--timeout=${PATIENCE_SECONDS}s`];
  const { status } = await cluster.tryKubectl(timed, { timeoutSeconds: PATIENCE_SECONDS + 5 });
  return `${status === 0 ? '' : 'not within '}${((performance.now() - began) / 1000).toFixed(0)}`;
}

function killsOf(cluster: Cluster, container: string): string {
  type Status = { name: string; restartCount: number; lastState: { terminated?: { reason: string } } };
  const { items } = JSON.parse(cluster.kubectl(['get', 'pods', '-A', '-o=json'])) as {
    items: { status: { containerStatuses?: Status[] } }[];
  };
  const all = items.flatMap(({ status }) => status.containerStatuses ?? []).filter(({ name }) => name === container);
  const count = all.reduce((sum, { restartCount }) => sum + restartCount, 0);
  const reasons = all.flatMap(({ lastState }) => lastState.terminated?.reason ?? []);
  if (count === 0) return 'never';
  return `${count === 1 ? 'once' : `${count} times`} (${[...new Set(reasons)].join(', ')})`;
}
