import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installMultus, installNetworkDefinition, installWaymark, multusFolder } from '../cluster/addons.ts';
import { Cluster } from '../cluster/cluster.ts';
import { SHELL_IMAGE } from '../cluster/images.ts';
import { missingForCluster } from '../cluster/missing.ts';
import { until, WAIT_SECONDS } from '../cluster/process.ts';
import { DEFINITIONS } from './pod-networks.ts';
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
  readonly install: (cluster: Cluster) => Promise<void>;
};

const SIDES: readonly Side[] = [
  {
    name: 'Multus thick, with the 50 MiB of its manifest',
    container: 'kube-multus',
    install: (cluster) => installMultus(cluster, 'thick', '50Mi'),
  },
  {
    name: 'Multus thick, with 16 GiB',
    container: 'kube-multus',
    install: (cluster) => installMultus(cluster, 'thick'),
  },
  {
    name: 'Waymark, with the limits of its manifest',
    container: 'agent',
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

async function burst({ name, container, install }: Side): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'waymark-cluster-'));
  const cluster = await Cluster.start(folder, { nodes: 1, owned: true, cpuLimits: false });
  try {
    await install(cluster);
    apply(cluster, DEFINITIONS);
    await untilListIsUsed(cluster);
    const pods = Array.from({ length: PODS }, (_, index) => pod(`many-${index}`));
    const began = performance.now();
    const seconds = () => ((performance.now() - began) / 1000).toFixed(0);
    apply(cluster, pods);
    const wait = ['wait', '--for=condition=Ready', `--timeout=${PATIENCE_SECONDS}s`, 'pod', '-l=burst'];
    const isDone = (await cluster.tryKubectl(wait, { timeoutSeconds: PATIENCE_SECONDS + 5 })).status === 0;
    const after = isDone ? seconds() : `not within ${seconds()}`;
    const ready = cluster
      .kubectl(['get', 'pods', '-l=burst', `-o=jsonpath=${READY}`])
      .split(' ')
      .filter((word) => word === 'True');
    const ended = performance.now();
    const deletion = await cluster.tryKubectl(['delete', 'pods', '-l=burst', `--timeout=${PATIENCE_SECONDS}s`]);
    const gone = `${deletion.status === 0 ? '' : 'not within '}${((performance.now() - ended) / 1000).toFixed(0)}`;
    return [name, String(ready.length), after, gone, killsOf(cluster, container)];
  } finally {
    await cluster.down();
    rmSync(folder, { recursive: true, force: true });
  }
}

const READY = '{.items[*].status.conditions[?(@.type=="Ready")].status}';

function pod(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { burst: '' }, annotations: { 'k8s.v1.cni.cncf.io/networks': 'second,third' } },
    spec: {
      automountServiceAccountToken: false,
      containers: [{ name: 'shell', image: SHELL_IMAGE, command: ['sleep', 'infinity'] }],
    },
  };
}

// The runtime reads a new network list some time later. Until then, pods get the cluster's network only.
async function untilListIsUsed(cluster: Cluster): Promise<void> {
  const networks = [
    'get',
    'pod',
    'first',
    '-o=jsonpath={.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}',
  ];
  await until('a pod has its networks', async () => {
    apply(cluster, [pod('first')]);
    cluster.kubectl(['wait', '--for=condition=Ready', `--timeout=${WAIT_SECONDS}s`, 'pod/first']);
    const has = cluster.kubectl(networks).includes('net2');
    cluster.kubectl(['delete', 'pod', 'first', `--timeout=${WAIT_SECONDS}s`]);
    return has;
  });
}

function apply(cluster: Cluster, items: readonly object[]): void {
  cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
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
