import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installMultus, installWaymark, multusFolder } from '../cluster/addons.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { missingForCluster } from '../cluster/missing.ts';
import type { ClusterNode } from '../cluster/node.ts';
import { definitionOf } from '../cluster/objects.ts';
import { selecting, sleepingPod } from './cluster/pods.ts';
import { withCluster } from './cluster/with-cluster.ts';
import { type Command, compileMeasure, parseSamples, planText, type Sample } from './measure.ts';
import type { Report } from './report.ts';
import { median, percentile } from './statistics.ts';

// CNI ADD and DEL of a pod with eth0 and two more networks, on one node of a cluster: through Multus' daemon (thick), its plugin
// (thin), and multi-network in the agent. The container runtime's part is played by the measuring program; the pods are real
// ones of the API server, on the host's network, so that the kubelet leaves their CNI calls to us. Once the daemon and the agent have
// what their manifests give them of the processor, and once as much as there is.

const ROUNDS = 100;
/** Not counted: the first calls load what the others find loaded. */
const WARM_UP = 3;
/** What the calls have made grow is given back by then. */
const REST_SECONDS = 120;

/** Who is measured: its executable and type, and the process that does the work. */
type Side = { readonly name: string; readonly program: string; readonly type: string; readonly daemon?: string };

const SIDES: readonly Side[] = [
  { name: 'Multus thick', program: 'multus-shim', type: 'multus-shim', daemon: 'multus-daemon' },
  { name: 'Multus thin', program: 'multus', type: 'multus' },
  { name: 'Waymark', program: 'multi-network', type: 'multi-network', daemon: 'waymark agent' },
];
const ALONE = 'the three plugins alone';

/** The report, or that there is none here. */
export async function benchPodNetworks(): Promise<Report> {
  const multus = multusFolder();
  const missing = missingForCluster() || ('missing' in multus && multus.missing);
  if (missing || 'missing' in multus) return { tables: `not available here: ${missing}` };
  const parts: Report[] = [];
  for (const cpuLimits of [true, false]) {
    const work = async (cluster: Cluster) => {
      await Promise.all([installMultus(cluster, 'thick', '50Mi'), installWaymark(cluster, 'multi-network')]);
      return compare(cluster, multus.folder, cpuLimits ? 'CPU as the manifests limit it' : 'CPU without limits');
    };
    parts.push(await withCluster(1, work, { cpuLimits }));
  }
  return {
    tables: parts.map(({ tables }) => tables).join('\n\n'),
    figures: parts.flatMap(({ figures = [] }) => figures),
  };
}

function compare(cluster: Cluster, multus: string, limits: string): Report {
  const node = cluster.node('node-1');
  prepare(cluster, node, multus);
  const failures: string[] = [];
  const sides = SIDES.filter((side) => {
    try {
      run(node, callsOf(node, side), WARM_UP);
      return true;
    } catch (error) {
      failures.push(`${side.name} fails here: ${(error as Error).message.slice(0, 1000)}`);
      return false;
    }
  });
  const commands = [...sides.flatMap((side) => callsOf(node, side)), ...alone(node)];
  const before = sides.map(({ daemon }) => usageOf(node, daemon));
  const samples = run(node, commands, ROUNDS);
  const after = sides.map(({ daemon }) => usageOf(node, daemon));
  node.run(['sleep', `${REST_SECONDS}`], { timeoutSeconds: REST_SECONDS + 30 });
  const atRest = sides.map(({ daemon }) => usageOf(node, daemon));
  const took = (place: number, of: (sample: Sample) => number) => median((samples[place] ?? []).map(of));
  const wall = ({ wallMs }: Sample) => wallMs;
  const cpu = ({ cpuMs }: Sample) => cpuMs;
  const sum = (places: readonly number[], of: (sample: Sample) => number) =>
    places.reduce((total, place) => total + took(place, of), 0);
  // Of a round, all of these calls one after another.
  const slowest = (places: readonly number[]) =>
    percentile(
      Array.from({ length: ROUNDS }, (_, round) =>
        places.reduce((total, place) => total + (samples[place]?.[round]?.wallMs ?? Number.NaN), 0),
      ),
      99,
    );
  const first = sides.length * 2;
  const [adds, dels] = [
    [0, 1, 2],
    [3, 4, 5],
  ].map((places) => places.map((place) => first + place)) as [number[], number[]];
  const plain = { add: sum(adds, wall), del: sum(dels, wall), cpu: sum([...adds, ...dels], cpu) };
  const plainSlowest = [slowest(adds), slowest(dels)];
  const rows = sides.map(({ name, daemon }, index) => {
    const [add, del] = [took(index * 2, wall), took(index * 2 + 1, wall)];
    const ofDaemon = ((after[index]?.cpuMs ?? 0) - (before[index]?.cpuMs ?? 0)) / ROUNDS;
    const own = { add: add - plain.add, del: del - plain.del };
    const all = sum([index * 2, index * 2 + 1], cpu) + ofDaemon;
    const p99 = [slowest([index * 2]), slowest([index * 2 + 1])];
    return { name, add, del, p99, own, cpu: all, resident: daemon ? atRest[index]?.residentMiB : undefined };
  });
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const times = (add: number, del: number, [addP99 = Number.NaN, delP99 = Number.NaN]: readonly number[]) =>
    [add, addP99, del, delP99].map((value) => value.toFixed(0));
  const tables = [
    line([
      `a pod with eth0 and two networks, ${limits}`,
      'ADD ms',
      'p99',
      'DEL ms',
      'p99',
      'own part of ADD',
      'of DEL',
      'CPU of both ms',
      'resident MiB at rest',
    ]),
    line(['---', ...Array.from({ length: 8 }, () => '---:')]),
    line([ALONE, ...times(plain.add, plain.del, plainSlowest), '', '', plain.cpu.toFixed(0), '']),
    ...rows.map((row) =>
      line([
        row.name,
        ...times(row.add, row.del, row.p99),
        ...[row.own.add, row.own.del, row.cpu].map((value) => value.toFixed(0)),
        row.resident?.toFixed(0) ?? 'none',
      ]),
    ),
    ...failures.map((failure) => `\n${failure}`),
  ].join('\n');
  const [thick, ours] = ['Multus thick', 'Waymark'].map((name) => rows.find((row) => row.name === name));
  if (thick === undefined || ours === undefined) return { tables };
  const figures = [
    {
      name: `own part of ADD of a pod, beside Multus thick, ${limits}`,
      value: ours.own.add / thick.own.add,
      aim: 0.25,
    },
    {
      name: `own part of DEL of a pod, beside Multus thick, ${limits}`,
      value: ours.own.del / thick.own.del,
      aim: 0.25,
    },
  ];
  return { tables, figures };
}

