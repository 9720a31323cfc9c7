import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../cluster/cluster.ts';
import { ROOT } from '../cluster/folder.ts';
import { missingForCluster } from '../cluster/missing.ts';
import type { Figure } from './chart.ts';
import { Api } from './cluster/api.ts';
import { deletePods } from './cluster/pods.ts';
import { withCluster } from './cluster/with-cluster.ts';
import { runCases } from './hot-plug/cases.ts';
import { editInTurn, type Times } from './hot-plug/edits.ts';
import { define } from './hot-plug/networks.ts';
import { type Selection, startPods, untilRight, wrong } from './hot-plug/pods.ts';
import { installSides, missingForSides, type Side, type Usage, usageOf } from './hot-plug/sides.ts';
import type { Report } from './report.ts';
import { median, percentile } from './statistics.ts';

// Networks of running pods, beside multus-dynamic-networks-controller: on one cluster, with Multus thick on both nodes. The
// peer follows the pods of one node, Waymark those of the other; edits go to both in turn.

const EDITS = 100;
/** Of the times alone: the more, the less p99 depends on what else happens in a cluster. */
const EDITS_LIMITED = 500;
const PODS = 30;
const BURST_SECONDS = 90;
/** What a burst or a start has made grow is given back by then. */
const REST_MS = 120_000;
const WITH_LIMITS = 'CPU as the manifests limit it';
const WITHOUT_LIMITS = 'CPU without limits';
const net1: Selection = { name: 'plain', interface: 'net1' };

/** The report, or that there is none here. */
export function benchHotPlug(): Promise<Report> {
  return onSides(compare, { cpuLimits: false });
}

/** Of the times alone, where each has the CPU that its manifest allows, too; or that there is none here. */
export function benchHotPlugLimited(): Promise<Report> {
  return onSides(compareTimes, { cpuLimits: true });
}

type Sides = Awaited<ReturnType<typeof installSides>>;
type Comparison = (cluster: Cluster, api: Api, sides: Sides) => Promise<Report>;

async function onSides(work: Comparison, limits: { readonly cpuLimits: boolean }): Promise<Report> {
  const missing = missingForCluster() || missingForSides();
  if (missing) return { tables: `not available here: ${missing}` };
  const installed = async (cluster: Cluster) => {
    const sides = await installSides(cluster);
    define(cluster);
    const api = new Api(cluster);
    try {
      return await work(cluster, api, sides);
    } finally {
      api.close();
    }
  };
  return withCluster(2, installed, limits);
}

async function compareTimes(cluster: Cluster, api: Api, { ours, peer }: Sides): Promise<Report> {
  const edits = await editInTurn(cluster, api, [ours, peer], EDITS_LIMITED);
  return { tables: timesTable(edits, WITH_LIMITS), figures: figuresOf(edits, WITH_LIMITS) };
}

async function compare(cluster: Cluster, api: Api, { ours, peer }: Sides): Promise<Report> {
  const restingUsage = async () => {
    await pause(REST_MS);
    return [usageOf(ours), usageOf(peer)] as const;
  };
  try {
    const atRest = await restingUsage();
    const cases = [await runCases(cluster, api, ours, 20), await runCases(cluster, api, peer, 20)] as const;
    const before = [usageOf(ours), usageOf(peer)] as const;
    const edits = await editInTurn(cluster, api, [ours, peer], EDITS);
    const cpu = [ours, peer].map((side, index) => usageOf(side).cpu - (before[index]?.cpu ?? 0));
    const bursts = [await burst(cluster, api, ours), await burst(cluster, api, peer)] as const;
    const after = await restingUsage();
    return report(edits, { atRest, after, cpu }, bursts, cases);
  } finally {
    // Why the peer is wrong, where it is.
    const log = cluster.kubectl(['-n', 'kube-system', 'logs', 'ds/dynamic-networks-controller-ds', '--prefix']);
    mkdirSync(join(ROOT, 'build'), { recursive: true });
    writeFileSync(join(ROOT, 'build/hot-plug-peer.log'), log);
  }
}

type Burst = { readonly seconds: number; readonly wrong: readonly string[] };

