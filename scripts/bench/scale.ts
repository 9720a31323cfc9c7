import { setTimeout as pause } from 'node:timers/promises';
import { installNetworkDefinition, installWaymark, multusFolder, rollout } from '../cluster/addons.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { missingForCluster } from '../cluster/missing.ts';
import { until } from '../cluster/process.ts';
import { Api } from './cluster/api.ts';
import { withCluster } from './cluster/with-cluster.ts';
import type { Report } from './report.ts';
import { fill, NETWORK, otherPod, startHere } from './scale/objects.ts';
import { type Cost, Watcher } from './scale/watcher.ts';

// What one agent asks of the API server of a large cluster, and what it takes itself: at its start, at rest while others' pods
// and definitions change, and for each edit. There is one node; the others, and their pods, are objects only.

const OTHERS = 10_000;
const DEFINITIONS = 5000;
/** The kubelet's limit is 110, the agent's own pod among them. */
const PODS = 109;
const IDLE_SECONDS = 120;
/** After its start, an agent gives back what only that needed. */
const SETTLE_SECONDS = 60;
const REST_SECONDS = 30;
const LATER_SECONDS = 60;
const CHANGES = 1500;
const AGENTS = 5000;

/** The report, or that there is none here. */
export async function benchScale(): Promise<Report> {
  const multus = multusFolder();
  const missing = missingForCluster() || ('missing' in multus && multus.missing);
  if (missing || 'missing' in multus) return { tables: `not available here: ${missing}` };
  return withCluster(1, measureAll);
}

async function measureAll(cluster: Cluster): Promise<Report> {
  const api = new Api(cluster);
  try {
    await installNetworkDefinition(cluster);
    await installWaymark(cluster, 'dynamic');
    // Not on the nodes that nobody runs.
    const spec = { template: { spec: { nodeSelector: { 'kubernetes.io/hostname': 'node-1' } } } };
    cluster.kubectl(['-n', 'waymark', 'patch', 'daemonset', 'waymark', '-p', JSON.stringify({ spec })]);
    await rollout(cluster, 'waymark', 'waymark');
    await fill(api, OTHERS, DEFINITIONS);
    const pods = await startHere(cluster, PODS);
    return await measure(cluster, api, pods);
  } finally {
    api.close();
  }
}

async function measure(cluster: Cluster, api: Api, pods: readonly string[]): Promise<Report> {
  const watcher = new Watcher(cluster);
  const pod = cluster.kubectl(['-n', 'waymark', 'get', 'pods', '-o', 'name']).trim();
  const start = await watcher.cost(async () => {
    cluster.kubectl(['-n', 'waymark', 'delete', pod, '--grace-period=5']);
    await until('an agent that follows its pods', () => watcher.status().pods > PODS);
  });
  const settle = await watcher.cost(() => pause(SETTLE_SECONDS * 1000));
  const idle = await watcher.cost(() => pause(IDLE_SECONDS * 1000));
  const rest = await watcher.cost(async () => {
    const changes = api.each(CHANGES, (index) => otherPod(index, { labels: { changed: String(index) } }));
    await Promise.all([changes, pause(REST_SECONDS * 1000)]);
  });
  const attach = await edit(watcher, api, pods, [{ name: NETWORK, interface: 'net1' }]);
  const later = await watcher.cost(() => pause(LATER_SECONDS * 1000));
  const detach = await edit(watcher, api, pods, []);
  return report({ start, settle, idle, rest, attach, later, detach });
}

// One edit of every pod at once, until the agent has nothing more to do.
function edit(watcher: Watcher, api: Api, pods: readonly string[], selections: readonly object[]): Promise<Cost> {
  return watcher.cost(async () => {
    await Promise.all(pods.map((pod) => api.select(pod, selections)));
    const wanted = selections.length === 0 ? 0 : pods.length;
    await until('every edit', () => {
      const { sandboxesRecorded, busy, pending } = watcher.status();
      return sandboxesRecorded === wanted && busy === 0 && pending.length === 0;
    });
    await watcher.untilQuiet();
  });
}

type Costs = { readonly [phase in 'start' | 'settle' | 'idle' | 'rest' | 'attach' | 'later' | 'detach']: Cost };

function report(costs: Costs): Report {
  const { start, settle, idle, rest, attach, later, detach } = costs;
  const columns = [start, settle, idle, rest, attach, later, detach];
  const row = (title: string, pick: (cost: Cost) => string) => `| ${title} | ${columns.map(pick).join(' | ')} |`;
  const kb = (bytes: number) => (bytes / 1000).toFixed(1);
  const requests = ({ requests }: Cost) =>
    [...requests].map(([what, count]) => `${count} ${what}`).join(', ') || 'none';
  const each = ({ requests, sent, received }: Cost) => {
    const count = [...requests.values()].reduce((sum, one) => sum + one, 0);
    return `${(count / PODS).toFixed(1)} requests, ${kb(sent / PODS)} kB to the server, ${kb(received / PODS)} kB from it`;
  };
  const perSecond = (bytes: number) => bytes / rest.seconds;
  const tables = [
    `| | start | a minute later | idle | others change | ${PODS} pods attach | a minute later | ${PODS} pods detach |`,
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    row('seconds', ({ seconds }) => seconds.toFixed(1)),
    row('requests', requests),
    row('kB to the API server', ({ sent }) => kb(sent)),
    row('kB from it', ({ received }) => kb(received)),
    row('CPU of the agent, s', ({ cpu }) => cpu.toFixed(2)),
    row('CPU of the plugins that it ran, s', ({ plugins }) => plugins.toFixed(2)),
    row('resident memory at the end, MiB', ({ resident }) => resident.toFixed(0)),
    row('… of it its own', ({ own }) => own.toFixed(0)),
    '',
    `While others change, ${CHANGES} changes are made to pods of other nodes. An edit costs, to attach: ${each(attach)}; to detach:`,
    `${each(detach)}.`,
    '',
    `| ${AGENTS} such agents ask of an API server | |`,
    '| --- | --- |',
    `| at rest: watches that are open | ${AGENTS} |`,
    `| … requests a second, to renew them every 5 to 10 minutes | ${(AGENTS / 600).toFixed(0)} to ${(AGENTS / 300).toFixed(0)} |`,
    `| … kB a second from the server, as measured | ${kb(perSecond(rest.received) * AGENTS)} |`,
    `| when all start at once: requests | ${AGENTS * [...start.requests.values()].reduce((sum, one) => sum + one, 0)} |`,
    `| … MB from the server | ${((start.received * AGENTS) / 1e6).toFixed(0)} |`,
  ].join('\n');
  const own = (name: string, cost: Cost, aim: number) => ({ name, value: cost.own, aim, unit: ' MiB' });
  const figures = [
    own(`own memory, idle with ${PODS + 1} pods`, idle, 40),
    own(`… after ${PODS} pods at once`, attach, 70),
    own('… a minute later', later, 50),
    { name: 'CPU of an idle agent', value: (100 * idle.cpu) / idle.seconds, aim: 0.1, unit: ' %' },
  ];
  return { tables, figures };
}