const bridge = (name: string, index: number, more: object = {}) => ({
  cniVersion: '0.4.0',
  name,
  type: 'bridge',
  bridge: `br-${name}`,
  ...more,
  ipam: { type: 'host-local', ranges: [[{ subnet: `10.79.${index}.0/24` }]] },
});
const NETWORKS = [bridge('first', 0, { isDefaultGateway: true }), bridge('second', 1), bridge('third', 2)];
/** Of the networks `second` and `third`. */
export const DEFINITIONS: readonly object[] = NETWORKS.slice(1).map((config) => definitionOf(config.name, config));
/** The annotation of a pod that has both. */
export const SELECTED = selecting('second', 'third');

function prepare(cluster: Cluster, node: ClusterNode, multus: string): void {
  const onHost = { node: node.name, annotations: SELECTED, spec: { hostNetwork: true } };
  cluster.apply([...DEFINITIONS, ...SIDES.map(({ type }) => sleepingPod(type, onHost))]);
  cluster.kubectl(['wait', '--for=condition=Ready', '--timeout=120s', ...SIDES.map(({ type }) => `pod/${type}`)]);
  // The thin plugin reads and writes as the kubelet's account, which has no other rights to these.
  const user = ['--clusterrole=cluster-admin', `--user=system:node:${node.name}`];
  cluster.kubectl(['create', 'clusterrolebinding', 'bench', ...user]);
  copyFileSync(join(multus, 'multus'), join(node.disk, 'opt/cni/bin/multus'));
  node.run(['chmod', '755', '/opt/cni/bin/multus']);
  const measurer = compileMeasure(cluster.folder.path);
  copyFileSync(measurer, join(node.disk, 'opt/measure'));
  node.run(['chmod', '755', '/opt/measure']);
  for (const name of [...SIDES.map(({ type }) => type), 'alone']) node.run(['ip', 'netns', 'add', `bench-${name}`]);
}

/** ADD and DEL of a side. */
function callsOf(node: ClusterNode, { program, type }: Side): Command[] {
  const config = {
    cniVersion: '0.4.0',
    name: 'entry',
    type,
    ...(type === 'multus' && { kubeconfig: '/etc/kubernetes/kubelet.kubeconfig' }),
    ...(type === 'multus-shim' && { logLevel: 'verbose', logToStderr: true }),
    delegates: NETWORKS.slice(0, 1),
  };
  const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${type};K8S_POD_INFRA_CONTAINER_ID=bench-${type}`;
  return ['ADD', 'DEL'].map((verb) => call(node, verb, program, type, config, 'eth0', args));
}

// What a runtime would call if there were nobody in between: ADD of the three, and DEL in reverse.
function alone(node: ClusterNode): Command[] {
  const calls = (verb: string) =>
    NETWORKS.map((config, index) =>
      call(node, verb, 'bridge', 'alone', config, index === 0 ? 'eth0' : `net${index}`, ''),
    );
  return [...calls('ADD'), ...calls('DEL').toReversed()];
}

function call(
  node: ClusterNode,
  verb: string,
  program: string,
  container: string,
  config: object,
  ifname: string,
  args: string,
): Command {
  const name = `bench-${container}-${ifname}.json`;
  writeFileSync(join(node.disk, 'opt', name), JSON.stringify(config));
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    CNI_COMMAND: verb,
    CNI_CONTAINERID: `bench-${container}`,
    CNI_NETNS: `/run/netns/bench-${container}`,
    CNI_IFNAME: ifname,
    CNI_PATH: '/opt/cni/bin',
    ...(args !== '' && { CNI_ARGS: args }),
  };
  return { program: `/opt/cni/bin/${program}`, args: [], stdin: `/opt/${name}`, env };
}

function run(node: ClusterNode, commands: readonly Command[], rounds: number): Sample[][] {
  writeFileSync(join(node.disk, 'opt/plan'), planText(commands));
  const printed = node.run(['/opt/measure', 'rounds', `${rounds}`, '/opt/plan'], { timeoutSeconds: 300 });
  return parseSamples(printed, commands.length);
}

/** CPU time of a process and of its children that have ended, and what is resident. */
function usageOf(node: ClusterNode, daemon: string | undefined): { cpuMs: number; residentMiB: number } {
  if (daemon === undefined) return { cpuMs: 0, residentMiB: 0 };
  const script = 'pid=$(pgrep -of "$0"); cat /proc/$pid/stat; grep VmRSS /proc/$pid/status';
  const [stat = '', resident = ''] = node.run(['sh', '-c', script, daemon]).split('\n');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + Number(value), 0);
  return { cpuMs: ticks * 10, residentMiB: Number(/\d+/.exec(resident)?.[0]) / 1024 };
}
