import { readFileSync } from 'node:fs';
import { installMultus, installWaymark } from '../cluster/addons.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { missingForCluster } from '../cluster/missing.ts';
import { definitionOf } from '../cluster/objects.ts';
import { deletePods, type PodOptions, selecting, startPods, untilPodsGet } from './cluster/pods.ts';
import { withCluster } from './cluster/with-cluster.ts';
import type { Report } from './report.ts';
import { median, middleOf } from './statistics.ts';

// Forty pods with two networks each that start at once on a node of a cluster: the networks as they are, and the same with our
// chain of three behind each, in turn.

const ROUNDS = 4;
const PODS = 40;
/** More than its manifest's, in which its daemon dies under so many pods at once. */
const MULTUS_MEMORY = '1Gi';

const KINDS = ['plain', 'chained'] as const;
type Kind = (typeof KINDS)[number];
/** Seconds until all pods are ready, and of CPU on the whole machine meanwhile and while they are deleted. */
type Round = { readonly ready: number; readonly cpu: number };

/** The report, or that there is none here. */
export async function benchNode(): Promise<Report> {
  const missing = missingForCluster();
  if (missing) return { tables: `not available here: ${missing}` };
  return withCluster(1, async (cluster) => {
    await Promise.all([installMultus(cluster, 'thick', MULTUS_MEMORY), installWaymark(cluster, 'agent')]);
    cluster.apply(NETWORKS.flatMap((_, index) => KINDS.map((kind) => networkOf(kind, index))));
    // The first pods of each kind make the bridges, and load what others find loaded.
    for (const kind of KINDS) {
      await untilPodsGet(cluster, 'net2', podOf(kind));
      await round(cluster, kind, 4);
    }
    const rounds: { readonly [kind in Kind]: Round[] } = { plain: [], chained: [] };
    for (let n = 0; n < ROUNDS; n++) {
      // Whoever comes second finds another machine than who comes first.
      const order = n % 2 === 0 ? KINDS : KINDS.toReversed();
      for (const kind of order) rounds[kind].push(await round(cluster, kind, PODS));
    }
    return reportOf(rounds);
  });
}

function reportOf({ plain, chained }: { readonly [kind in Kind]: readonly Round[] }): Report {
  const ratios = (of: (round: Round) => number) =>
    middleOf(chained.map((round, n) => of(round) / of(plain[n] as Round)));
  const ready = ratios((round) => round.ready);
  const cpu = ratios((round) => round.cpu);
  const row = (name: string, rounds: readonly Round[]) =>
    `| ${name} | ${median(rounds.map(({ ready }) => ready)).toFixed(1)} | ${median(rounds.map(({ cpu }) => cpu)).toFixed(1)} |`;
  return {
    tables: [
      `| ${PODS} pods with two networks each, median of ${ROUNDS} rounds | all ready after, s | CPU of the machine, s |`,
      '| --- | ---: | ---: |',
      row('`bridge`', plain),
      row('`bridge`, `static-route`, `seamless-gateway`, `consistent-ifname`', chained),
    ].join('\n'),
    figures: [
      { name: `${PODS} pods ready, with our chain beside without`, ...ready, aim: 1.03 },
      { name: '… CPU', ...cpu, aim: 1.03 },
    ],
  };
}

const NETWORKS = ['first', 'second'];
// Of one pod, no two networks have the same route.
const ours = (index: number) => [
  { type: 'static-route', routes: [{ dst: `10.${20 + index}.0.0/16` }, { dst: `10.${30 + index}.0.0/16` }] },
  { type: 'seamless-gateway', hostAddresses: [`192.0.2.${1 + index}`] },
  { type: 'consistent-ifname', mode: 'altname' },
];

const nameOf = (kind: Kind, index: number) => `${NETWORKS[index]}-${kind}`;

function networkOf(kind: Kind, index: number): object {
  const name = nameOf(kind, index);
  const subnet = `10.79.${2 * index + KINDS.indexOf(kind)}.0/24`;
  const bridge = {
    type: 'bridge',
    bridge: `br-${NETWORKS[index]}-${KINDS.indexOf(kind)}`,
    isGateway: true,
    ipam: { type: 'host-local', ranges: [[{ subnet }]] },
  };
  return definitionOf(name, {
    cniVersion: '1.0.0',
    name,
    plugins: kind === 'chained' ? [bridge, ...ours(index)] : [bridge],
  });
}

function podOf(kind: Kind): PodOptions {
  const annotations = selecting(...NETWORKS.map((_, index) => nameOf(kind, index)));
  return { node: 'node-1', annotations, spec: { terminationGracePeriodSeconds: 1 } };
}

async function round(cluster: Cluster, kind: Kind, count: number): Promise<Round> {
  const names = Array.from({ length: count }, (_, n) => `${kind}-${n}`);
  const [begun, before] = [performance.now(), busySeconds()];
  await startPods(cluster, names, podOf(kind));
  const ready = (performance.now() - begun) / 1000;
  deletePods(cluster, names);
  return { ready, cpu: busySeconds() - before };
}

/** What all processors have worked since the boot: user, nice, system, IRQ and soft IRQ, in hundredths of a second (proc_stat(5)). */
function busySeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)
    .flatMap((line) => line.split(/\s+/).slice(1).map(Number));
  return (user + nice + system + irq + softirq) / 100;
}