// Five edits of thirty pods at once, the last of which has to hold.
async function burst(cluster: Cluster, api: Api, side: Side): Promise<Burst> {
  const pods = Array.from({ length: PODS }, (_, index) => `burst-${side.node.name}-${index}`);
  await startPods(cluster, side, pods, [net1]);
  const more: Selection = { name: 'plain', interface: 'net3' };
  const edits: Selection[][] = [
    [net1, more],
    [net1],
    [more],
    [net1, more],
    [more, { name: 'plain', interface: 'net4' }],
  ];
  const last = edits.at(-1) ?? [];
  const begun = performance.now();
  await Promise.all(
    pods.map(async (pod) => {
      for (const edit of edits) await api.select(pod, edit);
    }),
  );
  const reasons: string[] = [];
  for (const pod of pods) {
    const left = Math.max(0, BURST_SECONDS - (performance.now() - begun) / 1000);
    const reason = left > 0 ? await untilRight(cluster, side, pod, last, left) : wrong(cluster, side, pod, last);
    if (reason) reasons.push(reason);
  }
  const seconds = (performance.now() - begun) / 1000;
  deletePods(cluster, pods);
  return { seconds, wrong: reasons };
}

type TimesOfAll = readonly [Times, Times, Times];

function timesTable(all: TimesOfAll, limits: string): string {
  const row = (title: string, pick: (times: Times) => number) =>
    `| ${title} | ${all.map((times) => pick(times).toFixed(0)).join(' | ')} |`;
  return [
    `| from the edit to the kernel, ms, ${limits} | Waymark | peer and Multus | the plugins alone |`,
    '| --- | ---: | ---: | ---: |',
    row('attach, median', ({ attach }) => median(attach)),
    row('attach, p99', ({ attach }) => percentile(attach, 99)),
    row('detach, median', ({ detach }) => median(detach)),
    row('detach, p99', ({ detach }) => percentile(detach, 99)),
    `| edits that never came true | ${all.map(({ failed }) => failed.length).join(' | ')} |`,
  ].join('\n');
}

function figuresOf([ours, peer]: TimesOfAll, limits: string): Figure[] {
  return (['attach', 'detach'] as const).flatMap((kind) => [
    {
      name: `hot-plug, ${kind}, median beside the peer, ${limits}`,
      value: median(ours[kind]) / median(peer[kind]),
      aim: 1,
    },
    {
      name: `hot-plug, ${kind}, p99 beside the peer, ${limits}`,
      value: percentile(ours[kind], 99) / percentile(peer[kind], 99),
      aim: 0.5,
    },
  ]);
}

function report(
  edits: TimesOfAll,
  memory: { atRest: readonly Usage[]; after: readonly Usage[]; cpu: readonly number[] },
  bursts: readonly [Burst, Burst],
  cases: readonly [Map<string, string | false>, Map<string, string | false>],
): Report {
  const usage = (title: string, pick: (usage: Usage) => number, when: readonly Usage[]) =>
    `| ${title} | ${when.map((each) => pick(each).toFixed(0)).join(' | ')} | |`;
  const failures = ['Waymark', 'peer'].flatMap((side, index) => [
    ...[...(cases[index] ?? [])].flatMap(([title, reason]) => (reason ? [`${side}, ${title}: ${reason}`] : [])),
    ...(bursts[index]?.wrong ?? []).slice(0, 1).map((reason) => `${side}, in the burst: ${reason}`),
  ]);
  const passed = cases.map((outcomes) => [...outcomes.values()].filter((reason) => reason === false).length);
  const tables = [
    timesTable(edits, WITHOUT_LIMITS),
    `| ${PODS} pods, five edits each at once: pods that are wrong | ${bursts.map(({ wrong }) => wrong.length).join(' | ')} | |`,
    `| … seconds until all are right, or given up | ${bursts.map(({ seconds }) => seconds.toFixed(1)).join(' | ')} | |`,
    `| the peer's ${cases[0].size} end-to-end cases that pass | ${passed.join(' | ')} | |`,
    usage('resident memory at rest before the edits, MiB', ({ resident }) => resident, memory.atRest),
    usage('… of it its own', ({ own }) => own, memory.atRest),
    usage('resident memory two minutes after them, MiB', ({ resident }) => resident, memory.after),
    usage('… of it its own', ({ own }) => own, memory.after),
    `| CPU of ${2 * EDITS} edits, s | ${memory.cpu.map((cpu) => cpu.toFixed(2)).join(' | ')} | |`,
    '',
    ...failures.map((line) => `- ${line}`),
  ].join('\n');
  const [restOurs, restPeer] = memory.atRest as [Usage, Usage];
  return {
    tables,
    figures: [
      ...figuresOf(edits, WITHOUT_LIMITS),
      { name: 'resident memory beside peer and Multus', value: restOurs.resident / restPeer.resident, aim: 1 },
      { name: 'own memory beside peer and Multus', value: restOurs.own / restPeer.own, aim: 1 },
    ],
  };
}
